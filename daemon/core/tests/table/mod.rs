//! The shared part of the decision tables: the evidence of a row, and what its signatures stand
//! for.

use bytes::Bytes;
use hallmark_core::image::Digest;
use hallmark_core::occurrence::{Attestation, Evidence, EvidenceError, Signature};
use hallmark_core::payload::simple_signing;
use hallmark_core::verdict::{Check, SignedForm, Unavailable, Verdict, Verified};
use serde::Deserialize;

/// An attestation of a row.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OccurrenceRow {
    digest: Option<String>,
    payload: Option<String>,
    sign: Vec<String>,
}

/// The evidence that is stored for `digest` in one place, or the fault of that place. Keys are
/// named without `key_prefix`.
pub(crate) fn evidence(
    stored: Option<&Vec<OccurrenceRow>>,
    fault: Option<&String>,
    digest: Digest,
    key_prefix: &str,
) -> Evidence {
    match fault.map(String::as_str) {
        Some("deadline") => return Err(EvidenceError::Deadline),
        Some(why) => return Err(EvidenceError::Unavailable(why.to_owned())),
        None => {}
    }
    let stored = stored.into_iter().flatten().enumerate();
    let of_digest = stored.filter_map(|(number, row)| {
        let filed = row.digest.as_ref().is_none_or(|filed| filed.parse() == Ok(digest));
        filed.then(|| row.attestation(number, digest, key_prefix))
    });
    Ok(of_digest.collect())
}

impl OccurrenceRow {
    fn attestation(&self, number: usize, digest: Digest, key_prefix: &str) -> Attestation {
        let signature = |text: &String| {
            let (key, answer) = text.split_once(' ').expect("KEY ANSWER");
            let key_id = format!("{key_prefix}{key}").as_str().into();
            Signature { key_id, signature: Bytes::from(answer.to_owned()) }
        };
        Attestation {
            occurrence: format!("projects/p/occurrences/{number}").parse().expect("a name"),
            payload: match &self.payload {
                Some(payload) => Bytes::from(payload.clone()),
                None => simple_signing::payload("r/app", digest).into(),
            },
            signatures: self.sign.iter().map(signature).collect(),
            first_signature: 0,
        }
    }
}

/// The verdict that a signature of the table stands for.
pub(crate) fn answer(check: &Check) -> Verdict {
    match &*check.signature {
        b"raw" => Verdict::Verified(Verified::assertion(SignedForm::Raw)),
        b"pae" => Verdict::Verified(Verified::assertion(SignedForm::Pae)),
        b"bad" => Verdict::BadSignature,
        b"overloaded" => Verdict::Unavailable(Unavailable::Overloaded),
        b"late" => Verdict::Unavailable(Unavailable::Deadline),
        b"panicked" => Verdict::Unavailable(Unavailable::Panicked),
        b"disputed" => Verdict::Unavailable(Unavailable::Disagreement),
        other => panic!("{other:?} is no answer"),
    }
}
