//! The files of the directory as bytes, all of one moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use hallmark_core::document::DocumentLimits;
use hallmark_core::names::{Platform, ProjectId};
use sha2::{Digest as _, Sha256};

use super::error::{FileFault, FilesError};
use crate::regular_file;

/// Files of one directory. A mounted ConfigMap ends at 1 MiB, so this many are a repository's.
pub(super) const FILES_MAX: usize = 100_000;
/// Bytes of all files together; they are held twice while they are read.
const BYTES_MAX: usize = 512 << 20;
/// Looks until two in a row agree.
pub(super) const LOOKS_MAX: usize = 5;

/// The content of a file, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Policy,
    Attestors,
    Notes,
    Occurrences,
    PlatformPolicies(Platform),
    Iam(Iam),
}

/// The resource of an IAM policy, by its place in `iam/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Iam {
    Policy,
    Attestor,
    Note,
}

/// The directories of a project.
const COLLECTIONS: [(&str, Kind); 3] =
    [("attestors", Kind::Attestors), ("notes", Kind::Notes), ("occurrences", Kind::Occurrences)];
const POLICIES: [&str; 3] = ["policy.yaml", "policy.yml", "policy.json"];

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) project: ProjectId,
    pub(super) kind: Kind,
    /// Its name without the extension.
    pub(super) stem: String,
    pub(super) bytes: Vec<u8>,
}

/// All files, in the order of their paths.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) sources: Vec<Source>,
    /// The directory of each project, empty ones too.
    pub(super) projects: BTreeMap<ProjectId, PathBuf>,
    /// Over every path and every content.
    pub(super) hash: [u8; 32],
}

impl Tree {
    /// Reads `dir` until two looks in a row saw the same, so that no half of a change is taken.
    pub(super) fn read(dir: &Path) -> Result<Self, FilesError> {
        Self::settled(dir, || Self::look(dir))
    }

    fn settled(
        dir: &Path,
        mut look: impl FnMut() -> Result<Self, FilesError>,
    ) -> Result<Self, FilesError> {
        let mut last = look()?;
        for _ in 1..LOOKS_MAX {
            let next = look()?;
            if next.hash == last.hash {
                return Ok(next);
            }
            last = next;
        }
        Err(FilesError::one(dir, FileFault::Unsettled))
    }

    /// Reads `dir` once: what it finds may be half of a change.
    pub(super) fn look(dir: &Path) -> Result<Self, FilesError> {
        let mut walk = Walk::default();
        walk.directory(dir);
        let Walk { mut sources, projects, faults, .. } = walk;
        sources.sort_by(|one, other| one.path.cmp(&other.path));
        let mut hash = Sha256::new();
        hash.update(projects.len().to_le_bytes());
        for project in projects.keys() {
            hash.update(project.as_str().len().to_le_bytes());
            hash.update(project.as_str());
        }
        for source in &sources {
            for part in [source.path.as_os_str().as_encoded_bytes(), &source.bytes] {
                hash.update(part.len().to_le_bytes());
                hash.update(part);
            }
        }
        faults.or(Self { sources, projects, hash: hash.finalize().into() })
    }
}

#[derive(Default)]
struct Walk {
    projects: BTreeMap<ProjectId, PathBuf>,
    sources: Vec<Source>,
    bytes: usize,
    faults: FilesError,
}

impl Walk {
    fn directory(&mut self, dir: &Path) {
        let projects = dir.join("projects");
        for (name, path) in self.entries(&projects) {
            match name.parse() {
                Ok(project) if path.is_dir() => {
                    self.project(&path, &project);
                    self.projects.insert(project, path);
                }
                _ => self
                    .faults
                    .push(&path, FileFault::Unexpected { expected: "one directory a project" }),
            }
        }
    }

    fn project(&mut self, dir: &Path, project: &ProjectId) {
        let mut policies = 0;
        for (name, path) in self.entries(dir) {
            let collection = COLLECTIONS.iter().find(|(collection, _)| *collection == name);
            if POLICIES.contains(&name.as_str()) {
                policies += 1;
                if policies > 1 {
                    self.faults.push(&path, FileFault::SecondPolicy);
                }
                self.file(path, project, Kind::Policy);
            } else if let Some((_, kind)) = collection {
                self.collection(&path, project, *kind);
            } else if name == "platforms" {
                self.platforms(&path, project);
            } else if name == "iam" {
                self.iam(&path, project);
            } else {
                let expected = "policy.yaml, policy.yml, policy.json, attestors, notes, occurrences, \
                     platforms or iam";
                self.faults.push(&path, FileFault::Unexpected { expected });
            }
        }
    }

    fn platforms(&mut self, dir: &Path, project: &ProjectId) {
        for (name, path) in self.entries(dir) {
            match name.parse() {
                Ok(platform) if path.is_dir() => {
                    self.collection(&path, project, Kind::PlatformPolicies(platform));
                }
                _ => self.faults.push(&path, FileFault::Unexpected { expected: "gke or cloudRun" }),
            }
        }
    }

    fn iam(&mut self, dir: &Path, project: &ProjectId) {
        for (name, path) in self.entries(dir) {
            match name.as_str() {
                policy if POLICIES.contains(&policy) => {
                    self.file(path, project, Kind::Iam(Iam::Policy));
                }
                "attestors" => self.collection(&path, project, Kind::Iam(Iam::Attestor)),
                "notes" => self.collection(&path, project, Kind::Iam(Iam::Note)),
                _ => {
                    let expected = "policy.yaml, attestors or notes";
                    self.faults.push(&path, FileFault::Unexpected { expected });
                }
            }
        }
    }

    fn collection(&mut self, dir: &Path, project: &ProjectId, kind: Kind) {
        for (name, path) in self.entries(dir) {
            match name.rsplit_once('.') {
                Some((_, "json" | "yaml" | "yml")) if !path.is_dir() => {
                    self.file(path, project, kind)
                }
                _ => self
                    .faults
                    .push(&path, FileFault::Unexpected { expected: "files .json, .yaml or .yml" }),
            }
        }
    }

    fn file(&mut self, path: PathBuf, project: &ProjectId, kind: Kind) {
        if self.sources.len() == FILES_MAX || self.bytes > BYTES_MAX {
            let most = format!(
                "more than {FILES_MAX} files or {} MiB: use --data-dir for so many",
                BYTES_MAX >> 20
            );
            return self.faults.push(&path, FileFault::TooMuch(most));
        }
        match read(&path) {
            Ok(bytes) => {
                self.bytes += bytes.len();
                let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                let (project, stem) = (project.clone(), stem.unwrap_or_default());
                self.sources.push(Source { path, project, kind, stem, bytes });
            }
            Err(error) => self.faults.push(&path, FileFault::Io(error.to_string())),
        }
    }

    /// The names in `dir` that do not begin with a dot, sorted.
    fn entries(&mut self, dir: &Path) -> Vec<(String, PathBuf)> {
        let listed = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => {
                self.faults.push(dir, FileFault::Io(error.to_string()));
                return Vec::new();
            }
        };
        let entries = entries.into_iter().map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path())
        });
        let mut entries: Vec<_> = entries.filter(|(name, _)| !name.starts_with('.')).collect();
        entries.sort();
        entries
    }
}

/// Everything, up to one byte more than any document may have: then its reader refuses it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = regular_file::open(path)?;
    let mut bytes = Vec::new();
    file.take(DocumentLimits::DEFAULT.bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a file that changes before each of the first `changes` looks.
    fn look_at_changing(changes: usize) -> Result<Vec<u8>, FilesError> {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("projects/p");
        fs::create_dir_all(&project).unwrap();
        let mut looks = 0;
        let tree = Tree::settled(dir.path(), || {
            looks += 1;
            if looks <= changes {
                fs::write(project.join("policy.yaml"), format!("# {looks}")).unwrap();
            }
            Tree::look(dir.path())
        });
        tree.map(|tree| tree.sources[0].bytes.clone())
    }

    #[test]
    fn files_are_taken_once_two_looks_agree() {
        assert_eq!(look_at_changing(1), Ok(b"# 1".to_vec()));
        assert_eq!(look_at_changing(LOOKS_MAX - 1), Ok(b"# 4".to_vec()));
        let error = look_at_changing(LOOKS_MAX).unwrap_err();
        assert_eq!(error.faults[0].1, FileFault::Unsettled);
    }

    #[test]
    fn files_beyond_the_limits_are_refused() {
        for (sources, bytes) in [(FILES_MAX, 0), (0, BYTES_MAX + 1)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("policy.yaml");
            fs::write(&path, "").unwrap();
            let source = || Source {
                path: path.clone(),
                project: "p".parse().unwrap(),
                kind: Kind::Policy,
                stem: String::new(),
                bytes: Vec::new(),
            };
            let sources: Vec<_> = (0..sources).map(|_| source()).collect();
            let mut walk = Walk { bytes, sources, ..Walk::default() };
            let before = walk.sources.len();
            walk.file(path.clone(), &"p".parse().unwrap(), Kind::Policy);
            assert_eq!(walk.sources.len(), before);
            assert!(walk.faults.to_string().contains("use --data-dir for so many"));
        }
    }
}
