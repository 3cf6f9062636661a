//! Evidence in portions that are examined one after the other, until one holds what is looked for.
//!
//! Whoever may attach to a note may file as much as the store takes, with the ids of trusted keys
//! and in formats that are costly to take apart. Portions keep the price of one step small, and no
//! number of steps hides a good attestation: the deadline of the request is the only end.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::attestor::{KeyId, VerificationKey};
use crate::occurrence::{Attestation, Signature};

/// Signatures of one portion: what one batch verifies in some ten milliseconds.
pub const SIGNATURES_MAX: usize = 1_000;

/// Signatures of one portion that a plugin takes apart. Each may come to
/// `hallmark_plugin_api::host::limits::BLOB_BYTES`, so these are 19 MiB.
pub const ENVELOPES_MAX: usize = 16;

/// Some attestations of one digest, examined together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// In their order.
    pub attestations: Vec<Attestation>,
    /// Their signatures.
    pub signatures: usize,
    /// Those of them that a plugin takes apart.
    pub envelopes: usize,
}

/// The ids under which signatures of `keys` come in envelopes.
pub fn enveloped_ids<'a>(
    keys: impl IntoIterator<Item = &'a Arc<VerificationKey>>,
) -> HashSet<&'a KeyId> {
    let enveloped = keys.into_iter().filter(|key| key.envelope.is_some());
    enveloped.flat_map(|key| key.ids.iter()).collect()
}

/// The attestations in portions, in their order. One with more signatures than a portion holds is
/// split; `enveloped` are the ids of [`enveloped_ids`].
pub fn portions(attestations: Vec<Attestation>, enveloped: &HashSet<&KeyId>) -> VecDeque<Portion> {
    let mut portions = VecDeque::new();
    let mut portion = Portion::default();
    for attestation in attestations {
        for part in parts(attestation, enveloped) {
            if !portion.takes(&part, enveloped) {
                portions.push_back(std::mem::take(&mut portion));
            }
            portion.add(part, enveloped);
        }
    }
    if !portion.attestations.is_empty() {
        portions.push_back(portion);
    }
    portions
}

impl Portion {
    fn takes(&self, part: &Attestation, enveloped: &HashSet<&KeyId>) -> bool {
        self.signatures + part.signatures.len() <= SIGNATURES_MAX
            && self.envelopes + envelopes(&part.signatures, enveloped) <= ENVELOPES_MAX
    }

    fn add(&mut self, part: Attestation, enveloped: &HashSet<&KeyId>) {
        self.signatures += part.signatures.len();
        self.envelopes += envelopes(&part.signatures, enveloped);
        self.attestations.push(part);
    }
}

/// An attestation in parts that each fit into a portion.
fn parts(attestation: Attestation, enveloped: &HashSet<&KeyId>) -> Vec<Attestation> {
    let fits = attestation.signatures.len() <= SIGNATURES_MAX
        && envelopes(&attestation.signatures, enveloped) <= ENVELOPES_MAX;
    if fits {
        return vec![attestation];
    }
    let mut parts = Vec::new();
    let mut first = 0;
    while first < attestation.signatures.len() {
        let count = fitting(&attestation.signatures[first..], enveloped);
        parts.push(Attestation {
            occurrence: attestation.occurrence.clone(),
            payload: attestation.payload.clone(),
            signatures: attestation.signatures[first..first + count].to_vec(),
            first_signature: attestation.first_signature + first,
        });
        first += count;
    }
    parts
}

/// The number of signatures, from the first on, that fit into one portion.
fn fitting(signatures: &[Signature], enveloped: &HashSet<&KeyId>) -> usize {
    let mut left = ENVELOPES_MAX;
    let fits = |signature: &&Signature| {
        if !enveloped.contains(&signature.key_id) {
            return true;
        }
        let fits = left > 0;
        left = left.saturating_sub(1);
        fits
    };
    signatures.iter().take(SIGNATURES_MAX).take_while(fits).count()
}

fn envelopes(signatures: &[Signature], enveloped: &HashSet<&KeyId>) -> usize {
    signatures.iter().filter(|signature| enveloped.contains(&signature.key_id)).count()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn attestation(number: usize, keys: &[(&str, usize)]) -> Attestation {
        let signatures = keys.iter().flat_map(|&(key, count)| {
            std::iter::repeat_n(Signature { key_id: key.into(), signature: Bytes::new() }, count)
        });
        Attestation {
            occurrence: format!("projects/p/occurrences/{number}").parse().unwrap(),
            payload: Bytes::from("payload"),
            signatures: signatures.collect(),
            first_signature: 0,
        }
    }

    /// Of each portion, of each attestation in it: its number, the first signature, and how many.
    fn split(attestations: Vec<Attestation>) -> Vec<Vec<(String, usize, usize)>> {
        let pgp = KeyId::from("pgp");
        let portions = portions(attestations, &HashSet::from([&pgp]));
        let part = |one: &Attestation| {
            (one.occurrence.id().to_owned(), one.first_signature, one.signatures.len())
        };
        portions.iter().map(|portion| portion.attestations.iter().map(part).collect()).collect()
    }

    fn part(number: usize, first: usize, count: usize) -> (String, usize, usize) {
        (number.to_string(), first, count)
    }

    #[test]
    fn a_portion_holds_so_many_signatures() {
        let each = |count| (0..count).map(|number| attestation(number, &[("k", 1)])).collect();
        assert_eq!(split(Vec::new()), Vec::<Vec<_>>::new());
        assert_eq!(split(each(SIGNATURES_MAX)).len(), 1);
        let sizes: Vec<_> = split(each(SIGNATURES_MAX + 1)).iter().map(Vec::len).collect();
        assert_eq!(sizes, [SIGNATURES_MAX, 1]);
        let long = vec![attestation(0, &[("k", 2_500)])];
        let expected = [part(0, 0, 1_000), part(0, 1_000, 1_000), part(0, 2_000, 500)];
        assert_eq!(split(long), expected.map(|part| vec![part]));
    }

    #[test]
    fn a_portion_holds_so_many_envelopes_and_no_signature_is_lost() {
        let mixed = vec![
            attestation(0, &[("k", 3), ("pgp", ENVELOPES_MAX)]),
            attestation(1, &[("k", 7)]),
            attestation(2, &[("pgp", ENVELOPES_MAX + 1), ("k", 2)]),
        ];
        let expected = [
            vec![part(0, 0, 3 + ENVELOPES_MAX), part(1, 0, 7)],
            vec![part(2, 0, ENVELOPES_MAX)],
            vec![part(2, ENVELOPES_MAX, 3)],
        ];
        assert_eq!(split(mixed), expected);
    }
}
