//! The one rule that governs a request: the specific rule that matches, or else the default.

use std::collections::BTreeMap;

use super::{AdmissionRule, Policy, RuleMatch, SpecificRules};
use crate::evaluate::Request;

/// Chooses the rule of `request`. Where a specific rule matches, the default rule is not
/// considered. An attribute that the request lacks matches no specific rule.
pub fn select<'p>(policy: &'p Policy, request: &Request) -> (RuleMatch, &'p AdmissionRule) {
    specific(&policy.specific_rules, request)
        .unwrap_or((RuleMatch::Default, &policy.default_admission_rule))
}

fn specific<'p>(
    rules: &'p SpecificRules,
    request: &Request,
) -> Option<(RuleMatch, &'p AdmissionRule)> {
    match rules {
        SpecificRules::None => None,
        SpecificRules::Cluster(rules) => {
            rule(rules, request.cluster.as_deref()?, RuleMatch::Cluster)
        }
        SpecificRules::KubernetesNamespace(rules) => {
            rule(rules, request.namespace.as_deref()?, RuleMatch::KubernetesNamespace)
        }
        SpecificRules::KubernetesServiceAccount(rules) => {
            let namespace = request.namespace.as_deref()?;
            let account = request.service_account.as_deref()?;
            rule(rules, &format!("{namespace}:{account}"), RuleMatch::KubernetesServiceAccount)
        }
        SpecificRules::IstioServiceIdentity(rules) => {
            let identity = request.istio_identity.as_ref()?.without_scheme();
            rule(rules, identity, RuleMatch::IstioServiceIdentity)
        }
    }
}

fn rule<'p>(
    rules: &'p BTreeMap<String, AdmissionRule>,
    key: &str,
    kind: impl FnOnce(String) -> RuleMatch,
) -> Option<(RuleMatch, &'p AdmissionRule)> {
    let (key, rule) = rules.get_key_value(key)?;
    Some((kind(key.clone()), rule))
}
