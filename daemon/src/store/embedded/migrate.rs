//! Databases of the format before, brought to the present one: evidence gets its entries for
//! projects.

use std::collections::HashSet;

use bytes::Bytes;
use redb::{Database, ReadableTable as _};

use super::fault::Fault;
use super::occurrence::{Filed, Stored, count_signatures};
use super::tables::{FORMAT, META, Tables, key_of_note, occurrence_name};
use super::write::Keys;
use crate::store::record::Damaged;

/// Brings `database` from [`super::tables::FORMAT_BEFORE`] to [`FORMAT`], whole or not at all.
pub(super) fn migrate(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    let mut tables = Tables::open(&transaction)?;
    file_for_projects(&mut tables)?;
    drop(tables);
    Ok(transaction.commit()?)
}

fn file_for_projects(tables: &mut Tables<'_>) -> Result<(), Fault> {
    let mut proven = HashSet::new();
    for entry in tables.reserved.iter()? {
        proven.insert(entry?.1.value().to_vec());
    }
    for entry in tables.occurrences.iter()? {
        let (own, record) = entry?;
        let name = occurrence_name(own.value())?;
        let stored = Stored::decode(name, Bytes::copy_from_slice(record.value()))?;
        let keys = Keys::of(stored.head(), stored.evidence().is_some());
        let (Some(evidence), Some(key)) = (keys.evidence, keys.filed) else { continue };
        let (signatures, bytes) = {
            let record = tables.evidence.get(evidence.as_slice())?;
            let record = record.ok_or_else(|| Damaged::from("evidence is missing"))?;
            (count_signatures(record.value())?, record.value().len())
        };
        let note = key_of_note(&stored.head().note).into();
        let filed = Filed { proven: proven.contains(own.value()), signatures, bytes, note };
        tables.evidence.insert(key.as_slice(), filed.encode().as_slice())?;
    }
    Ok(())
}
