//! The conditions of a write, checked in its transaction before anything is touched.

use std::ops::Bound;

use hallmark_core::names::{NoteName, PlatformPolicyName};
use hallmark_core::resource::ResourceName;
use redb::ReadableTable as _;
use serde_json::Value;

use super::fault::Fault;
use super::tables::{
    Tables, iam_key, key_of_note, platform_prefix, project_key, resource_key, successor,
};
use super::write::{Prepared, PreparedChange, stored_occurrence};
use crate::store::record;
use crate::store::{Given, StoreError, version};

/// Why a write is not carried out, if it is not.
pub(super) fn refusal(
    tables: &Tables<'_>,
    Prepared { change, given }: &Prepared,
) -> Result<Option<StoreError>, Fault> {
    for given in given {
        let refused = match given {
            Given::Version(expected) => overtaken(tables, change, expected)?,
            Given::Exists(name) => {
                (!tables.holds(name)?).then(|| StoreError::NotFound(name.clone()))
            }
            Given::NoteOfKind(note, kind) => of_other_kind(tables, note, kind)?,
            Given::HasNote(note) => under_other_note(tables, change, note)?,
            Given::FewerThan(limit) => too_many(tables, change, *limit)?,
        };
        if refused.is_some() {
            return Ok(refused);
        }
    }
    Ok(None)
}

/// Checks the version of what is written: it fails if that is another than when it was read, or if
/// the resource is gone.
fn overtaken(
    tables: &Tables<'_>,
    change: &PreparedChange,
    expected: &str,
) -> Result<Option<StoreError>, Fault> {
    let (name, current) = match change {
        PreparedChange::Create { .. } => return Ok(None),
        PreparedChange::PutIamPolicy { resource, .. } => {
            let record = tables.iam.get(iam_key(resource).as_slice())?;
            let etag = record.map(|record| record::etag(record.value())).transpose()?;
            (resource.clone().into(), Some(etag.unwrap_or_default()))
        }
        PreparedChange::Replace(one) => (one.name.clone(), version_of(tables, &one.name)?),
        PreparedChange::ReplaceOccurrence(one) => {
            let name = one.name.clone().into();
            let current = version_of(tables, &name)?;
            (name, current)
        }
        PreparedChange::Delete(name) => (name.clone(), version_of(tables, name)?),
    };
    let current = match (current, &name) {
        (Some(current), _) => current,
        (None, ResourceName::Policy(_)) => String::new(),
        (None, _) => return Ok(Some(StoreError::NotFound(name))),
    };
    Ok((current != expected).then_some(StoreError::EtagMismatch { name, current }))
}

/// The version of what is stored by that name.
fn version_of(tables: &Tables<'_>, name: &ResourceName) -> Result<Option<String>, Fault> {
    if let ResourceName::Occurrence(name) = name {
        let stored = stored_occurrence(tables, name)?;
        return Ok(stored.map(|stored| version(&stored.head().json).to_owned()));
    }
    let record = tables.at(name).get(resource_key(name).as_slice())?;
    let version = |record: &[u8]| match name {
        ResourceName::Note(_) => record::version_of_note(record),
        _ => record::etag(record),
    };
    Ok(record.map(|record| version(record.value())).transpose()?)
}

fn of_other_kind(
    tables: &Tables<'_>,
    name: &NoteName,
    expected: &str,
) -> Result<Option<StoreError>, Fault> {
    let Some(record) = tables.notes.get(key_of_note(name).as_slice())? else {
        return Ok(Some(StoreError::NotFound(name.clone().into())));
    };
    let note = record::decode_note(name, record.value())?;
    let kind = note.json.get("kind").and_then(Value::as_str);
    let other = kind.filter(|kind| *kind != expected);
    Ok(other.map(|kind| StoreError::OtherKind { note: note.name.clone(), kind: kind.to_owned() }))
}

fn under_other_note(
    tables: &Tables<'_>,
    change: &PreparedChange,
    expected: &NoteName,
) -> Result<Option<StoreError>, Fault> {
    let PreparedChange::Replace(one) = change else { return Ok(None) };
    let ResourceName::Attestor(name) = &one.name else { return Ok(None) };
    let Some(record) = tables.attestors.get(resource_key(&one.name).as_slice())? else {
        return Ok(Some(StoreError::NotFound(one.name.clone())));
    };
    let note = record::decode_attestor(name.clone(), record.value())?.note;
    Ok((note != *expected).then(|| StoreError::OtherNote { name: name.clone(), note }))
}

/// As many of the kind that is created are there, and none by that name.
fn too_many(
    tables: &Tables<'_>,
    change: &PreparedChange,
    limit: usize,
) -> Result<Option<StoreError>, Fault> {
    let PreparedChange::Create { plain, .. } = change else { return Ok(None) };
    for one in plain {
        let (prefix, place, what) = match &one.name {
            ResourceName::Attestor(name) => {
                let project = name.project();
                (project_key(project), format!("projects/{project}"), "attestors")
            }
            ResourceName::PlatformPolicy(name) => (platform(name), of_platform(name), "policies"),
            ResourceName::Policy(_) | ResourceName::Note(_) | ResourceName::Occurrence(_) => {
                continue;
            }
        };
        let end = successor(&prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let held = tables.at(&one.name).range::<&[u8]>((Bound::Included(&*prefix), to))?;
        let held = held.take(limit).count();
        if held >= limit && !tables.holds(&one.name)? {
            return Ok(Some(StoreError::TooMany { place, what, limit }));
        }
    }
    Ok(None)
}

fn platform(name: &PlatformPolicyName) -> Vec<u8> {
    platform_prefix(name.project(), name.platform())
}

fn of_platform(name: &PlatformPolicyName) -> String {
    format!("projects/{}/platforms/{}", name.project(), name.platform())
}
