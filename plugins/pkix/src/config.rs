//! The configuration of an instance, as JSON.

use std::collections::HashSet;
use std::path::{Component, Path};

use hallmark_plugin_api::{Algorithm, json, textual};
use serde::Deserialize;

/// Sources of one instance.
pub(crate) const SOURCES_MAX: usize = 100;
/// Signing keys of one instance.
pub(crate) const SIGNING_KEYS_MAX: usize = 100;
/// Longest time between two looks at the sources: a day, in seconds.
pub(crate) const REFRESH_SECS_MAX: u32 = 86_400;
/// Bytes of the id of a key: the host takes no more.
pub(crate) const ID_BYTES_MAX: usize = 2_048;

const REFRESH_SECS_DEFAULT: u32 = 60;

/// The JSON schema of [`Config`], for whoever writes one.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "sources": {
      "type": "array", "maxItems": 100,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["path"],
        "properties": {"path": {"type": "string", "pattern": "^/"}}
      }
    },
    "refresh_secs": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 60},
    "signing_keys": {
      "type": "array", "maxItems": 100,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["path"],
        "properties": {
          "path": {"type": "string", "pattern": "^/"},
          "id": {"type": "string", "minLength": 1, "maxLength": 2048},
          "algorithm": {"type": "string"}
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
    /// An empty or overlong id, or one that cannot be shown.
    #[error("an `id` of {0} bytes: give 1 to {ID_BYTES_MAX}, without control characters")]
    Id(usize),
    /// A name that no algorithm goes by.
    #[error("an `algorithm` is not known: write it as in the API, such as ECDSA_P256_SHA256")]
    Algorithm(String),
}

impl ConfigError {
    /// An error of the parser, without the values that it quotes.
    fn of(error: &serde_json::Error) -> Self {
        Self::Json(textual::without_values(&error.to_string()))
    }
}

/// Where an instance finds keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// Files and directories with public keys, absolute paths.
    pub(crate) sources: Vec<String>,
    /// Seconds until the sources are looked at again.
    pub(crate) refresh_secs: u32,
    /// Private keys to sign with.
    pub(crate) signing_keys: Vec<SigningKeyConfig>,
}

/// One private key to sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningKeyConfig {
    /// The file, an absolute path.
    pub(crate) path: String,
    /// Its id; the `file` URI of its path if not given.
    pub(crate) id: Option<String>,
    /// The only algorithm it signs with; any that its kind allows where not given.
    pub(crate) algorithm: Option<Algorithm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    sources: Vec<WrittenSource>,
    #[serde(default = "refresh_secs_default")]
    refresh_secs: u32,
    #[serde(default)]
    signing_keys: Vec<WrittenSigningKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSigningKey {
    path: String,
    id: Option<String>,
    algorithm: Option<String>,
}

fn refresh_secs_default() -> u32 {
    REFRESH_SECS_DEFAULT
}

impl Config {
    /// Reads and checks a configuration. Empty text is the configuration without options.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
        let written: Written = json::from_slice(json).map_err(|error| ConfigError::of(&error))?;
        within("sources", written.sources.len(), SOURCES_MAX)?;
        within("signing_keys", written.signing_keys.len(), SIGNING_KEYS_MAX)?;
        if !(1..=REFRESH_SECS_MAX).contains(&written.refresh_secs) {
            return Err(ConfigError::Refresh(written.refresh_secs));
        }
        let sources: Vec<String> = written
            .sources
            .into_iter()
            .map(|source| plain(source.path))
            .collect::<Result<_, _>>()?;
        once(sources.iter())?;
        let signing_keys = written.signing_keys.into_iter().map(WrittenSigningKey::check);
        let signing_keys = signing_keys.collect::<Result<Vec<_>, _>>()?;
        once(signing_keys.iter().map(|key| &key.path))?;
        once(signing_keys.iter().filter_map(|key| key.id.as_ref()))?;
        Ok(Self { sources, refresh_secs: written.refresh_secs, signing_keys })
    }
}

impl WrittenSigningKey {
    fn check(self) -> Result<SigningKeyConfig, ConfigError> {
        let wrong = |id: &&String| {
            id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control)
        };
        if let Some(id) = self.id.as_ref().filter(wrong) {
            return Err(ConfigError::Id(id.len()));
        }
        let algorithm = self
            .algorithm
            .map(|name| Algorithm::from_name(&name).ok_or(ConfigError::Algorithm(name)))
            .transpose()?;
        Ok(SigningKeyConfig { path: plain(self.path)?, id: self.id, algorithm })
    }
}

fn within(list: &'static str, given: usize, max: usize) -> Result<(), ConfigError> {
    if given > max { Err(ConfigError::TooMany { list, given, max }) } else { Ok(()) }
}

/// The path, without a last slash.
fn plain(path: String) -> Result<String, ConfigError> {
    let mut parts = Path::new(&path).components();
    let absolute = parts.next() == Some(Component::RootDir);
    let normal = parts.all(|part| matches!(part, Component::Normal(_)));
    // `components` passes over `//` and `/./` silently; a key id must have one spelling only.
    let single = !path.contains("//") && !path.contains("/./") && !path.ends_with("/.");
    if !absolute || !normal || !single || path.len() < 2 || path.contains(char::is_control) {
        return Err(ConfigError::Path(path));
    }
    Ok(path.strip_suffix('/').map_or_else(|| path.clone(), str::to_owned))
}

fn once<'a>(values: impl Iterator<Item = &'a String>) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for value in values {
        if !seen.insert(value) {
            return Err(ConfigError::Twice(value.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, ConfigError> {
        Config::parse(json.as_bytes())
    }

    #[test]
    fn every_option_is_read() {
        let read = parse(
            r#"{"sources":[{"path":"/etc/hallmark/keys/"},{"path":"/k.json"}],"refresh_secs":5,
                "signing_keys":[{"path":"/s.pem","id":"build","algorithm":"ECDSA_P256_SHA256"}]}"#,
        );
        let expected = Config {
            sources: vec!["/etc/hallmark/keys".to_owned(), "/k.json".to_owned()],
            refresh_secs: 5,
            signing_keys: vec![SigningKeyConfig {
                path: "/s.pem".to_owned(),
                id: Some("build".to_owned()),
                algorithm: Some(Algorithm::EcdsaP256Sha256),
            }],
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn no_option_is_needed() {
        let empty = Config { refresh_secs: 60, ..Config::default() };
        assert_eq!(parse("{}"), Ok(empty.clone()));
        assert_eq!(parse(""), Ok(empty));
    }

    #[test]
    fn paths_have_one_spelling() {
        for path in ["", "/", "k.pem", "./k", "/a/../b", "/a/./b", "//a", "/a/.", "/a//b"] {
            let json = format!(r#"{{"sources":[{{"path":"{path}"}}]}}"#);
            assert_eq!(parse(&json), Err(ConfigError::Path(path.to_owned())), "{path}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(matches!(parse(r#"{"source":[]}"#), Err(ConfigError::Json(_))));
        assert!(matches!(parse(r#"{"sources":[{"path":"/a","x":1}]}"#), Err(ConfigError::Json(_))));
        assert_eq!(parse(r#"{"refresh_secs":0}"#), Err(ConfigError::Refresh(0)));
        assert_eq!(parse(r#"{"refresh_secs":86401}"#), Err(ConfigError::Refresh(86_401)));
        let twice = r#"{"sources":[{"path":"/a"},{"path":"/a/"}]}"#;
        assert_eq!(parse(twice), Err(ConfigError::Twice("/a".to_owned())));
        let twice = r#"{"signing_keys":[{"path":"/a","id":"x"},{"path":"/b","id":"x"}]}"#;
        assert_eq!(parse(twice), Err(ConfigError::Twice("x".to_owned())));
        let nameless = r#"{"signing_keys":[{"path":"/a","id":""}]}"#;
        assert_eq!(parse(nameless), Err(ConfigError::Id(0)));
        let control = r#"{"signing_keys":[{"path":"/a","id":"a\nb"}]}"#;
        assert_eq!(parse(control), Err(ConfigError::Id(3)));
        let of = |length| {
            parse(&format!(r#"{{"signing_keys":[{{"path":"/a","id":"{}"}}]}}"#, "i".repeat(length)))
        };
        of(ID_BYTES_MAX).unwrap();
        assert_eq!(of(ID_BYTES_MAX + 1), Err(ConfigError::Id(ID_BYTES_MAX + 1)));
        let unknown = r#"{"signing_keys":[{"path":"/a","algorithm":"RS256"}]}"#;
        assert_eq!(parse(unknown), Err(ConfigError::Algorithm("RS256".to_owned())));
    }

    #[test]
    fn lists_are_limited() {
        for (list, max) in [("sources", SOURCES_MAX), ("signing_keys", SIGNING_KEYS_MAX)] {
            let of = |count: usize| {
                let entries: Vec<_> = (0..count).map(|n| format!(r#"{{"path":"/{n}"}}"#)).collect();
                parse(&format!(r#"{{"{list}":[{}]}}"#, entries.join(",")))
            };
            of(max).unwrap();
            assert_eq!(of(max + 1), Err(ConfigError::TooMany { list, given: max + 1, max }));
        }
    }

    #[test]
    fn the_schema_is_json() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["properties"]["sources"]["maxItems"], SOURCES_MAX);
        assert_eq!(schema["properties"]["signing_keys"]["maxItems"], SIGNING_KEYS_MAX);
        assert_eq!(schema["properties"]["refresh_secs"]["maximum"], REFRESH_SECS_MAX);
    }
}
