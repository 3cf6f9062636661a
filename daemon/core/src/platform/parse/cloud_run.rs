//! Policies for Cloud Run: allowlist patterns and one rule with inline attestors.

use std::collections::HashSet;

use super::all;
use crate::attestor::parse::{filled, public_keys};
use crate::document::read::{Field, Object};
use crate::platform::{EvaluationRule, InlineAttestor, InlineCloudRunPolicy, InlineEvaluation};
use crate::policy::parse::{
    ATTESTOR_REFERENCES_MAX, Mode, enforcement, evaluation_mode, pattern_list,
};

pub(super) fn policy(field: &Field<'_>) -> Option<InlineCloudRunPolicy> {
    let object = field.object(&["allowlistPatterns", "rule"])?;
    let allowlist_patterns = pattern_list(&object, "allowlistPatterns");
    let rule = object.required("rule").and_then(|field| rule(&field));
    Some(InlineCloudRunPolicy { allowlist_patterns: allowlist_patterns?, rule: rule? })
}

fn rule(field: &Field<'_>) -> Option<EvaluationRule> {
    let object = field.object(&["evaluationMode", "requiredAttestors", "enforcementMode"])?;
    let attestors = required_attestors(&object);
    let given = attestors.as_ref().map(Vec::len);
    let mode = evaluation_mode(&object, "requiredAttestors", given);
    let enforcement = enforcement(&object);
    let evaluation = match (mode?, attestors?) {
        (Mode::AlwaysAllow, _) => InlineEvaluation::AlwaysAllow,
        (Mode::RequireAttestation, attestors) => InlineEvaluation::RequireAttestation(attestors),
        (Mode::AlwaysDeny, _) => InlineEvaluation::AlwaysDeny,
    };
    Some(EvaluationRule { evaluation, enforcement: enforcement? })
}

fn required_attestors(object: &Object<'_>) -> Option<Vec<InlineAttestor>> {
    let elements = object.list("requiredAttestors");
    if elements.len() > ATTESTOR_REFERENCES_MAX {
        let given = elements.len();
        object
            .field()
            .fail(format!("{given} requiredAttestors; at most {ATTESTOR_REFERENCES_MAX}"));
        return None;
    }
    let attestors = all(&elements, inline_attestor)?;
    let mut ids = HashSet::new();
    for (field, attestor) in elements.iter().zip(&attestors) {
        if !ids.insert(&attestor.id) {
            field.fail("an attestor with this id is here already; rename one of the two");
        }
    }
    Some(attestors)
}

fn inline_attestor(field: &Field<'_>) -> Option<InlineAttestor> {
    let object = field.object(&["id", "description", "attestationNote", "publicKeys"])?;
    let id = object.required("id").and_then(|field| filled(&field));
    let note = object.required("attestationNote").and_then(|field| field.parsed(str::parse));
    let keys = public_keys(&object);
    Some(InlineAttestor {
        id: id?,
        description: object.text("description"),
        attestation_note: note?,
        public_keys: keys?,
    })
}
