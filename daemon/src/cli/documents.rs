//! Files in YAML or JSON that are sent on as they are read.

use std::path::PathBuf;

use anyhow::Context;
use hallmark_core::document::read::resource;
use hallmark_core::document::{Document, DocumentLimits};
use serde_json::Value;

use super::client::read_input;

/// The value that a file holds: JSON where its name says so, otherwise YAML, of which JSON is a
/// part. `-` is standard input.
pub(super) fn value(file: &PathBuf) -> anyhow::Result<Value> {
    let what = || format!("cannot use {}", file.display());
    let document = document(file)?;
    resource(document.root(), |root| root.json()).with_context(what)
}

/// The document in a file; see [`value`].
pub(super) fn document(file: &PathBuf) -> anyhow::Result<Document> {
    let bytes = read_input(file)?;
    let json = file.extension().is_some_and(|extension| extension == "json");
    let name = if json { "document.json" } else { "document.yaml" };
    Document::from_file(name, &bytes, &DocumentLimits::DEFAULT)
        .with_context(|| format!("cannot use {}", file.display()))
}
