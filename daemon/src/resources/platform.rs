//! Platform policies.

use hallmark_core::names::{Platform, PlatformPolicyName, ProjectId};
use hallmark_core::platform::render::platform_policy_to_json;
use hallmark_core::platform::{PlatformPolicy, PlatformRules};

use super::attestor::member;
use super::error::ResourceError;
use super::page::{Cursor, Page, PageRequest, value_bytes};
use super::{Inner, Resources, Written, etag};
use crate::store::{Given, Write};

/// Policies of one project for one platform. Google publishes no number; as many as attestors.
const POLICIES_MAX: usize = 200;
/// Policies on a page unless asked otherwise: half of what a project may hold.
const PAGE_SIZE: usize = 100;

impl Resources {
    /// Creates a platform policy. Its keys are resolved first, so that what is stored can be used.
    pub async fn create_platform_policy(
        &self,
        policy: PlatformPolicy,
    ) -> Result<PlatformPolicy, ResourceError> {
        let project = policy.name.project().clone();
        self.writing(project, move |inner| inner.create_platform_policy(policy)).await
    }

    /// Replaces a platform policy, whole. An etag in it must be the current one.
    pub async fn replace_platform_policy(
        &self,
        policy: PlatformPolicy,
    ) -> Result<Written<PlatformPolicy>, ResourceError> {
        let project = policy.name.project().clone();
        self.writing(project, move |inner| inner.replace_platform_policy(policy)).await
    }

    /// Deletes a platform policy, where `etag`, if it is not empty, is the current one; answers the
    /// etag that it had, where that could be read.
    pub async fn delete_platform_policy(
        &self,
        name: PlatformPolicyName,
        etag: String,
    ) -> Result<Option<String>, ResourceError> {
        self.writing(name.project().clone(), move |inner| {
            let expected_etag = etag::expected(&etag);
            let project = name.project().clone();
            let etag_before = inner.store.apply(Write::delete(name).given_etag(expected_etag))?;
            inner.publish(&project)?;
            Ok(etag_before)
        })
        .await
    }

    /// One platform policy.
    pub async fn platform_policy(
        &self,
        name: PlatformPolicyName,
    ) -> Result<PlatformPolicy, ResourceError> {
        self.blocking(move |inner| inner.platform_policy(&name)).await
    }

    /// The policies of a project for a platform, in the order of their names.
    pub async fn platform_policies(
        &self,
        project: ProjectId,
        platform: Platform,
        page: &PageRequest,
    ) -> Result<Page<PlatformPolicy>, ResourceError> {
        let listing = format!("projects/{project}/platforms/{platform}/policies");
        let cursor = Cursor::new(page, PAGE_SIZE, &listing)?;
        self.blocking(move |inner| {
            let read = |after: Option<&str>, limit| {
                let after = after.map(str::parse::<PlatformPolicyName>).transpose()?;
                Ok(inner.store.platform_policies(&project, platform, after.as_ref(), limit)?)
            };
            let bytes = |policy: &PlatformPolicy| value_bytes(&platform_policy_to_json(policy));
            cursor.fill(read, |policy| policy.name.to_string(), bytes)
        })
        .await
    }

    /// Why the policy is not in force: it does not exist, is not for Kubernetes, or was not read.
    pub async fn not_in_force(&self, name: PlatformPolicyName) -> ResourceError {
        let held = self.blocking({
            let name = name.clone();
            move |inner| inner.platform_policy(&name)
        });
        match held.await.map(|held| held.rules) {
            Ok(PlatformRules::CloudRun(_)) => ResourceError::invalid(
                "name",
                format!("{name} is for Cloud Run: policies for gke are evaluated"),
            ),
            Ok(PlatformRules::Gke(_)) => ResourceError::Unavailable(format!(
                "{name} is not in force until {} can be read",
                name.project()
            )),
            Err(error) => error,
        }
    }
}

impl Inner {
    fn create_platform_policy(
        &self,
        policy: PlatformPolicy,
    ) -> Result<PlatformPolicy, ResourceError> {
        let policy = self.completed(policy)?;
        let write = Write::create(policy.clone()).given([Given::FewerThan(POLICIES_MAX)]);
        self.store.apply(write)?;
        self.publish(policy.name.project())?;
        Ok(policy)
    }

    fn replace_platform_policy(
        &self,
        policy: PlatformPolicy,
    ) -> Result<Written<PlatformPolicy>, ResourceError> {
        let expected_etag = etag::expected(&policy.etag);
        let policy = self.completed(policy)?;
        let write = Write::replace(policy.clone()).given_etag(expected_etag);
        let etag_before = self.store.apply(write)?;
        self.publish(policy.name.project())?;
        Ok(Written { resource: policy, etag_before })
    }

    fn platform_policy(&self, name: &PlatformPolicyName) -> Result<PlatformPolicy, ResourceError> {
        let held = self.store.platform_policy(name)?;
        held.ok_or_else(|| ResourceError::NotFound(name.to_string()))
    }

    /// The policy with an id for every key, and with what only the daemon sets.
    fn completed(&self, mut policy: PlatformPolicy) -> Result<PlatformPolicy, ResourceError> {
        self.writable()?;
        let platform = policy.name.platform();
        for (path, key) in policy.public_keys_mut() {
            let path = match platform {
                Platform::Gke => path,
                Platform::CloudRun => format!("{path}.{}", member(&key.material)),
            };
            self.identify(key, &path)?;
        }
        policy.update_time = etag::now();
        policy.etag = etag::fresh(&policy.name.to_string(), &policy.update_time);
        Ok(policy)
    }
}
