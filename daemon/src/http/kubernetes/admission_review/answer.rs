//! Answers to the API server.

use std::collections::{BTreeMap, HashMap};

use hallmark_core::decision::{Decision, ImageDecision, Reason};
use serde::Serialize;

use super::Refusal;
use super::wire::KIND;
use crate::http::kubernetes::webhook::{
    BREAK_GLASS_KEY, DRY_RUN_KEY, OVERRIDDEN_KEY, Undecided, cause, causes, denied, message, shown,
};
use crate::workload::{Kind, Pod};

/// The reason that Google's service gives, which alerts look for.
const VIOLATES_POLICY: &str = "VIOLATES_POLICY";
/// Nothing was found wrong: it could not be looked at. Trying again may help.
const UNDETERMINED: &str = "UNDETERMINED";

/// Most warnings of one answer. The API server passes on 4 KiB of them, 256 characters each.
const WARNINGS_MAX: usize = 10;
/// Most causes of one answer; the message counts the rest.
const CAUSES_MAX: usize = 100;

/// The answer but for its uid.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    allowed: bool,
    status: Option<Status>,
    audit_annotations: BTreeMap<&'static str, String>,
    warnings: Vec<String>,
}

impl Verdict {
    /// There is nothing to judge.
    pub(super) fn allowed() -> Self {
        Self { allowed: true, ..Self::default() }
    }

    /// Nobody can judge it.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let reason = match refusal {
            Refusal::UnknownKind { .. } => VIOLATES_POLICY,
            Refusal::Malformed(_) => "BadRequest",
        };
        Self::denied(Status::new(400, reason, refusal.message()))
    }

    /// It was not judged: denied, or where it is only advised on, let in with a warning.
    pub(super) fn undecided(why: Undecided, advisory: bool) -> Self {
        if !advisory {
            return Self::denied(Status::undetermined(why.denial()));
        }
        let warning =
            format!("Binary Authorization: nobody looked at the images of its pods: {why}");
        Self { warnings: vec![warning], ..Self::allowed() }
    }

    fn denied(status: Status) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The answer to the review of this version and uid.
    pub(super) fn reviewed(self, api_version: &'static str, uid: &str) -> impl Serialize {
        Review {
            api_version,
            kind: KIND,
            response: Response {
                uid,
                allowed: self.allowed,
                status: self.status,
                audit_annotations: self.audit_annotations,
                warnings: self.warnings,
            },
        }
    }
}

/// The object that was judged.
#[derive(Debug)]
pub(super) struct Reviewed<'a> {
    pub(super) kind: String,
    pub(super) name: Option<Box<str>>,
    pub(super) pod: &'a Pod,
    pub(super) carried_by: Kind,
}

impl Reviewed<'_> {
    /// The decision as it is.
    pub(super) fn verdict(&self, decision: &Decision) -> Verdict {
        let mut verdict = Verdict { allowed: decision.allowed, ..Verdict::default() };
        if decision.break_glass {
            verdict.audit_annotations.insert(BREAK_GLASS_KEY, "true".to_owned());
        }
        if !decision.allowed {
            verdict.status = Some(self.status(decision));
        } else if !decision.conforms() {
            verdict.audit_annotations.insert(OVERRIDDEN_KEY, causes(decision));
            if decision.dry_run {
                verdict.audit_annotations.insert(DRY_RUN_KEY, "true".to_owned());
            }
        }
        if decision.allowed {
            verdict.warnings = self.lifted(decision);
        }
        verdict
    }

    /// The decision as advice to whoever makes pods this way.
    pub(super) fn advice(&self, decision: &Decision) -> Verdict {
        let lead = format!("pods of this {} would be denied", self.kind);
        let warnings = match decision.allowed {
            true => self.lifted(decision),
            false => warnings(decision, |image| {
                let why = image.reason.code();
                format!("Binary Authorization: {lead}: image {}: {why}", shown(&image.image))
            }),
        };
        Verdict { warnings, ..Verdict::allowed() }
    }

    /// The warnings of a decision whose enforcement was lifted.
    fn lifted(&self, decision: &Decision) -> Vec<String> {
        if decision.break_glass {
            let count = denied(decision).count();
            return vec![format!(
                "Binary Authorization: break-glass is set on this {}, and recorded: {count} of {} \
                 images do not conform",
                self.kind,
                decision.images.len(),
            )];
        }
        warnings(decision, |image| {
            let why = image.reason.code();
            let image = shown(&image.image);
            format!("Binary Authorization: dry run: image {image} would be denied: {why}")
        })
    }

    fn status(&self, decision: &Decision) -> Status {
        let refused = decision.images.is_empty()
            || denied(decision).any(|image| !image.reason.is_undetermined());
        let text = message(decision);
        let limited = denied(decision).any(|image| image.reason == Reason::AuditLimitExceeded);
        let mut status = match (refused, limited) {
            (true, _) => Status::new(400, VIOLATES_POLICY, text),
            (false, true) => {
                let reason = Reason::AuditLimitExceeded.code();
                Status { code: 429, reason, ..Status::undetermined(text) }
            }
            (false, false) => Status::undetermined(text),
        };
        let mut fields = HashMap::new();
        for used in &self.pod.images {
            fields.entry(&used.image).or_insert_with(|| used.field());
        }
        let cause = |image: &ImageDecision| Cause {
            reason: cause(image),
            field: fields
                .get(&image.image)
                .map(|field| format!("{}{field}", self.carried_by.path())),
        };
        status.details.kind = Some(self.kind.clone());
        status.details.name = self.name.clone();
        status.details.causes = denied(decision).take(CAUSES_MAX).map(cause).collect();
        status
    }
}

/// One warning for each image that does not conform.
fn warnings(decision: &Decision, say: impl Fn(&ImageDecision) -> String) -> Vec<String> {
    let mut warnings: Vec<_> = denied(decision).take(WARNINGS_MAX).map(say).collect();
    let more = denied(decision).count() - warnings.len();
    if more > 0 {
        warnings.push(format!("Binary Authorization: and {more} more images"));
    }
    warnings
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// `Status` of `meta/v1`.
#[derive(Debug, Serialize)]
struct Status {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Details::is_empty")]
    details: Details,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { status: "Failure", code, reason, message, details: Details::default() }
    }

    /// Clients that are told when to try again do so by themselves.
    fn undetermined(message: String) -> Self {
        let mut status = Self::new(503, UNDETERMINED, message);
        status.details.retry_after_seconds = Some(1);
        status
    }
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

impl Details {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Cause {
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}
