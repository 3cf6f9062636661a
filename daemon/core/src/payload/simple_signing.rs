//! Simple signing: the JSON that an attestation signs.
//!
//! Only `critical.image.docker-manifest-digest` is read. `type` differs between producers, and
//! `docker-reference` is not compared: one attestation serves identical images wherever they are.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::image::Digest;

/// Why a payload vouches for nothing. Whoever signed it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// More bytes than [`crate::limits::Limits::payload_bytes_max`]; not read.
    #[error("the payload has {bytes} bytes, more than {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not UTF-8, so not JSON.
    #[error("the payload is not JSON: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// Not JSON, or not of the members needed.
    #[error("the payload is not simple-signing JSON: {0}")]
    NotSimpleSigning(String),
}

/// The digest that `payload` vouches for.
///
/// Members it does not read are skipped without recursion, whatever they hold; one that it reads
/// may occur once only, so that no two readers can disagree on what was signed. The caller bounds
/// the size.
pub fn signed_digest(payload: &[u8]) -> Result<Digest, PayloadError> {
    let mut json = serde_json::Deserializer::from_str(str::from_utf8(payload)?);
    PATH_TO_DIGEST
        .deserialize(&mut json)
        .and_then(|digest| json.end().map(|()| digest))
        .map_err(|error| PayloadError::NotSimpleSigning(error.to_string()))
}

/// The payload that gcloud writes for this image: the bytes of Python's
/// `json.dumps(indent=2, sort_keys=True)` and a newline, for every repository that an image
/// reference can name.
pub fn payload(repository: &str, digest: Digest) -> Vec<u8> {
    let repository = serde_json::Value::from(repository);
    format!(
        r#"{{
  "critical": {{
    "identity": {{
      "docker-reference": {repository}
    }},
    "image": {{
      "docker-manifest-digest": "{digest}"
    }},
    "type": "Google cloud binauthz container signature"
  }}
}}
"#
    )
    .into_bytes()
}

const PATH_TO_DIGEST: Path =
    Path { member: "critical", rest: &["image", "docker-manifest-digest"] };

/// Reads the digest at a path of members. Derived structs would not do: they accept arrays.
#[derive(Clone, Copy)]
struct Path {
    member: &'static str,
    rest: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Path {
    type Value = Digest;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Digest, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Path {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the member `{}`", self.member)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Digest, A::Error> {
        let mut found = None;
        while let Some(wanted) = members.next_key_seed(Named(self.member))? {
            if !wanted {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if found.is_some() {
                return Err(A::Error::duplicate_field(self.member));
            }
            found = Some(match self.rest {
                [] => members.next_value_seed(DigestText)?,
                [member, rest @ ..] => members.next_value_seed(Self { member, rest })?,
            });
        }
        found.ok_or_else(|| A::Error::missing_field(self.member))
    }
}

/// The value at the end of a [`Path`].
struct DigestText;

impl<'de> DeserializeSeed<'de> for DigestText {
    type Value = Digest;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Digest, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for DigestText {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

/// Answers true if a key is the one named; compares in place, escapes resolved, and keeps nothing.
struct Named(&'static str);

impl<'de> DeserializeSeed<'de> for Named {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Named {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    const HEX: &str = "02115bc7409dc044f700a729cacc1648dc4e445572e5765fbcc77029b0adba67";

    fn digest() -> Digest {
        format!("sha256:{HEX}").parse().unwrap()
    }

    fn refused(payload: &str) -> String {
        signed_digest(payload.as_bytes()).expect_err(payload).to_string()
    }

    /// A payload stored by Google's service, dissected in §3.8.
    #[test]
    fn googles_stored_payload_is_rebuilt_byte_for_byte() {
        let payload = payload("gcr.io/qwiklabs-gcp-04-e98db2f05087/nginx", digest());
        assert_eq!(payload.len(), 303);
        let sha256: String =
            Sha256::digest(&payload).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, "8ca6bffb7cd34436f02834817a3e96c760db0202a20faa1e8338a34cd1dbe541");
        assert_eq!(signed_digest(&payload), Ok(digest()));
    }

    #[test]
    fn every_producer_is_read() {
        let image = format!(r#""image":{{"docker-manifest-digest":"sha256:{HEX}"}}"#);
        for payload in [
            format!(r#"{{"critical":{{{image},"type":"atomic container signature"}}}}"#),
            format!(r#"{{"critical":{{"Type":"x",{image},"identity":null}},"optional":{{}}}}"#),
            format!(
                r#"{{"optional":{{"critical":1}},"critical":{{"image":{{"a":[],"docker-manifest-digest":"sha256:{HEX}"}}}}}}"#
            ),
            format!(r#" {{ "critic\u0061l" : {{ {image} }} }} "#),
            format!(r#"{{"critical":{{{image},"type":1,"type":2}}}}"#),
        ] {
            assert_eq!(signed_digest(payload.as_bytes()), Ok(digest()), "{payload}");
        }
    }

    #[test]
    fn a_member_read_may_occur_once_only() {
        let one = format!(r#""docker-manifest-digest":"sha256:{HEX}""#);
        let image = format!(r#""image":{{{one}}}"#);
        let critical = format!(r#""critical":{{{image}}}"#);
        for (payload, member) in [
            (format!("{{{critical},{critical}}}"), "critical"),
            (format!(r#"{{{critical},"\u0063ritical":null}}"#), "critical"),
            (format!(r#"{{"critical":{{{image},{image}}}}}"#), "image"),
            (format!(r#"{{"critical":{{"image":{{{one},{one}}}}}}}"#), "docker-manifest-digest"),
        ] {
            assert!(
                refused(&payload).contains(&format!("duplicate field `{member}`")),
                "{payload}"
            );
        }
    }

    #[test]
    fn what_is_not_a_payload_is_refused() {
        let upper = HEX.to_uppercase();
        for payload in [
            String::new(),
            "null".to_owned(),
            "{}".to_owned(),
            r#"{"critical":{}}"#.to_owned(),
            r#"{"critical":{"image":{}}}"#.to_owned(),
            r#"{"critical":{"image":{"docker-manifest-digest":7}}}"#.to_owned(),
            r#"{"critical":{"image":{"docker-manifest-digest":null}}}"#.to_owned(),
            r#"{"critical":{"image":{"docker-manifest-digest":{}}}}"#.to_owned(),
            r#"{"critical":"image"}"#.to_owned(),
            format!(r#"[[["sha256:{HEX}"]]]"#),
            format!(r#"{{"critical":[["sha256:{HEX}"]]}}"#),
            format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"{HEX}"}}}}}}"#),
            format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"sha256:{upper}"}}}}}}"#),
            format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"sha512:{HEX}"}}}}}}"#),
            format!(r#"{{"Critical":{{"image":{{"docker-manifest-digest":"sha256:{HEX}"}}}}}}"#),
            format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"sha256:{HEX}"}}}}}} x"#),
            format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"sha256:{HEX}"}}}}"#),
        ] {
            refused(&payload);
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_even_where_it_is_skipped() {
        let mut bytes = payload("r", digest());
        let at = bytes.iter().position(|&byte| byte == b'r').unwrap();
        bytes[at] = 0xff;
        assert!(signed_digest(&bytes).expect_err("0xff").to_string().contains("utf-8"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(100_000);
        refused(&format!(r#"{{"x":{deep}"#));
        refused(&format!(r#"{{"critical":{deep}"#));
    }
}
