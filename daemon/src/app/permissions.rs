//! Who else may write and read the files that hold secrets.

use super::StartError;
use crate::config::Config;
use crate::secret_file::{self, Readable};

/// Judges every file that holds a secret. Returns a sentence for each that others may read.
///
/// # Errors
/// Others may write one, or read one where the configuration forbids that.
pub fn judge(config: &Config) -> Result<Vec<String>, StartError> {
    let mut warnings = Vec::new();
    for (setting, path) in config.secret_files() {
        let judged = secret_file::judge(&path);
        let refused = |error| StartError::SecretFile { setting, error };
        let Some(Readable { mode }) = judged.map_err(refused)? else { continue };
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
