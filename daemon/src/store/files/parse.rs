//! From files to resources: all of them, or everything that is wrong with them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hallmark_core::attestor::parse::attestor_from_document;
use hallmark_core::document::read::{FieldErrors, resource as read};
use hallmark_core::document::{Document, DocumentError, DocumentLimits, Value};
use hallmark_core::limits::Limits;
use hallmark_core::names::{
    AttestorName, NameError, NoteName, OccurrenceName, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::parse::{note_from_document, occurrence_from_document};
use hallmark_core::platform::parse::platform_policy_from_document;
use hallmark_core::policy::parse::policy_from_document;

use sha2::{Digest as _, Sha256};

use super::FilesStore;
use super::error::{FileFault, FilesError};
use super::tree::{Iam, Kind, Source, Tree};
use crate::auth::iam::{IamPolicy, IamResource};

/// Bytes of a policy's etag, as many as that of the API has.
const ETAG_BYTES: usize = 9;

/// The resources of all files.
pub(super) fn parse(tree: &Tree) -> Result<FilesStore, FilesError> {
    parse_placed(tree, &mut |_, _| {})
}

/// Tells the name of a resource and the file that it was read from.
pub(super) type Placed<'a> = dyn FnMut(&dyn Display, &Path) + 'a;

/// As [`parse`]; tells `placed` where each resource was read.
pub(super) fn parse_placed(tree: &Tree, placed: &mut Placed<'_>) -> Result<FilesStore, FilesError> {
    let mut store = FilesStore::default();
    let mut faults = FilesError::default();
    for source in &tree.sources {
        if let Err(fault) = file(source, &mut store, &mut faults, placed) {
            faults.push(&source.path, fault);
        }
    }
    for source in &tree.sources {
        if let Kind::Iam(of) = source.kind
            && let Err(fault) = iam(source, of, &mut store, placed)
        {
            faults.push(&source.path, fault);
        }
    }
    store.index_evidence();
    faults.or(store)
}

fn file(
    source: &Source,
    store: &mut FilesStore,
    faults: &mut FilesError,
    placed: &mut Placed<'_>,
) -> Result<(), FileFault> {
    if matches!(source.kind, Kind::Iam(_)) {
        return Ok(());
    }
    let document = document(source)?;
    if source.kind == Kind::Policy {
        placed(&format_args!("projects/{}/policy", source.project), &source.path);
        let policy = policy_from_document(&document, Some(&source.project));
        let mut policy = policy.map_err(fields)?;
        if policy.etag.is_empty() {
            policy.etag = etag(&source.bytes);
        }
        store.policies.insert(source.project.clone(), policy);
        return Ok(());
    }
    for resource in document.elements() {
        match one(source, &resource, store) {
            Ok(name) => placed(&name, &source.path),
            Err(fault) => faults.push(&source.path, fault),
        }
    }
    Ok(())
}

/// Reads the IAM policy of a resource that there is. All others are read already.
fn iam(
    source: &Source,
    of: Iam,
    store: &mut FilesStore,
    placed: &mut Placed<'_>,
) -> Result<(), FileFault> {
    let name = |error: NameError| FileFault::Name(format!("{error}: rename the file"));
    let project = source.project.clone();
    // As an export escapes them: no name of a file begins with a dot.
    let id = source.stem.replace("%2E", ".").replace("%25", "%");
    let (resource, exists) = match of {
        Iam::Policy => (IamResource::Policy(project), true),
        Iam::Attestor => {
            let name = AttestorName::new(project, &id).map_err(name)?;
            let exists = store.attestors.contains_key(&name);
            (IamResource::Attestor(name), exists)
        }
        Iam::Note => {
            let name = NoteName::new(project, &id).map_err(name)?;
            let exists = store.notes.contains_key(&name);
            (IamResource::Note(name), exists)
        }
    };
    if !exists {
        return Err(FileFault::Name(format!("{resource} does not exist: rename the file")));
    }
    let policy = read(document(source)?.root(), IamPolicy::from_field).map_err(fields)?;
    placed(&format_args!("{resource}:setIamPolicy"), &source.path);
    match store.iam.insert(resource.clone(), policy) {
        Some(_) => Err(FileFault::Twice(format!("the IAM policy of {resource}"))),
        None => Ok(()),
    }
}

/// Tells a policy that was written from the one that stands in for it: that has no etag.
fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", BASE64.encode(&Sha256::digest(bytes)[..ETAG_BYTES]))
}

fn document(source: &Source) -> Result<Document, FileFault> {
    let name = source.path.file_name().unwrap_or_default().to_string_lossy();
    let document = Document::from_file(&name, &source.bytes, &DocumentLimits::DEFAULT);
    document.map_err(FileFault::Document)
}

/// Reads one resource; returns its name.
fn one(source: &Source, document: &Document, store: &mut FilesStore) -> Result<String, FileFault> {
    match source.kind {
        Kind::Policy | Kind::Iam(_) => Ok(String::new()),
        Kind::Attestors => {
            let name = own_name(source, document, AttestorName::new)?;
            let read = attestor_from_document(document, name.as_ref()).map_err(fields)?;
            let name = read.name.clone();
            add(source, &mut store.attestors, name.clone(), name.project(), read)
        }
        Kind::Notes => {
            let name = own_name(source, document, NoteName::new)?;
            let read = note_from_document(document, name.as_ref()).map_err(fields)?;
            let name = read.name.clone();
            add(source, &mut store.notes, name.clone(), name.project(), read)
        }
        Kind::Occurrences => {
            let name = own_name(source, document, OccurrenceName::new)?;
            let read = occurrence_from_document(document, name.as_ref(), &Limits::DEFAULT);
            let read = read.map_err(fields)?;
            let name = read.name.clone();
            add(source, &mut store.occurrences, name.clone(), name.project(), read)
        }
        Kind::PlatformPolicies(platform) => {
            let new = |project, id: &str| PlatformPolicyName::new(project, platform, id);
            let name = own_name(source, document, new)?;
            let read = platform_policy_from_document(document, name.as_ref()).map_err(fields)?;
            let name = read.name.clone();
            if name.platform() != platform {
                let text = format!("{name} does not belong in the directory of {platform}");
                return Err(FileFault::Name(text));
            }
            add(source, &mut store.platform_policies, name.clone(), name.project(), read)
        }
    }
}

/// The name that the file gives to a resource that has none of its own.
fn own_name<N>(
    source: &Source,
    document: &Document,
    new: impl Fn(ProjectId, &str) -> Result<N, NameError>,
) -> Result<Option<N>, FileFault> {
    let named = match &document.root().value {
        Value::Map(members) => members.iter().any(|(member, _)| member == "name"),
        _ => false,
    };
    if named {
        return Ok(None);
    }
    let name = new(source.project.clone(), &source.stem);
    name.map(Some)
        .map_err(|error| FileFault::Name(format!("{error}: rename the file, or set `name` in it")))
}

fn add<N: Ord + Display, R>(
    source: &Source,
    resources: &mut BTreeMap<N, R>,
    name: N,
    project: &ProjectId,
    resource: R,
) -> Result<String, FileFault> {
    if *project != source.project {
        let directory = &source.project;
        return Err(FileFault::Name(format!(
            "{name} does not belong in the directory of project {directory}"
        )));
    }
    match resources.entry(name) {
        Entry::Occupied(taken) => Err(FileFault::Twice(taken.key().to_string())),
        Entry::Vacant(free) => {
            let name = free.key().to_string();
            free.insert(resource);
            Ok(name)
        }
    }
}

fn fields(errors: FieldErrors) -> FileFault {
    FileFault::Document(DocumentError::Fields(errors))
}
