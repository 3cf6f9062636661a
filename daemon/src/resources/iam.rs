//! IAM policies: who may do what with a policy, an attestor or a note.

use super::error::ResourceError;
use super::{Inner, Resources, Written, etag};
use crate::auth::iam::{IamPolicy, IamResource};
use crate::store::{Given, Write};

/// The etag that Google's service answers for a policy that nobody wrote.
const ETAG_UNWRITTEN: &str = "ACAB";

impl Resources {
    /// The IAM policy of a resource; an empty one where none was written.
    pub async fn iam_policy(&self, resource: IamResource) -> Result<IamPolicy, ResourceError> {
        self.blocking(move |inner| {
            inner.exists(&resource)?;
            inner.iam_policy(&resource)
        })
        .await
    }

    /// Replaces the IAM policy of a resource. An etag in it must be the current one.
    pub async fn set_iam_policy(
        &self,
        resource: IamResource,
        policy: IamPolicy,
    ) -> Result<Written<IamPolicy>, ResourceError> {
        let project = resource.project().clone();
        self.writing(project, move |inner| inner.set_iam_policy(resource, policy)).await
    }
}

impl Inner {
    fn exists(&self, resource: &IamResource) -> Result<(), ResourceError> {
        match resource {
            IamResource::Policy(_) => Ok(()),
            IamResource::Attestor(name) => self.attestor(name).map(drop),
            IamResource::Note(name) => self.note(name).map(drop),
        }
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<IamPolicy, ResourceError> {
        let unwritten = || IamPolicy { etag: ETAG_UNWRITTEN.to_owned(), ..IamPolicy::default() };
        Ok(self.store.iam_policy(resource)?.unwrap_or_else(unwritten))
    }

    fn set_iam_policy(
        &self,
        resource: IamResource,
        policy: IamPolicy,
    ) -> Result<Written<IamPolicy>, ResourceError> {
        self.writable()?;
        let sent = match policy.etag.as_str() {
            ETAG_UNWRITTEN => Some(String::new()),
            sent => etag::expected(sent),
        };
        let policy = IamPolicy { etag: etag::fresh_iam(), ..policy };
        let exists = match &resource {
            IamResource::Policy(_) => None,
            IamResource::Attestor(_) | IamResource::Note(_) => {
                Some(Given::Exists(resource.clone().into()))
            }
        };
        let write = Write::put_iam_policy(resource, policy.clone());
        let etag_before = self.store.apply(write.given(exists).given_etag(sent))?;
        Ok(Written { resource: policy, etag_before })
    }
}
