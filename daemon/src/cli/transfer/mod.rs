//! `hallmark export` and `hallmark import`: a whole project between a daemon and a directory of
//! files in the layout of `--config-dir`.
//!
//! What only a daemon sets (etags, times, the ids of occurrences) is left out of the files, and
//! what is left is written in one way only, so that two daemons that hold the same export the same
//! bytes. The file of an occurrence is named by its content.

mod export;
mod import;
mod left_out;

use anyhow::Context;
use hallmark_core::attestor::Attestor;
use hallmark_core::attestor::parse::attestor_from_json;
use hallmark_core::attestor::render::{ApiVersion, attestor_to_json};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::platform::parse::platform_policy_from_json;
use hallmark_core::policy::Policy;
use hallmark_core::policy::parse::policy_from_json;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub(super) use export::Export;
pub(super) use import::Import;

use super::output::string;

/// Bytes of the hash that an occurrence is known by: as many as a UUID has.
const CONTENT_ID_BYTES: usize = 16;

/// Without what only a daemon sets.
fn normal_policy(mut policy: Policy) -> Policy {
    policy.etag.clear();
    policy.update_time.clear();
    policy
}

/// Without what only a daemon sets.
fn normal_attestor(mut attestor: Attestor) -> Value {
    attestor.etag.clear();
    attestor.update_time.clear();
    attestor_to_json(&attestor, ApiVersion::V1)
}

/// Without what only a daemon sets.
fn normal_platform_policy(mut policy: PlatformPolicy) -> PlatformPolicy {
    policy.etag.clear();
    policy.update_time.clear();
    policy
}

/// Without what only a daemon sets.
fn normal_note(note: &Value) -> Value {
    without(note, &["createTime", "updateTime"])
}

/// Without what only a daemon sets, its name among it.
fn normal_occurrence(occurrence: &Value) -> Value {
    without(occurrence, &["name", "createTime", "updateTime"])
}

/// The roles that an IAM policy binds: all of it but what only a daemon sets.
fn normal_iam_policy(policy: &Value) -> Value {
    without(policy, &["etag", "version"])
}

fn without(resource: &Value, members: &[&str]) -> Value {
    let rest = resource.as_object().into_iter().flatten();
    let rest = rest.filter(|(name, _)| !members.contains(&name.as_str()));
    rest.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// The id of an occurrence in normal form, made from its content.
fn content_id(normal: &Value) -> String {
    // The members of an object are kept in the order of the alphabet, so this is one text.
    let hash = Sha256::digest(normal.to_string());
    hash[..CONTENT_ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The policy that a daemon answered, and whether anyone ever wrote it: what stands in for a policy
/// has no etag.
fn policy_of(answer: &Value) -> anyhow::Result<(Policy, bool)> {
    let policy = policy_from_json(&answer.to_string()).with_context(|| string(answer, "name"))?;
    let written = !policy.etag.is_empty();
    Ok((policy, written))
}

fn platform_policy_of(answer: &Value) -> anyhow::Result<PlatformPolicy> {
    platform_policy_from_json(&answer.to_string(), None).with_context(|| string(answer, "name"))
}

fn attestor_of(answer: &Value) -> anyhow::Result<Attestor> {
    attestor_from_json(&answer.to_string(), None).with_context(|| string(answer, "name"))
}
