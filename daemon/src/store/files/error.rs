//! Everything that is wrong with a directory, file by file.

use std::fmt;
use std::path::{Path, PathBuf};

use hallmark_core::document::DocumentError;

/// Faults that are listed; the rest is counted.
const FAULTS_MAX: usize = 100;

/// One fault of one file. Whoever wrote the file is at fault, but for [`FileFault::Io`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// It could not be read.
    #[error("{0}")]
    Io(String),
    /// Nothing is read from a place of this name.
    #[error("does not belong here: expected {expected}, or a name that begins with a dot")]
    Unexpected {
        /// The names that belong there.
        expected: &'static str,
    },
    /// A second `policy.*` in one project.
    #[error("the project has another policy file: keep one of the two")]
    SecondPolicy,
    /// The files together hold more than is read.
    #[error("{0}")]
    TooMuch(String),
    /// Not a document, or not one of this resource.
    #[error("{0}")]
    Document(DocumentError),
    /// A resource is named as if it lay in another project, or has no name that can be read.
    #[error("{0}")]
    Name(String),
    /// Two files, or two places of one, hold the same resource.
    #[error("{0} is written twice: keep one of the two")]
    Twice(String),
    /// The project had a policy, and its directory is still there.
    #[error(
        "the policy that is in force is gone from the files: put it back, or remove the whole \
         directory of the project"
    )]
    PolicyGone,
    /// The directory could not be read in time.
    #[error("{0}")]
    Late(String),
    /// The files changed with every look.
    #[error("the files change while they are read: write them elsewhere and swap the directory in")]
    Unsettled,
}

/// Why a directory was not taken. Nothing of it is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesError {
    /// The first of them, in the order of the files.
    pub faults: Vec<(PathBuf, FileFault)>,
    /// The number of further ones.
    pub omitted: usize,
}

impl FilesError {
    /// One fault.
    pub(super) fn one(file: &Path, fault: FileFault) -> Self {
        Self { faults: vec![(file.to_owned(), fault)], omitted: 0 }
    }

    /// True if the files were not read to the end, because they could not be in time.
    pub(super) fn is_late(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, FileFault::Late(_)))
    }

    pub(super) fn push(&mut self, file: &Path, fault: FileFault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push((file.to_owned(), fault));
        } else {
            self.omitted += 1;
        }
    }

    /// `value` where there is no fault.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.faults.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl std::error::Error for FilesError {}

impl fmt::Display for FilesError {
    /// One fault a line, each with its file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (file, fault) in &self.faults {
            for line in fault.to_string().lines() {
                write!(f, "{separator}{}: {line}", file.display())?;
                separator = "\n";
            }
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}
