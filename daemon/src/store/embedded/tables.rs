//! The tables of the database and the keys in them.
//!
//! A resource's key is `PROJECT 0x00 ID`: no id holds a zero byte, so keys sort as names do.
//! Notes and projects enter the keys of indexes as the first half of the SHA-256 of their key.

use std::ops::Bound;

use bytes::Bytes;
use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::resource::ResourceName;
use redb::{ReadOnlyTable, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use sha2::{Digest as _, Sha256};

use super::fault::Fault;
use crate::auth::iam::IamResource;
use crate::store::record::Damaged;
use crate::store::{KeyFingerprint, Proof};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table as writes see it.
pub(super) type RawTableOfWrite<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

/// A table as reads see it.
pub(super) type RawTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// `format` → [`FORMAT`].
pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
/// The version of keys and records. Another one is another program's, but for [`FORMAT_BEFORE`].
pub(super) const FORMAT: u64 = 2;
/// The version without entries of projects in [`EVIDENCE`]; [`super::migrate`] adds them.
pub(super) const FORMAT_BEFORE: u64 = 1;

/// `PROJECT 0x00` → policy record.
pub(super) const POLICIES: Definition = TableDefinition::new("policies");
/// Attestor key → attestor record.
pub(super) const ATTESTORS: Definition = TableDefinition::new("attestors");
/// Note key → JSON.
pub(super) const NOTES: Definition = TableDefinition::new("notes");
/// Occurrence key → what is left of the resource beside its evidence.
pub(super) const OCCURRENCES: Definition = TableDefinition::new("occurrences");
/// By digest: [`evidence_key`] → payload and signatures, [`filed_key`] → what is filed there,
/// [`listing_key`] → nothing.
pub(super) const EVIDENCE: Definition = TableDefinition::new("evidence");
/// Note hash, occurrence key → nothing.
pub(super) const BY_NOTE: Definition = TableDefinition::new("by_note");

/// `PROJECT 0x00` and what follows in the name of the resource → IAM policy record.
pub(super) const IAM: Definition = TableDefinition::new("iam");

/// `PROJECT 0x00 PLATFORM/ID` → platform policy record.
pub(super) const PLATFORM_POLICIES: Definition = TableDefinition::new("platform_policies");

/// [`reserved_key`] → key of the occurrence that holds the place.
pub(super) const RESERVED: Definition = TableDefinition::new("reserved");

/// The tables whose keys begin with a project and whose entries make a project known.
pub(super) const OF_PROJECTS: [Definition; 5] =
    [POLICIES, ATTESTORS, NOTES, OCCURRENCES, PLATFORM_POLICIES];

const HASH_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
/// Follows the digest where the entry is evidence of a note.
const TAG_EVIDENCE: u8 = 0;
/// Follows the digest where the entry only says that an occurrence names the digest.
const TAG_LISTING: u8 = 1;
/// Follows the digest where the entry says which evidence lives in a project.
const TAG_PROJECT: u8 = 2;
/// Bytes before the occurrence in the key of evidence, and in that of its entry for the project.
const PLACE_BYTES: usize = DIGEST_BYTES + 1 + HASH_BYTES;

/// Everything that a write may touch.
#[derive(Debug)]
pub(super) struct Tables<'txn> {
    pub(super) policies: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) attestors: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) notes: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) occurrences: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) evidence: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) by_note: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) iam: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) platform_policies: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) reserved: Table<'txn, &'static [u8], &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    /// Opens them all; those that are missing come to be.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            policies: transaction.open_table(POLICIES)?,
            attestors: transaction.open_table(ATTESTORS)?,
            notes: transaction.open_table(NOTES)?,
            occurrences: transaction.open_table(OCCURRENCES)?,
            evidence: transaction.open_table(EVIDENCE)?,
            by_note: transaction.open_table(BY_NOTE)?,
            iam: transaction.open_table(IAM)?,
            platform_policies: transaction.open_table(PLATFORM_POLICIES)?,
            reserved: transaction.open_table(RESERVED)?,
        })
    }

    /// The table of a resource of this kind.
    pub(super) fn at(&self, name: &ResourceName) -> &RawTableOfWrite<'txn> {
        match name {
            ResourceName::Policy(_) => &self.policies,
            ResourceName::Attestor(_) => &self.attestors,
            ResourceName::Note(_) => &self.notes,
            ResourceName::Occurrence(_) => &self.occurrences,
            ResourceName::PlatformPolicy(_) => &self.platform_policies,
        }
    }

    /// The same, to write to.
    pub(super) fn of(&mut self, name: &ResourceName) -> &mut RawTableOfWrite<'txn> {
        match name {
            ResourceName::Policy(_) => &mut self.policies,
            ResourceName::Attestor(_) => &mut self.attestors,
            ResourceName::Note(_) => &mut self.notes,
            ResourceName::Occurrence(_) => &mut self.occurrences,
            ResourceName::PlatformPolicy(_) => &mut self.platform_policies,
        }
    }

    /// True if there is a resource of this name.
    pub(super) fn holds(&self, name: &ResourceName) -> Result<bool, Fault> {
        Ok(self.at(name).get(resource_key(name).as_slice())?.is_some())
    }
}

/// The key of resource `id` in `project`.
pub(super) fn key(project: &ProjectId, id: &str) -> Vec<u8> {
    [project.as_str().as_bytes(), &[0], id.as_bytes()].concat()
}

/// The key of a resource in its table.
pub(super) fn resource_key(name: &ResourceName) -> Vec<u8> {
    match name {
        ResourceName::Policy(project) => project_key(project),
        ResourceName::Attestor(name) => key(name.project(), name.id()),
        ResourceName::Note(name) => key_of_note(name),
        ResourceName::Occurrence(name) => occurrence_key(name),
        ResourceName::PlatformPolicy(name) => platform_policy_key(name),
    }
}

/// The prefix of the keys of all resources in `project`, and the key of its policy.
pub(super) fn project_key(project: &ProjectId) -> Vec<u8> {
    key(project, "")
}

/// The key of the IAM policy of a resource.
pub(super) fn iam_key(resource: &IamResource) -> Vec<u8> {
    match resource {
        IamResource::Policy(project) => key(project, "policy"),
        IamResource::Attestor(name) => key(name.project(), &format!("attestors/{}", name.id())),
        IamResource::Note(name) => key(name.project(), &format!("notes/{}", name.id())),
    }
}

/// The prefix of the keys of all platform policies of `project` for `platform`.
pub(super) fn platform_prefix(project: &ProjectId, platform: Platform) -> Vec<u8> {
    key(project, &format!("{platform}/"))
}

/// The key of a platform policy.
pub(super) fn platform_policy_key(name: &PlatformPolicyName) -> Vec<u8> {
    [platform_prefix(name.project(), name.platform()), name.id().as_bytes().to_vec()].concat()
}

/// The platform policy of a key.
pub(super) fn platform_policy_name(key: &[u8]) -> Result<PlatformPolicyName, Damaged> {
    let (project, rest) = split(key)?;
    let (platform, id) = rest.split_once('/').ok_or("a key has no platform")?;
    let platform = platform.parse().map_err(|_| "a platform is unknown")?;
    PlatformPolicyName::new(project, platform, id).map_err(|_| "a policy id is malformed".into())
}

/// The key of an occurrence.
pub(super) fn occurrence_key(name: &OccurrenceName) -> Vec<u8> {
    key(name.project(), name.id())
}

/// The first half of the SHA-256 of a key.
fn hash(key: &[u8]) -> Vec<u8> {
    Sha256::digest(key)[..HASH_BYTES].to_vec()
}

/// The key of a note.
pub(super) fn key_of_note(note: &NoteName) -> Vec<u8> {
    key(note.project(), note.id())
}

/// The prefix of the keys of all evidence for `digest` under the note of this key.
pub(super) fn note_place(key_of_note: &[u8], digest: &Digest) -> Vec<u8> {
    [digest.0.as_slice(), &[TAG_EVIDENCE], &hash(key_of_note)].concat()
}

/// The prefix of the keys of all entries that say which evidence for `digest` lives in `project`.
pub(super) fn project_place(project: &ProjectId, digest: &Digest) -> Vec<u8> {
    [digest.0.as_slice(), &[TAG_PROJECT], &hash(&project_key(project))].concat()
}

/// The key of one piece of evidence.
pub(super) fn evidence_key(note: &NoteName, digest: &Digest, occurrence: &[u8]) -> Vec<u8> {
    [&note_place(&key_of_note(note), digest), occurrence].concat()
}

/// The key of the entry that says which evidence the occurrence of a project is.
pub(super) fn filed_key(project: &ProjectId, digest: &Digest, occurrence: &[u8]) -> Vec<u8> {
    [&project_place(project, digest), occurrence].concat()
}

/// The digest, and the note or the project, of a key of evidence or of its entry for the project.
pub(super) fn place_of(key: &[u8]) -> &[u8] {
    &key[..key.len().min(PLACE_BYTES)]
}

/// The prefix of the keys of all places that are reserved for a key, given where evidence is.
pub(super) fn reserved_prefix(place: &[u8], key: &KeyFingerprint) -> Vec<u8> {
    [place, half(key)].concat()
}

/// The key of a place that is reserved for a proof, given where evidence is.
pub(super) fn reserved_key(place: &[u8], proof: &Proof) -> Vec<u8> {
    [&reserved_prefix(place, &proof.key), half(&proof.message)].concat()
}

/// As much of a SHA-256 as is needed for nobody to find another of it.
fn half(hash: &[u8; 32]) -> &[u8] {
    &hash[..HASH_BYTES]
}

/// The prefix of the keys of all occurrences that are no evidence, by digest.
pub(super) fn listing_prefix(digest: &Digest) -> Vec<u8> {
    listing_key(digest, &[])
}

/// The key by which an occurrence that is no evidence is found by digest.
pub(super) fn listing_key(digest: &Digest, occurrence: &[u8]) -> Vec<u8> {
    [digest.0.as_slice(), &[TAG_LISTING], occurrence].concat()
}

/// The prefix of the keys of all occurrences of `note` in [`BY_NOTE`].
pub(super) fn note_prefix(note: &NoteName) -> Vec<u8> {
    hash(&key_of_note(note))
}

/// The key by which an occurrence is found by its note.
pub(super) fn note_key(note: &NoteName, occurrence: &[u8]) -> Vec<u8> {
    [&note_prefix(note), occurrence].concat()
}

/// The occurrence key at the end of a [`BY_NOTE`] key.
pub(super) fn occurrence_in_note_key(key: &[u8]) -> Result<&[u8], Damaged> {
    key.get(HASH_BYTES..).ok_or_else(|| "an index key is cut short".into())
}

/// The occurrence key at the end of an [`EVIDENCE`] key.
pub(super) fn occurrence_in_evidence_key(key: &[u8]) -> Result<&[u8], Damaged> {
    let before = match key.get(DIGEST_BYTES) {
        Some(&TAG_EVIDENCE | &TAG_PROJECT) => PLACE_BYTES,
        Some(&TAG_LISTING) => DIGEST_BYTES + 1,
        _ => return Err("an index key has an unknown tag".into()),
    };
    key.get(before..).ok_or_else(|| "an index key is cut short".into())
}

/// The project and the id of a resource's key.
pub(super) fn split(key: &[u8]) -> Result<(ProjectId, &str), Damaged> {
    let text = str::from_utf8(key).map_err(|_| "a key is not UTF-8")?;
    let (project, id) = text.split_once('\0').ok_or("a key has one part")?;
    Ok((project.parse().map_err(|_| "a project id is malformed")?, id))
}

/// The occurrence of a key.
pub(super) fn occurrence_name(key: &[u8]) -> Result<OccurrenceName, Damaged> {
    let (project, id) = split(key)?;
    OccurrenceName::new(project, id).map_err(|_| "an occurrence id is malformed".into())
}

/// Entries whose keys begin with `prefix` and come after `after`, a whole key of the table.
pub(super) fn scan(
    table: &RawTable,
    prefix: &[u8],
    after: Option<&[u8]>,
) -> Result<impl Iterator<Item = Result<(Bytes, Bytes), Fault>> + use<>, Fault> {
    let from =
        after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
    let end = successor(prefix);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let range = table.range::<&[u8]>((from, to))?;
    Ok(range.map(|entry| {
        let (key, value) = entry?;
        Ok((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())))
    }))
}

/// The least key that does not begin with `prefix` and comes after those that do.
pub(super) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_ends_a_prefix() {
        assert_eq!(successor(b"p\0"), Some(b"p\x01".to_vec()));
        assert_eq!(successor(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(successor(&[0xff, 0xff]), None);
    }
}
