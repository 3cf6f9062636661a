//! Attestors, and what is asked of their keys when they are written.

use std::collections::HashSet;

use hallmark_core::attestor::{Attestor, KeyMaterial, PublicKey};
use hallmark_core::names::{AttestorName, ProjectId};

use super::error::ResourceError;
use super::page::{Cursor, Page, PageRequest};
use super::{Inner, Resources, Written, etag};
use crate::plugin::KeyError;
use crate::store::{Given, Write};

/// Google's quota "attestors per project".
const ATTESTORS_MAX: usize = 200;
/// Attestors on a page unless asked otherwise: half of what a project may hold.
const PAGE_SIZE: usize = 100;

impl Resources {
    /// Creates an attestor. Its keys are resolved first, so that what is stored can be used.
    pub async fn create_attestor(&self, attestor: Attestor) -> Result<Attestor, ResourceError> {
        let attestor = self.with_keys(attestor).await?;
        let project = attestor.name.project().clone();
        self.writing(project, move |inner| inner.create_attestor(attestor)).await
    }

    /// One attestor.
    pub async fn attestor(&self, name: AttestorName) -> Result<Attestor, ResourceError> {
        self.blocking(move |inner| inner.attestor(&name)).await
    }

    /// The attestors of a project, in the order of their names.
    pub async fn attestors(
        &self,
        project: ProjectId,
        request: PageRequest,
    ) -> Result<Page<Attestor>, ResourceError> {
        let cursor = Cursor::new(&request, PAGE_SIZE, &format!("projects/{project}/attestors"))?;
        self.blocking(move |inner| inner.attestors(&project, &cursor)).await
    }

    /// Replaces an attestor, whole. Its note cannot change; an etag in it must be the current one.
    pub async fn update_attestor(
        &self,
        attestor: Attestor,
    ) -> Result<Written<Attestor>, ResourceError> {
        let attestor = self.with_keys(attestor).await?;
        let project = attestor.name.project().clone();
        self.writing(project, move |inner| inner.update_attestor(attestor)).await
    }

    /// Deletes an attestor, and answers the etag that it had, where that could be read. A policy
    /// that names it denies from then on, as Google's does.
    pub async fn delete_attestor(
        &self,
        name: AttestorName,
    ) -> Result<Option<String>, ResourceError> {
        self.writing(name.project().clone(), move |inner| {
            let etag_before = inner.store.apply(Write::delete(name.clone()))?;
            inner.publish(name.project())?;
            Ok(etag_before)
        })
        .await
    }

    /// Outside of the queue of writes: a slow key source delays its own attestors only.
    async fn with_keys(&self, attestor: Attestor) -> Result<Attestor, ResourceError> {
        self.blocking(move |inner| {
            inner.writable()?;
            inner.resolve_keys(attestor)
        })
        .await
    }
}

/// Bytes of an attestor's texts, about.
fn bytes(attestor: &Attestor) -> usize {
    let keys = attestor.public_keys.iter().map(|key| {
        let material = match &key.material {
            KeyMaterial::Pkix { public_key_pem: text, .. }
            | KeyMaterial::Pgp { ascii_armored: text } => text.len(),
            KeyMaterial::Reference => 0,
        };
        material + key.comment.len() + 256
    });
    attestor.description.len() + keys.sum::<usize>()
}

impl Inner {
    fn create_attestor(&self, attestor: Attestor) -> Result<Attestor, ResourceError> {
        let attestor = stamped(attestor);
        let write = Write::create(attestor.clone()).given([Given::FewerThan(ATTESTORS_MAX)]);
        self.store.apply(write)?;
        self.publish(attestor.name.project())?;
        Ok(attestor)
    }

    fn update_attestor(&self, attestor: Attestor) -> Result<Written<Attestor>, ResourceError> {
        let expected_etag = etag::expected(&attestor.etag);
        let attestor = stamped(attestor);
        let write = Write::replace(attestor.clone())
            .given([Given::HasNote(attestor.note.clone())])
            .given_etag(expected_etag);
        let etag_before = self.store.apply(write)?;
        self.publish(attestor.name.project())?;
        Ok(Written { resource: attestor, etag_before })
    }

    pub(super) fn attestor(&self, name: &AttestorName) -> Result<Attestor, ResourceError> {
        let held = self.store.project(name.project())?.attestors;
        held.into_iter()
            .find(|held| held.name == *name)
            .ok_or_else(|| ResourceError::NotFound(name.to_string()))
    }

    fn attestors(
        &self,
        project: &ProjectId,
        cursor: &Cursor,
    ) -> Result<Page<Attestor>, ResourceError> {
        let mut held = self.store.project(project)?.attestors;
        held.sort_by(|a, b| a.name.cmp(&b.name));
        let read = |after: Option<&str>, limit| {
            let first = held.partition_point(|it| after.is_some_and(|after| it.name.id() <= after));
            Ok(held[first..].iter().take(limit).cloned().collect())
        };
        cursor.fill(read, |attestor| attestor.name.id().to_owned(), bytes)
    }

    /// The attestor with an id for every key, none of them twice.
    fn resolve_keys(&self, mut attestor: Attestor) -> Result<Attestor, ResourceError> {
        let mut ids = HashSet::with_capacity(attestor.public_keys.len());
        for (i, key) in attestor.public_keys.iter_mut().enumerate() {
            let path = format!("userOwnedGrafeasNote.publicKeys[{i}]");
            self.identify(key, &format!("{path}.{}", member(&key.material)))?;
            if let Some(id) = &key.id
                && !ids.insert(id.clone())
            {
                return Err(ResourceError::invalid(
                    format!("{path}.id"),
                    format!(
                        "Public key with ID [{id}] already present on attestor [{}]",
                        attestor.name.id()
                    ),
                ));
            }
        }
        Ok(attestor)
    }

    /// Gives a key its id: the one given, else the default; an OpenPGP key is always named by its
    /// fingerprint. `path` is that of its material.
    pub(super) fn identify(&self, key: &mut PublicKey, path: &str) -> Result<(), ResourceError> {
        let resolved = self.keys.resolve(key).map_err(|error| refused(&error, path))?;
        let overwrite = matches!(key.material, KeyMaterial::Pgp { .. });
        if overwrite || key.id.is_none() {
            key.id = Some(resolved.default_id);
        }
        Ok(())
    }
}

fn stamped(mut attestor: Attestor) -> Attestor {
    attestor.update_time = etag::now();
    attestor.etag = etag::fresh(&attestor.name.to_string(), &attestor.update_time);
    attestor
}

/// Where the material of a key stands.
pub(super) fn member(material: &KeyMaterial) -> &'static str {
    match material {
        KeyMaterial::Pkix { .. } => "pkixPublicKey",
        KeyMaterial::Pgp { .. } => "asciiArmoredPgpPublicKey",
        KeyMaterial::Reference => "id",
    }
}

fn refused(error: &KeyError, path: &str) -> ResourceError {
    match error {
        KeyError::Unavailable(_) => ResourceError::Unavailable(format!("{path}: {error}")),
        KeyError::Material(_) => ResourceError::invalid(path, error.to_string()),
    }
}
