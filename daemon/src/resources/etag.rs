//! Etags and times of writes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Bytes of an etag before base64: Google's `"Mna+BCqXznjH"` has as many.
const ETAG_BYTES: usize = 9;

/// When a write happens, in RFC 3339 with microseconds as Google's service writes it.
pub(super) fn now() -> String {
    format!("{:.6}", Timestamp::now())
}

/// The same, and another than `before`: what tells one state from the next by its time must not
/// look like no change.
pub(super) fn now_after(before: &str) -> String {
    loop {
        let now = now();
        if now != before {
            return now;
        }
    }
}

/// Bytes of an IAM policy's etag, as many as Google's have.
const IAM_ETAG_BYTES: usize = 8;

/// As [`fresh`], for an IAM policy: bytes in base64.
pub(super) fn fresh_iam() -> String {
    STANDARD.encode(&Uuid::new_v4().as_bytes()[..IAM_ETAG_BYTES])
}

/// The etag of a resource that is about to be written: quoted, never the same twice, even for the
/// same content. Were it made of the content alone, A → B → A would look like no change.
pub(super) fn fresh(name: &str, update_time: &str) -> String {
    let mut hash = Sha256::new();
    for part in [name.as_bytes(), update_time.as_bytes(), Uuid::new_v4().as_bytes()] {
        hash.update(part);
    }
    format!("\"{}\"", STANDARD.encode(&hash.finalize()[..ETAG_BYTES]))
}

/// The precondition in an etag that a client sent: an empty one asks for nothing.
pub(super) fn expected(sent: &str) -> Option<String> {
    (!sent.is_empty()).then(|| sent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_quoted_and_differ_with_every_write() {
        let (first, second) = (fresh("projects/p/policy", "t"), fresh("projects/p/policy", "t"));
        assert_ne!(first, second);
        assert!(first.len() == 14 && first.starts_with('"') && first.ends_with('"'), "{first}");
    }

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        let text = now();
        assert!(text.parse::<Timestamp>().is_ok(), "{text}");
        assert_eq!(text.len(), "2024-05-12T05:17:42.444479Z".len());
    }
}
