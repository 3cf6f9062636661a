//! From a plugin's key record to a key that the daemon verifies with.
//!
//! The record's SubjectPublicKeyInfo is judged ([`public_key::judge`]), its type, size and curve are
//! held against the algorithm, and the fingerprint is computed: nothing in a [`VerificationKey`]
//! rests on the word of a plugin but the ids and the validity.

use std::sync::Arc;

use hallmark_core::attestor::{KeyId, SignatureAlgorithm, Validity, VerificationKey};
use hallmark_core::envelope::Envelope;
use hallmark_core::time::UnixTime;
use hallmark_plugin_api::KeyFlags;
use hallmark_plugin_api::host::KeyRecord;
use sha2::{Digest, Sha256};

use crate::public_key::{self, JudgedKey, KeyTypeError};

/// A public key is not usable with its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongKey {
    /// Not one of the types that verify attestations.
    #[error(transparent)]
    Type(#[from] KeyTypeError),
    /// The key is fine, and of another algorithm.
    #[error("the key is {found}, which {declared} cannot be verified with")]
    Mismatch {
        /// What it is.
        found: String,
        /// What it should be.
        declared: SignatureAlgorithm,
    },
    /// The plugin says that the key must not be used for this.
    #[error("the key may not be used to verify")]
    Usage,
}

/// The instance that a record comes from, and what it does for its keys.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its name.
    pub(super) plugin: Arc<str>,
    /// Takes the signatures of its keys apart.
    pub(super) decodes: bool,
    /// Verifies with keys that the host does not verify with.
    pub(super) verifies: bool,
}

/// The keys of records that can be verified with, one for each algorithm. Records that only sign,
/// or that have no algorithm known here, give none; nor do those that only the plugin verifies
/// with, unless it does and says which public key it is.
pub(super) fn of_records(
    records: &[KeyRecord],
    source: &Source,
) -> Result<Vec<VerificationKey>, WrongKey> {
    let mut keys = Vec::with_capacity(records.len());
    for record in records.iter().filter(|record| record.flags.contains(KeyFlags::VERIFY)) {
        let by_host = record.flags.contains(KeyFlags::HOST_VERIFY);
        if !by_host && (!source.verifies || public_key::judge(&record.spki_der).is_err()) {
            continue;
        }
        let names = std::iter::once(&record.id).chain(&record.other_ids);
        let ids: Vec<_> = names.map(|id| KeyId::from(id.as_str())).collect();
        let numbers = record.algorithms.iter().map(|algorithm| algorithm.number());
        for algorithm in numbers.filter_map(SignatureAlgorithm::from_number) {
            let key = verification_key(record, ids.clone(), algorithm, &source.plugin)?;
            let envelope = source.decodes.then(|| envelope(&source.plugin, record));
            let holder = (!by_host).then(|| Arc::clone(&source.plugin));
            keys.push(VerificationKey { envelope, holder, ..key });
        }
    }
    Ok(keys)
}

/// The key of a record, for one algorithm.
pub(super) fn verification_key(
    record: &KeyRecord,
    ids: Vec<KeyId>,
    algorithm: SignatureAlgorithm,
    plugin: &Arc<str>,
) -> Result<VerificationKey, WrongKey> {
    if !record.flags.contains(KeyFlags::VERIFY) {
        return Err(WrongKey::Usage);
    }
    let spki_der = check(&record.spki_der, algorithm)?;
    Ok(VerificationKey {
        ids,
        fingerprint: Sha256::digest(&spki_der).into(),
        spki_der: spki_der.into(),
        algorithm,
        validity: validity(record),
        envelope: None,
        plugin: Arc::clone(plugin),
        holder: None,
    })
}

/// The SubjectPublicKeyInfo of a key that may enter and is of this algorithm, with its point written
/// out.
pub(super) fn check(spki_der: &[u8], algorithm: SignatureAlgorithm) -> Result<Vec<u8>, WrongKey> {
    let JudgedKey { key_type, spki_der } = public_key::judge(spki_der)?;
    match key_type.verifies(algorithm) {
        true => Ok(spki_der),
        false => Err(WrongKey::Mismatch { found: key_type.to_string(), declared: algorithm }),
    }
}

fn envelope(decoder: &Arc<str>, record: &KeyRecord) -> Envelope {
    Envelope { decoder: Arc::clone(decoder), fingerprint: hex(&record.fingerprint).into() }
}

/// A fingerprint as signatures name it: upper-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn validity(record: &KeyRecord) -> Validity {
    let hard = record.flags.contains(KeyFlags::HARD_REVOKED).then_some(i64::MIN);
    Validity {
        not_before: record.not_before.map(UnixTime),
        not_after: record.not_after.map(UnixTime),
        revoked_at: hard.or(record.revoked_at).map(UnixTime),
        outlives_expiry: record.flags.contains(KeyFlags::OUTLIVES_EXPIRY),
        outlives_revocation: record.flags.contains(KeyFlags::OUTLIVES_REVOCATION),
    }
}
