//! The configuration of an instance, as JSON: one token and the keys in it.

use std::path::Path;

use hallmark_plugin_api::{Algorithm, json, textual};
use serde::Deserialize;

use crate::algorithm::SUPPORTED;
use crate::pin::PinSource;
use crate::uri::{KeyUri, UriError};

/// Keys of one instance.
const KEYS_MAX: usize = 100;
/// Fingerprints that one name may stand for: the old, the new and some spare.
const PINS_MAX: usize = 10;
/// Sessions of one instance, as many as a YubiHSM has in all.
pub(crate) const SESSIONS_MAX: u32 = 16;
/// Longest time between two looks at the token: a day, in seconds.
const REFRESH_SECS_MAX: u32 = 86_400;

const SESSIONS_DEFAULT: u32 = 4;
const REFRESH_SECS_DEFAULT: u32 = 60;

/// The JSON schema of [`Config`], for whoever writes one.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "module": {"type": "string", "pattern": "^/"},
    "pin": {
      "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
      "properties": {"secret": {"type": "string"}, "environment": {"type": "string"}}
    },
    "keys": {
      "type": "array", "maxItems": 100,
      "items": {
        "type": "object", "additionalProperties": false, "required": ["uri"],
        "properties": {
          "uri": {"type": "string", "pattern": "^pkcs11:", "maxLength": 2048},
          "algorithm": {"type": "string"},
          "spki_sha256": {
            "type": "array", "maxItems": 10,
            "items": {"type": "string", "pattern": "^[0-9a-f]{64}$"}
          }
        }
      }
    },
    "verify": {"enum": ["host", "token"], "default": "host"},
    "sessions": {"type": "integer", "minimum": 1, "maximum": 16, "default": 4},
    "refresh_secs": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 60}
  }
}"#;

/// Why a configuration is refused. Never repeats what may be a PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not JSON of the schema.
    #[error("not a configuration: {0}")]
    Json(String),
    /// A module that depends on where the daemon runs.
    #[error("`module` is not an absolute path: begin with `/`")]
    Module(String),
    /// One without the other.
    #[error("give both `module` and `keys`, or neither")]
    Half,
    /// Not the name of a key.
    #[error("keys[{0}].uri {1}")]
    Uri(usize, UriError),
    /// The same name again.
    #[error("keys[{0}].uri is there twice")]
    Twice(usize),
    /// A second token: it has another PIN and goes away on its own.
    #[error("keys[{0}].uri names another token than keys[0].uri: make an instance for each token")]
    OtherToken(usize),
    /// A name that no algorithm of a token goes by.
    #[error("keys[{0}].algorithm `{1}` is none that tokens sign with, such as ECDSA_P256_SHA256")]
    Algorithm(usize, String),
    /// Not a fingerprint.
    #[error("keys[{0}].spki_sha256 holds something else than SHA-256 in lower-case hexadecimal")]
    Fingerprint(usize),
    /// No or two places for one PIN.
    #[error("`pin` takes either `secret` or `environment`, the name of one")]
    Pin,
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
    /// A number out of range.
    #[error("`{name}` is {given}: give 1 to {max}")]
    Range {
        /// Which number.
        name: &'static str,
        /// Its value.
        given: u32,
        /// Its limit.
        max: u32,
    },
}

impl ConfigError {
    /// An error of the parser, without the values that it quotes.
    fn of(error: &serde_json::Error) -> Self {
        Self::Json(textual::without_values(&error.to_string()))
    }
}

/// Who does the arithmetic of verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verify {
    /// The host, with the public key that the token gave.
    #[default]
    Host,
    /// The token, with every signature.
    Token,
}

/// The configuration of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `None` for an instance without a token, which has no keys.
    pub(crate) token: Option<TokenConfig>,
    pub(crate) verify: Verify,
    /// Seconds until the token is looked at again.
    pub(crate) refresh_secs: u32,
}

/// The token of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenConfig {
    /// The vendor's library, an absolute path.
    pub(crate) module: String,
    /// `None`: nobody logs in, which shows public objects only and signs nothing.
    pub(crate) pin: Option<PinSource>,
    /// Never none, all of one token.
    pub(crate) keys: Vec<KeyConfig>,
    /// At once, beside the one that stays logged in.
    pub(crate) sessions: u32,
}

/// A name, and what is known of the keys that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyConfig {
    pub(crate) uri: KeyUri,
    /// The only algorithm of its signatures; any that its type allows where not given.
    pub(crate) algorithm: Option<Algorithm>,
    /// SHA-256 sums of the SubjectPublicKeyInfo it may have; any where empty.
    pub(crate) spki_sha256: Vec<[u8; 32]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    module: Option<String>,
    pin: Option<WrittenPin>,
    #[serde(default)]
    keys: Vec<WrittenKey>,
    #[serde(default)]
    verify: Verify,
    #[serde(default = "sessions_default")]
    sessions: u32,
    #[serde(default = "refresh_secs_default")]
    refresh_secs: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPin {
    secret: Option<String>,
    environment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    uri: String,
    algorithm: Option<String>,
    #[serde(default)]
    spki_sha256: Vec<String>,
}

fn sessions_default() -> u32 {
    SESSIONS_DEFAULT
}

fn refresh_secs_default() -> u32 {
    REFRESH_SECS_DEFAULT
}

impl Config {
    /// Reads and checks a configuration. Empty text is the configuration without options.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
        let written: Written = json::from_slice(json).map_err(|error| ConfigError::of(&error))?;
        within("keys", written.keys.len(), KEYS_MAX)?;
        range("sessions", written.sessions, SESSIONS_MAX)?;
        range("refresh_secs", written.refresh_secs, REFRESH_SECS_MAX)?;
        let pin = written.pin.map(WrittenPin::check).transpose()?;
        let keys = written.keys.into_iter().enumerate().map(|(i, key)| key.check(i));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        of_one_token(&keys)?;
        let token = match (written.module, keys.is_empty()) {
            (None, true) => None,
            (Some(module), false) if Path::new(&module).is_absolute() => {
                Some(TokenConfig { module, pin, keys, sessions: written.sessions })
            }
            (Some(module), false) => return Err(ConfigError::Module(module)),
            _ => return Err(ConfigError::Half),
        };
        Ok(Self { token, verify: written.verify, refresh_secs: written.refresh_secs })
    }
}

impl WrittenPin {
    fn check(self) -> Result<PinSource, ConfigError> {
        match (self.secret, self.environment) {
            (Some(name), None) if !name.is_empty() => Ok(PinSource::Secret(name)),
            (None, Some(name)) if !name.is_empty() => Ok(PinSource::Environment(name)),
            _ => Err(ConfigError::Pin),
        }
    }
}

impl WrittenKey {
    fn check(self, i: usize) -> Result<KeyConfig, ConfigError> {
        let uri = KeyUri::parse(&self.uri).map_err(|error| ConfigError::Uri(i, error))?;
        let known = |name: String| {
            let found = Algorithm::from_name(&name).filter(|found| SUPPORTED.contains(found));
            found.ok_or(ConfigError::Algorithm(i, name))
        };
        let algorithm = self.algorithm.map(known).transpose()?;
        within("spki_sha256", self.spki_sha256.len(), PINS_MAX)?;
        let sums = self.spki_sha256.iter().map(|text| fingerprint(text));
        let spki_sha256 = sums.collect::<Option<_>>().ok_or(ConfigError::Fingerprint(i))?;
        Ok(KeyConfig { uri, algorithm, spki_sha256 })
    }
}

fn of_one_token(keys: &[KeyConfig]) -> Result<(), ConfigError> {
    for (i, key) in keys.iter().enumerate() {
        if key.uri.token != keys[0].uri.token {
            return Err(ConfigError::OtherToken(i));
        }
        if keys[..i].iter().any(|before| before.uri.object == key.uri.object) {
            return Err(ConfigError::Twice(i));
        }
    }
    Ok(())
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs: Option<Vec<_>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?))
        .collect();
    pairs?.try_into().ok()
}

fn within(list: &'static str, given: usize, max: usize) -> Result<(), ConfigError> {
    if given > max { Err(ConfigError::TooMany { list, given, max }) } else { Ok(()) }
}

fn range(name: &'static str, given: u32, max: u32) -> Result<(), ConfigError> {
    if (1..=max).contains(&given) { Ok(()) } else { Err(ConfigError::Range { name, given, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, ConfigError> {
        Config::parse(json.as_bytes())
    }

    fn with_keys(keys: &str) -> Result<Config, ConfigError> {
        parse(&format!(r#"{{"module":"/m.so","keys":[{keys}]}}"#))
    }

    const URI: &str = "pkcs11:token=t;object=o";

    #[test]
    fn every_option_is_read() {
        let sum = "0f".repeat(32);
        let read = parse(&format!(
            r#"{{"module":"/m.so","pin":{{"environment":"HSM_PIN"}},"verify":"token","sessions":16,
                "refresh_secs":5,"keys":[{{"uri":"{URI}","algorithm":"RSA_PSS_4096_SHA512",
                "spki_sha256":["{sum}"]}}]}}"#
        ));
        let key = KeyConfig {
            uri: KeyUri::parse(URI).unwrap(),
            algorithm: Some(Algorithm::RsaPss4096Sha512),
            spki_sha256: vec![[0x0f; 32]],
        };
        let token = TokenConfig {
            module: "/m.so".to_owned(),
            pin: Some(PinSource::Environment("HSM_PIN".to_owned())),
            keys: vec![key],
            sessions: 16,
        };
        let expected = Config { token: Some(token), verify: Verify::Token, refresh_secs: 5 };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn no_option_is_needed_and_the_token_is_whole_or_absent() {
        let none = Config { token: None, verify: Verify::Host, refresh_secs: 60 };
        assert_eq!(parse("{}"), Ok(none.clone()));
        assert_eq!(parse(""), Ok(none));
        let token = with_keys(&format!(r#"{{"uri":"{URI}"}}"#)).unwrap().token.unwrap();
        assert_eq!((token.sessions, token.pin), (4, None));
        assert_eq!(parse(r#"{"module":"/m.so"}"#), Err(ConfigError::Half));
        let keys = format!(r#"{{"keys":[{{"uri":"{URI}"}}]}}"#);
        assert_eq!(parse(&keys), Err(ConfigError::Half));
        let relative = format!(r#"{{"module":"m.so","keys":[{{"uri":"{URI}"}}]}}"#);
        assert_eq!(parse(&relative), Err(ConfigError::Module("m.so".to_owned())));
    }

    #[test]
    fn mistakes_in_keys_are_named() {
        let two = |other: &str| with_keys(&format!(r#"{{"uri":"{URI}"}},{{"uri":"{other}"}}"#));
        assert_eq!(two("pkcs11:object=o;token=t"), Err(ConfigError::Twice(1)));
        assert_eq!(two("pkcs11:token=u;object=p"), Err(ConfigError::OtherToken(1)));
        two("pkcs11:token=t;object=p").unwrap();
        let pin = two("pkcs11:token=t;object=o?pin-value=4711").unwrap_err();
        assert_eq!(pin, ConfigError::Uri(1, UriError::Pin));
        assert!(!pin.to_string().contains("4711"));
        let with = |more: &str| with_keys(&format!(r#"{{"uri":"{URI}",{more}}}"#)).unwrap_err();
        for name in ["ED25519", "RS256"] {
            let error = with(&format!(r#""algorithm":"{name}""#));
            assert_eq!(error, ConfigError::Algorithm(0, name.to_owned()));
        }
        for sum in ["0F".repeat(32), "0f".repeat(31), "0f".repeat(32) + "0"] {
            assert_eq!(with(&format!(r#""spki_sha256":["{sum}"]"#)), ConfigError::Fingerprint(0));
        }
    }

    #[test]
    fn a_pin_is_named_and_not_written() {
        for pin in ["{}", r#"{"secret":"a","environment":"b"}"#, r#"{"secret":""}"#] {
            assert_eq!(parse(&format!(r#"{{"pin":{pin}}}"#)), Err(ConfigError::Pin), "{pin}");
        }
        assert!(matches!(parse(r#"{"pin":"4711"}"#), Err(ConfigError::Json(_))));
    }

    #[test]
    fn numbers_and_lists_are_limited() {
        for (name, max) in [("sessions", SESSIONS_MAX), ("refresh_secs", REFRESH_SECS_MAX)] {
            let of = |given: u32| parse(&format!(r#"{{"{name}":{given}}}"#));
            of(max).unwrap();
            for given in [0, max + 1] {
                assert_eq!(of(given), Err(ConfigError::Range { name, given, max }));
            }
        }
        let keys = |n: usize| {
            let keys = (0..n).map(|i| format!(r#"{{"uri":"pkcs11:token=t;object=o{i}"}}"#));
            with_keys(&keys.collect::<Vec<_>>().join(","))
        };
        keys(KEYS_MAX).unwrap();
        let error = ConfigError::TooMany { list: "keys", given: KEYS_MAX + 1, max: KEYS_MAX };
        assert_eq!(keys(KEYS_MAX + 1), Err(error));
        let sums = |n: usize| {
            let sums = vec![format!("\"{}\"", "0f".repeat(32)); n].join(",");
            with_keys(&format!(r#"{{"uri":"{URI}","spki_sha256":[{sums}]}}"#))
        };
        sums(PINS_MAX).unwrap();
        assert!(matches!(sums(PINS_MAX + 1), Err(ConfigError::TooMany { .. })));
    }

    #[test]
    fn the_schema_is_json() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["properties"]["keys"]["maxItems"], KEYS_MAX);
        assert_eq!(schema["properties"]["sessions"]["maximum"], SESSIONS_MAX);
        assert_eq!(schema["properties"]["refresh_secs"]["maximum"], REFRESH_SECS_MAX);
    }
}
