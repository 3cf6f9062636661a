//! Who else may write and read the files that hold secrets.

use super::StartError;
use crate::config::Config;
use crate::secret_file::{self, Readable, SecretFileError};

/// Judges every file that holds a secret. Returns a sentence for each that others may read.
///
/// # Errors
/// Others may write one, or read one where the configuration forbids that.
pub fn judge(config: &Config) -> Result<Vec<String>, StartError> {
    let mut warnings = Vec::new();
    for (setting, path) in config.secret_files() {
        let readable = match secret_file::judge(&path) {
            Ok(readable) => readable,
            // Whoever reads it says so, and judges it again.
            Err(SecretFileError::Io(_)) => None,
            Err(error) => return Err(StartError::SecretFile { setting, error }),
        };
        let Some(Readable { mode }) = readable else { continue };
        let path = path.display();
        warnings.push(format!(
            "{path}: others than its owner may read this secret (mode {mode:o}): chmod 600"
        ));
    }
    match warnings.first() {
        Some(first) if config.strict_permissions => Err(StartError::ReadableSecret(first.clone())),
        _ => Ok(warnings),
    }
}
