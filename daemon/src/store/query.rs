//! The meaning of an [`OccurrenceQuery`]: one for every store.

use hallmark_core::image::Digest;
use hallmark_core::occurrence::Occurrence;

use super::{OccurrenceQuery, OccurrenceScope};

/// `sha256:` and 64 hexadecimal digits.
const DIGEST_TEXT_BYTES: usize = 71;

/// True if `occurrence` is asked for.
pub(super) fn matches(query: &OccurrenceQuery, occurrence: &Occurrence) -> bool {
    let in_scope = match &query.scope {
        OccurrenceScope::Project(project) => occurrence.name.project() == project,
        OccurrenceScope::Note(note) => &occurrence.note == note,
    };
    let uri = occurrence.resource_uri.as_str();
    in_scope
        && query.note.as_ref().is_none_or(|note| &occurrence.note == note)
        && query.kind.as_ref().is_none_or(|kind| &occurrence.kind == kind)
        && query
            .resource_uri
            .as_ref()
            .is_none_or(|wanted| without_scheme(wanted) == without_scheme(uri))
        && query.resource_uri_suffix.as_ref().is_none_or(|suffix| uri.ends_with(suffix.as_str()))
}

/// The digest that every match must have, where the query says so: then an index finds them.
pub(super) fn wanted_digest(query: &OccurrenceQuery) -> Option<Digest> {
    [&query.resource_uri, &query.resource_uri_suffix]
        .into_iter()
        .flatten()
        .find_map(|text| digest_at_end(text))
}

/// The digest that `uri` ends with.
pub(super) fn digest_at_end(uri: &str) -> Option<Digest> {
    uri.get(uri.len().checked_sub(DIGEST_TEXT_BYTES)?..)?.parse().ok()
}

fn without_scheme(uri: &str) -> &str {
    uri.strip_prefix("https://").unwrap_or(uri)
}
