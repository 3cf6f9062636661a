//! The JSON of a review. Members that nobody here needs are passed over unread, so that bodies of
//! other Kubernetes versions are understood; those that are read are read strictly.

use std::borrow::Cow;

use hallmark_core::excerpt::Excerpt;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::audit::record::User;
use crate::http::engine::error::HttpError;
use crate::workload::Few;

/// The versions that are understood, which say the same in the same places. An answer is of the
/// version that was asked in.
const API_VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];
pub(super) const KIND: &str = "AdmissionReview";

/// Bytes of a uid that is given back. Kubernetes makes UUIDs of 36.
const UID_BYTES_MAX: usize = 256;

/// The request of the API server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdmissionRequest<'a> {
    /// The version of the review.
    #[serde(skip)]
    pub(super) api_version: &'static str,
    pub(super) uid: Box<str>,
    #[serde(borrow)]
    pub(super) kind: GroupKind<'a>,
    pub(super) sub_resource: Option<Box<str>>,
    pub(super) name: Option<Box<str>>,
    pub(super) namespace: Option<Box<str>>,
    #[serde(borrow)]
    pub(super) operation: Cow<'a, str>,
    pub(super) user_info: Option<UserInfo>,
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) old_object: Option<&'a RawValue>,
    pub(super) dry_run: Option<bool>,
}

/// The group and kind of an object, in whatever version.
#[derive(Debug, Deserialize)]
pub(super) struct GroupKind<'a> {
    #[serde(borrow, default)]
    pub(super) group: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
}

/// Who asked the API server.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UserInfo {
    username: Option<Box<str>>,
    uid: Option<Box<str>>,
    groups: Option<Few<Box<str>>>,
}

impl From<UserInfo> for User {
    fn from(info: UserInfo) -> Self {
        Self {
            username: info.username.unwrap_or_default(),
            uid: info.uid,
            groups: info.groups.map_or_else(Vec::new, |groups| groups.0),
        }
    }
}

/// Reads a review; what is none has no uid to answer to.
pub(super) fn parse(json: &[u8]) -> Result<AdmissionRequest<'_>, HttpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kinded<'a> {
        #[serde(borrow)]
        api_version: Cow<'a, str>,
        #[serde(borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        request: Option<&'a RawValue>,
    }
    let review: Kinded<'_> =
        hallmark_json::from_slice(json).map_err(|error| HttpError::json(&error))?;
    let known = API_VERSIONS.into_iter().find(|known| *known == review.api_version);
    let Some(api_version) = known.filter(|_| review.kind == KIND) else {
        let (version, kind) = (Excerpt::<64>(&review.api_version), Excerpt::<64>(&review.kind));
        return Err(HttpError::InvalidArgument(format!(
            "this is a {kind} of {version}: {KIND} of {} is reviewed here, say \
             admissionReviewVersions: [\"v1\"] in the webhook configuration",
            API_VERSIONS[0]
        )));
    };
    let refused = |problem: &str| Err(HttpError::InvalidArgument(problem.to_owned()));
    let Some(request) = review.request else { return refused("the review has no `request`") };
    let request: AdmissionRequest<'_> =
        hallmark_json::from_str(request.get()).map_err(|error| HttpError::json(&error))?;
    match request.uid.len() {
        1..=UID_BYTES_MAX => Ok(AdmissionRequest { api_version, ..request }),
        _ => refused("`request.uid` is empty or too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(uid: &str) -> Vec<u8> {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{
            "uid":"{uid}","kind":{{"kind":"Pod"}},"operation":"CREATE"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_uid_is_given_back_up_to_its_limit() {
        let longest = "u".repeat(UID_BYTES_MAX);
        assert_eq!(&*parse(&review(&longest)).expect("a review").uid, longest);
        for uid in ["", &"u".repeat(UID_BYTES_MAX + 1)] {
            let error = parse(&review(uid)).expect_err("refused").to_string();
            assert!(error.contains("`request.uid` is empty or too long"), "{error}");
        }
    }
}
