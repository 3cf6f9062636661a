//! Writing notes and occurrences: what was read, with what only the daemon sets.

use serde_json::{Map, Value};

use super::{Note, Occurrence};

/// The resource in JSON.
pub fn occurrence_to_json(occurrence: &Occurrence) -> Value {
    occurrence.json.clone().into()
}

/// The resource in JSON.
pub fn note_to_json(note: &Note) -> Value {
    note.json.clone().into()
}

impl Occurrence {
    /// Sets when it was created and last changed, both RFC 3339.
    pub fn stamp(&mut self, create_time: &str, update_time: &str) {
        stamp(&mut self.json, create_time, update_time);
    }
}

impl Note {
    /// Sets when it was created and last changed, both RFC 3339.
    pub fn stamp(&mut self, create_time: &str, update_time: &str) {
        stamp(&mut self.json, create_time, update_time);
    }
}

fn stamp(json: &mut Map<String, Value>, create_time: &str, update_time: &str) {
    json.insert("createTime".to_owned(), create_time.into());
    json.insert("updateTime".to_owned(), update_time.into());
}
