//! Placeholder.

use super::{AdmissionRule, Policy, RuleMatch};
use crate::evaluate::Request;

/// Stub.
pub fn select<'p>(policy: &'p Policy, _: &Request) -> (RuleMatch, &'p AdmissionRule) {
    (RuleMatch::Default, &policy.default_admission_rule)
}
