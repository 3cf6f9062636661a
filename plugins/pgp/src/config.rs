//! The configuration of an instance, as JSON.

use std::collections::HashSet;
use std::path::{Component, Path};

use hallmark_plugin_api::{json, textual};
use serde::Deserialize;

/// Keyrings of one instance.
pub(crate) const KEYRINGS_MAX: usize = 100;
/// Signing keys of one instance.
pub(crate) const SIGNING_KEYS_MAX: usize = 100;
/// Longest time between two looks at the keyrings: a day, in seconds.
pub(crate) const REFRESH_SECS_MAX: u32 = 86_400;

const REFRESH_SECS_DEFAULT: u32 = 60;

/// The JSON schema of [`Config`], for whoever writes one.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "keyrings": {
      "type": "array", "maxItems": 100,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["path"],
        "properties": {"path": {"type": "string", "pattern": "^/"}}
      }
    },
    "refresh_secs": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 60},
    "expired_key": {"enum": ["refuse", "accept_if_signed_before"], "default": "refuse"},
    "soft_revoked_key": {"enum": ["refuse", "accept_if_signed_before"], "default": "refuse"},
    "signing_keys": {
      "type": "array", "maxItems": 100,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["path"],
        "properties": {
          "path": {"type": "string", "pattern": "^/"},
          "id": {"type": "string", "minLength": 1, "maxLength": 2048},
          "passphrase": {"type": "string", "description": "name of a secret"}
        }
      }
    }
  }
}"#;

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not JSON of the schema.
    #[error("not a configuration: {0}")]
    Json(String),
    /// A path that depends on where the daemon runs, or has `.` or `..` in it.
    // Not shown: somebody may have written the key itself there.
    #[error("a `path` is not absolute and plain: begin with `/`, leave out `.` and `..`")]
    Path(String),
    /// The same thing twice.
    #[error("`{0}` is configured twice")]
    Twice(String),
    /// More entries than a list may have.
    #[error("{given} entries in `{list}`: at most {max}")]
    TooMany {
        /// Which list.
        list: &'static str,
        /// Its length.
        given: usize,
        /// Its limit.
        max: usize,
    },
    /// A time out of range.
    #[error("`refresh_secs` is {0}: give 1 to {REFRESH_SECS_MAX}")]
    Refresh(u32),
}

impl ConfigError {
    /// An error of the parser, without the values that it quotes.
    fn of(error: &serde_json::Error) -> Self {
        Self::Json(textual::without_values(&error.to_string()))
    }
}

/// The treatment of an old signature when its key has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OldSignatures {
    /// It counts no longer: its date is the signer's word, and a thief writes any.
    #[default]
    Refuse,
    /// It counts if it is dated before that.
    AcceptIfSignedBefore,
}

/// Where an instance finds keys and what it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Files with certificates, absolute paths.
    #[serde(default)]
    pub(crate) keyrings: Vec<Keyring>,
    /// Seconds until the keyrings are looked at again.
    #[serde(default = "refresh_secs_default")]
    pub(crate) refresh_secs: u32,
    #[serde(default)]
    pub(crate) expired_key: OldSignatures,
    #[serde(default)]
    pub(crate) soft_revoked_key: OldSignatures,
    /// Keys to sign with.
    #[serde(default)]
    pub(crate) signing_keys: Vec<SecretFile>,
}

/// One file with certificates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keyring {
    pub(crate) path: String,
}

/// A key to sign with: a transferable secret key in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretFile {
    /// An absolute path.
    pub(crate) path: String,
    /// Another id that it has, beside its fingerprint.
    pub(crate) id: Option<String>,
    /// The name of the secret that is its passphrase.
    pub(crate) passphrase: Option<String>,
}

fn refresh_secs_default() -> u32 {
    REFRESH_SECS_DEFAULT
}

impl Config {
    /// Reads and checks a configuration. Empty text is the configuration without options.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
        let config: Self = json::from_slice(json).map_err(|error| ConfigError::of(&error))?;
        within("keyrings", config.keyrings.len(), KEYRINGS_MAX)?;
        within("signing_keys", config.signing_keys.len(), SIGNING_KEYS_MAX)?;
        if !(1..=REFRESH_SECS_MAX).contains(&config.refresh_secs) {
            return Err(ConfigError::Refresh(config.refresh_secs));
        }
        config.keyrings.iter().try_for_each(|keyring| plain(&keyring.path))?;
        once(config.keyrings.iter().map(|keyring| keyring.path.as_str()))?;
        config.signing_keys.iter().try_for_each(|key| plain(&key.path))?;
        once(config.signing_keys.iter().map(|key| key.path.as_str()))?;
        Ok(config)
    }
}

fn within(list: &'static str, given: usize, max: usize) -> Result<(), ConfigError> {
    if given > max { Err(ConfigError::TooMany { list, given, max }) } else { Ok(()) }
}

fn plain(path: &str) -> Result<(), ConfigError> {
    let written = Path::new(path);
    let mut components = written.components();
    let rooted = components.next() == Some(Component::RootDir);
    let straight = components.all(|part| matches!(part, Component::Normal(_)));
    // `components` swallows a `.` in the middle.
    let dotless = !path.split('/').any(|part| part == ".");
    let plain = rooted && straight && dotless && !path.contains(char::is_control);
    if plain { Ok(()) } else { Err(ConfigError::Path(path.to_owned())) }
}

fn once<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(twice) => Err(ConfigError::Twice(twice.to_owned())),
        None => Ok(()),
    }
}
