//! The causes of verdicts, in Google's words where it has any, and after them what Hallmark knows
//! beyond. A cause never displaces Google's sentence.

use crate::decision::AttestorReason;
use crate::evaluate::message::{
    CAUSES_BYTES_MAX, NOT_ATTESTED, SHOWN_CHARS_MAX, UNDETERMINED, denial,
};
use crate::excerpt::Excerpt;
use crate::image::{DigestError, ImageError};
use crate::platform::result::AuthenticatorResult;

pub(super) use crate::evaluate::message::DIGEST_REQUIRED;

pub(super) const ALWAYS_DENY: &str = "Denied by always_deny check";
pub(super) const NOT_IN_TRUSTED_DIRECTORY: &str = "Image is not in a trusted directory";
pub(super) const NOT_EVALUATED: &str =
    "Checks of this type are not evaluated, so no image conforms to them";
pub(super) const NO_CHECK_SET: &str = "No check set is for this pod, so no image conforms";

/// An image that is not a reference, or not one of a sha256 digest.
pub(super) fn malformed(error: &ImageError) -> String {
    match error {
        ImageError::Malformed(_) => "This is not an image reference".to_owned(),
        ImageError::Digest(_) => format!("The image has a malformed digest: {DigestError}"),
    }
}

/// Conformant by this authenticator.
pub(super) fn attested(by: &AuthenticatorResult) -> String {
    format!("Image is attested by {}", who(by))
}

/// Nothing verified.
pub(super) fn not_attested(results: &[AuthenticatorResult]) -> String {
    if results.is_empty() {
        return format!("{NOT_ATTESTED} (the check names no project to look for them in)");
    }
    with_causes(NOT_ATTESTED, results)
}

/// Nothing verified, and something could not be tried.
pub(super) fn undetermined(results: &[AuthenticatorResult]) -> String {
    with_causes(UNDETERMINED, results)
}

/// The sentence and the cause of each result, as long as there is room.
fn with_causes(sentence: &str, results: &[AuthenticatorResult]) -> String {
    let mut text = sentence.to_owned();
    let mut room = CAUSES_BYTES_MAX;
    for (index, result) in results.iter().enumerate() {
        let one = format!("; {}{}", who(result), cause(result, room));
        if one.len() > room {
            text.push_str(&format!("; {} more", results.len() - index));
            break;
        }
        room -= one.len();
        text.push_str(&one);
    }
    text
}

/// `authenticator 0 "release" in projects/p`.
fn who(result: &AuthenticatorResult) -> String {
    let name = match result.display_name.as_str() {
        "" => String::new(),
        name => format!(" \"{}\"", Excerpt::<SHOWN_CHARS_MAX>(name)),
    };
    format!("authenticator {}{name} in projects/{}", result.index, result.project)
}

fn cause(result: &AuthenticatorResult, room: usize) -> String {
    match &result.reason {
        AttestorReason::NoKeys => " (it trusts no key)".to_owned(),
        AttestorReason::NoAttestations => " (no attestation of this digest)".to_owned(),
        reason => denial(reason, (&result.trials, &result.others), room).1,
    }
}
