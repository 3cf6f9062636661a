//! From a plugin's key record to a key that the daemon verifies with.
//!
//! The record's SubjectPublicKeyInfo is judged ([`public_key::judge`]), its type, size and curve are
//! held against the algorithm, and the fingerprint is computed: nothing in a [`VerificationKey`]
//! rests on the word of a plugin but the ids and the validity.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hallmark_core::attestor::{KeyId, SignatureAlgorithm, Spki, Validity, VerificationKey};
use hallmark_core::envelope::Envelope;
use hallmark_core::time::UnixTime;
use hallmark_plugin_api::host::{KeyRecord, PluginInfo};
use hallmark_plugin_api::{Caps, KeyFlags};
use sha2::{Digest, Sha256};

use super::ownership::{ForeignId, HASH_SCHEME, Ownership, scheme};
use crate::public_key::{self, KeyTypeError};

/// A key of a plugin is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongKey {
    /// There is no key: the plugin says why, or what it says of one breaks the contract.
    #[error("{0}")]
    Unusable(String),
    /// Not one of the types that verify attestations.
    #[error(transparent)]
    Type(#[from] KeyTypeError),
    /// The key is fine, and of another algorithm.
    #[error("the key is {found}, which {declared} cannot be verified with")]
    Mismatch {
        /// The key's own type.
        found: String,
        /// The algorithm that it should be for.
        declared: SignatureAlgorithm,
    },
    /// Nothing is verified here with any of its algorithms.
    #[error("it names no algorithm that is verified here")]
    Algorithm,
    /// The plugin says that the key must not be used for this.
    #[error("the key may not be used to verify")]
    Usage,
    /// Its id means other keys.
    #[error(transparent)]
    Foreign(#[from] ForeignId),
    /// No attestor can name it.
    #[error("none of its ids has a scheme that the plugin claims: no attestor can name it")]
    Unclaimed,
    /// Listed before, word for word.
    #[error("it is listed twice")]
    Twice,
    /// Several keys go by one id, and the plugin does not declare it.
    #[error("several keys go by the id `{0}`, which the plugin does not declare: none is used")]
    Ambiguous(String),
}

/// A key of a source that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// Its id.
    pub id: String,
    /// The fault in it.
    pub why: String,
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
    /// Schemes of the ids of its keys, in lower case.
    pub(super) schemes: Vec<String>,
}

impl Source {
    /// The instance of that name, of such a plugin.
    pub(super) fn new(plugin: &str, info: &PluginInfo) -> Self {
        Self {
            plugin: plugin.into(),
            decodes: info.caps.contains(Caps::DECODE),
            verifies: info.caps.contains(Caps::VERIFY),
            schemes: info.schemes.clone(),
        }
    }
}

/// The keys of a snapshot, as the daemon uses them.
#[derive(Debug, Default)]
pub(super) struct SnapshotKeys {
    /// Those that can be verified with.
    pub(super) keys: Vec<VerificationKey>,
    /// Those that are not used.
    pub(super) refused: Vec<RefusedKey>,
    /// By what the plugin knows those that it verifies with itself: handles count in this snapshot
    /// only.
    handles: HashMap<HeldKey, u64>,
}

/// A key that its plugin verifies with: its own id, its fingerprint, and what with.
type HeldKey = (KeyId, [u8; 32], SignatureAlgorithm);

impl SnapshotKeys {
    /// The handle of a key that a decision holds, if it is in the snapshot still: the same id and the
    /// same key.
    pub(super) fn handle(&self, key: &VerificationKey) -> Option<u64> {
        self.handles.get(&held_key(key)?).copied()
    }

    fn add(&mut self, keys: Vec<VerificationKey>, handle: u64) {
        for key in &keys {
            let named = held_key(key).filter(|_| key.holder.is_some());
            named.map(|named| self.handles.entry(named).or_insert(handle));
        }
        self.keys.extend(keys);
    }
}

fn held_key(key: &VerificationKey) -> Option<HeldKey> {
    Some((key.ids.first()?.clone(), key.fingerprint, key.algorithm))
}

/// The keys of a snapshot. One bad key takes nothing from the others: what its source removed must
/// not stay for its sake.
pub(super) fn of_snapshot(
    records: &[KeyRecord],
    source: &Source,
    ownership: &Ownership,
) -> SnapshotKeys {
    let mut of_snapshot = SnapshotKeys::default();
    let mut doubled = doubled(records);
    for (index, record) in records.iter().enumerate() {
        let judged = match doubled.remove(&index) {
            Some(wrong) => Err(wrong),
            None => permitted(record, source, ownership).and_then(|()| of_record(record, source)),
        };
        match judged {
            Ok(keys) => of_snapshot.add(keys, record.handle),
            Err(wrong) => {
                let refused = RefusedKey { id: record.id.clone(), why: wrong.to_string() };
                of_snapshot.refused.push(refused);
            }
        }
    }
    of_snapshot
}

/// The keys of inline material that can be verified with: all of them or none, since whoever wrote
/// it is there to be told.
pub(super) fn of_material(
    records: &[KeyRecord],
    source: &Source,
) -> Result<Vec<VerificationKey>, WrongKey> {
    let each = records.iter().map(|record| of_record(record, source));
    Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Judges the keys that a plugin lists, as the daemon does before it uses them: those that it would
/// not use, and why. Whose their ids are is a matter of the configuration.
pub(crate) fn judge(records: &[KeyRecord], info: &PluginInfo) -> Vec<RefusedKey> {
    of_snapshot(records, &Source::new("", info), &Ownership::default()).refused
}

fn permitted(record: &KeyRecord, source: &Source, ownership: &Ownership) -> Result<(), WrongKey> {
    if !record.flags.contains(KeyFlags::VERIFY) {
        return Ok(());
    }
    ownership.permits(&source.plugin, record)?;
    let claimed = |scheme: String| scheme == HASH_SCHEME || source.schemes.contains(&scheme);
    match names(record).filter_map(scheme).any(claimed) {
        true => Ok(()),
        false => Err(WrongKey::Unclaimed),
    }
}

/// The records, by position, whose ids do not say which key they mean.
fn doubled(records: &[KeyRecord]) -> BTreeMap<usize, WrongKey> {
    let mut by_id: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        if record.flags.contains(KeyFlags::VERIFY) {
            for id in names(record) {
                by_id.entry(id).or_default().push(index);
            }
        }
    }
    let mut doubled = BTreeMap::new();
    for (id, mut indices) in by_id {
        // One key may go by the same id twice.
        indices.dedup();
        let declared = |&index: &usize| records[index].flags.contains(KeyFlags::SHARES_ID);
        if indices.len() < 2 || indices.iter().all(declared) {
            continue;
        }
        let first = &records[indices[0]];
        if indices.iter().all(|&index| is_same(first, &records[index])) {
            doubled.extend(indices[1..].iter().map(|&index| (index, WrongKey::Twice)));
        } else {
            let ambiguous = || WrongKey::Ambiguous(id.to_owned());
            doubled.extend(indices.iter().map(|&index| (index, ambiguous())));
        }
    }
    doubled
}

fn is_same(one: &KeyRecord, other: &KeyRecord) -> bool {
    *one == KeyRecord { handle: one.handle, ..other.clone() }
}

fn names(record: &KeyRecord) -> impl Iterator<Item = &str> {
    std::iter::once(&record.id).chain(&record.other_ids).map(String::as_str)
}

/// The keys of a record, one for each algorithm. Records that only sign give none; nor do those
/// that only the plugin verifies with, unless it does.
fn of_record(record: &KeyRecord, source: &Source) -> Result<Vec<VerificationKey>, WrongKey> {
    if let Some(why) = &record.unusable {
        return Err(WrongKey::Unusable(why.clone()));
    }
    if !record.flags.contains(KeyFlags::VERIFY) {
        return Ok(Vec::new());
    }
    let by_host = record.flags.contains(KeyFlags::HOST_VERIFY);
    if !by_host && !source.verifies {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = names(record).map(KeyId::from).collect();
    let mut keys = Vec::new();
    for &algorithm in &record.algorithms {
        let key = verification_key(record, ids.clone(), algorithm, &source.plugin)?;
        let envelope = source.decodes.then(|| envelope(&source.plugin, record));
        let holder = (!by_host).then(|| Arc::clone(&source.plugin));
        keys.push(VerificationKey { envelope, holder, ..key });
    }
    match keys.is_empty() {
        // The key itself may be what is wrong.
        true => Err(public_key::judge(&record.spki_der)
            .map_or_else(WrongKey::from, |_| WrongKey::Algorithm)),
        false => Ok(keys),
    }
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
    let spki = check(&record.spki_der, algorithm)?;
    Ok(VerificationKey {
        ids,
        fingerprint: Sha256::digest(spki.der()).into(),
        spki,
        algorithm,
        validity: validity(record),
        envelope: None,
        plugin: Arc::clone(plugin),
        holder: None,
    })
}

/// The key, if it may enter and is of this algorithm.
pub(super) fn check(spki_der: &[u8], algorithm: SignatureAlgorithm) -> Result<Spki, WrongKey> {
    let spki = public_key::judge(spki_der)?;
    let found = spki.key_type();
    match found.verifies(algorithm) {
        true => Ok(spki),
        false => Err(WrongKey::Mismatch { found: found.to_string(), declared: algorithm }),
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
