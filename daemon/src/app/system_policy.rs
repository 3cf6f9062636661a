//! The system policy: allowlist patterns that hold for every project that asks for them.

use hallmark_core::document::{Document, DocumentLimits};
use hallmark_core::policy::SystemPolicy;
use hallmark_core::policy::parse::system_policy_from_document;

use super::StartError;
use crate::config::Config;
use crate::followed::Files;

/// The system policy that the configuration names, or the bundled one.
pub(super) fn read(config: &Config) -> Result<SystemPolicy, StartError> {
    let Some(path) = &config.system_policy else { return Ok(SystemPolicy::bundled()) };
    let refused = |error: &dyn std::fmt::Display| StartError::SystemPolicy {
        path: path.clone(),
        error: error.to_string(),
    };
    let bytes_max = DocumentLimits::DEFAULT.bytes_max as u64;
    let bytes = Files::default().read(path, bytes_max).map_err(|error| refused(&error))?;
    let name = path.to_string_lossy();
    let document = Document::from_file(&name, &bytes, &DocumentLimits::DEFAULT)
        .map_err(|error| refused(&error))?;
    system_policy_from_document(&document).map_err(|error| refused(&error))
}
