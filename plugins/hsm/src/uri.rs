//! Names of keys in tokens: the path of a PKCS#11 URI (RFC 7512), read strictly.
//!
//! A key is named by its token and, in it, by its label or id. Where the module is and how to log
//! in belongs in the configuration: a key id is shown to everybody.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Bytes of a URI: the host takes no longer key id.
const URI_BYTES_MAX: usize = 2_048;
/// Bytes of a label or id. PKCS#11 sets no limit; tokens hold some tens.
const VALUE_BYTES_MAX: usize = 255;

/// Characters that RFC 7512 lets stand as they are.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b'&');

/// Why text is not the name of a key. Holds nothing of what follows a `?`: it may be a PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    /// Longer than a key id may be.
    #[error("{0} bytes: a key id has at most {URI_BYTES_MAX}")]
    TooLong(usize),
    /// Another scheme.
    #[error("does not begin with `pkcs11:`")]
    Scheme,
    /// A PIN, or a reference to one.
    #[error(
        "has a `pin-value` or `pin-source`: a key id is public, name the PIN in the configuration"
    )]
    Pin,
    /// Anything else after a `?`.
    #[error(
        "has a query: name the module in the configuration, and leave out `?` and what follows"
    )]
    Query,
    /// Not `name=value`.
    #[error("`{0}` is not an attribute of the form name=value")]
    Form(String),
    /// An attribute that names no key, or none for long.
    #[error("attribute `{0}` is not supported: use token, manufacturer, model, serial, object, id")]
    Attribute(String),
    /// The same attribute again.
    #[error("attribute `{0}` is there twice")]
    Twice(&'static str),
    /// Characters that must be escaped, or an escape that is none.
    #[error("the value of `{0}` has a character that must be percent-encoded, or a bad escape")]
    Encoding(&'static str),
    /// Bytes where text belongs.
    #[error("the value of `{0}` is not UTF-8 without control characters")]
    Text(&'static str),
    /// A value of no or too many bytes.
    #[error("the value of `{name}` has {given} bytes: give 1 to {max}")]
    Length {
        /// The attribute.
        name: &'static str,
        /// Bytes given.
        given: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A type other than the one a key pair has.
    #[error("`type` may be `private` or `public`: both name the pair")]
    Type,
    /// No token.
    #[error("names no token: add `token` or `serial`, or any token that is plugged in would do")]
    NoToken,
    /// No key.
    #[error("names no key: add `object` (the label) or `id`")]
    NoKey,
}

/// Which token. At least one of label and serial number is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenName {
    pub(crate) token: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
}

/// Which keys in it: those that have all that is set, of which there is something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ObjectName {
    /// `CKA_LABEL`.
    pub(crate) label: Option<String>,
    /// `CKA_ID`.
    pub(crate) id: Option<Vec<u8>>,
}

/// A name of keys in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyUri {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) token: TokenName,
    pub(crate) object: ObjectName,
}

impl KeyUri {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Result<Self, UriError> {
        if text.len() > URI_BYTES_MAX {
            return Err(UriError::TooLong(text.len()));
        }
        let path = text.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        if let Some((_, query)) = path.split_once('?') {
            let pin = query.split('&').any(|it| it.starts_with("pin-"));
            return Err(if pin { UriError::Pin } else { UriError::Query });
        }
        let mut uri = Self {
            text: text.to_owned(),
            token: TokenName::default(),
            object: ObjectName::default(),
        };
        let mut kind = None;
        for attribute in path.split(';') {
            let (name, value) =
                attribute.split_once('=').ok_or_else(|| UriError::Form(attribute.to_owned()))?;
            match name {
                "token" => once(&mut uri.token.token, text_of("token", value, 32)?, "token")?,
                "manufacturer" => {
                    let value = text_of("manufacturer", value, 32)?;
                    once(&mut uri.token.manufacturer, value, "manufacturer")?;
                }
                "model" => once(&mut uri.token.model, text_of("model", value, 16)?, "model")?,
                "serial" => once(&mut uri.token.serial, text_of("serial", value, 16)?, "serial")?,
                "object" => {
                    let value = text_of("object", value, VALUE_BYTES_MAX)?;
                    once(&mut uri.object.label, value, "object")?;
                }
                "id" => once(&mut uri.object.id, bytes_of("id", value, VALUE_BYTES_MAX)?, "id")?,
                "type" if matches!(value, "private" | "public") => once(&mut kind, (), "type")?,
                "type" => return Err(UriError::Type),
                "pin-value" | "pin-source" => return Err(UriError::Pin),
                other => return Err(UriError::Attribute(other.to_owned())),
            }
        }
        uri.complete()
    }

    fn complete(self) -> Result<Self, UriError> {
        if self.token.token.is_none() && self.token.serial.is_none() {
            return Err(UriError::NoToken);
        }
        if self.object == ObjectName::default() {
            return Err(UriError::NoKey);
        }
        Ok(self)
    }
}

/// The longest name of one key: by label and serial number of its token, its own label and id.
pub(crate) fn whole(token: &TokenName, object: &ObjectName) -> String {
    let mut attributes = Vec::new();
    let mut add = |name: &str, value: Option<&[u8]>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attributes.push(format!("{name}={}", percent_encode(value, ESCAPED)));
        }
    };
    add("token", token.token.as_deref().map(str::as_bytes));
    add("serial", token.serial.as_deref().map(str::as_bytes));
    add("object", object.label.as_deref().map(str::as_bytes));
    if let Some(id) = object.id.as_deref().filter(|id| !id.is_empty()) {
        // RFC 7512 §2.3: "the whole value of the id attribute SHOULD be percent-encoded".
        attributes
            .push(id.iter().fold("id=".to_owned(), |text, byte| format!("{text}%{byte:02X}")));
    }
    format!("pkcs11:{}", attributes.join(";"))
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), UriError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice(name)),
    }
}

fn text_of(name: &'static str, value: &str, max: usize) -> Result<String, UriError> {
    let text = String::from_utf8(bytes_of(name, value, max)?).map_err(|_| UriError::Text(name))?;
    if text.chars().any(char::is_control) { Err(UriError::Text(name)) } else { Ok(text) }
}

fn bytes_of(name: &'static str, value: &str, max: usize) -> Result<Vec<u8>, UriError> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = after else { return Err(UriError::Encoding(name)) };
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                return Err(UriError::Encoding(name));
            };
            decoded.push((high * 16 + low) as u8);
            rest = after;
        } else {
            // A character that the encoder would escape may not stand there bare.
            if percent_encode(&[*first], ESCAPED).to_string().len() != 1 {
                return Err(UriError::Encoding(name));
            }
            decoded.push(*first);
            rest = after;
        }
    }
    let given = decoded.len();
    if (1..=max).contains(&given) {
        Ok(decoded)
    } else {
        Err(UriError::Length { name, given, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> UriError {
        KeyUri::parse(text).expect_err(text)
    }

    #[test]
    fn every_attribute_is_read() {
        let uri = KeyUri::parse(
            "pkcs11:token=The%20Software%20PKCS%2311;manufacturer=Snake%20Oil,%20Inc.;model=1.0;\
             serial=0a1b;object=my-signing-key;type=private;id=%69%95%3E%5C",
        )
        .unwrap();
        assert_eq!(uri.token.token.as_deref(), Some("The Software PKCS#11"));
        assert_eq!(uri.token.manufacturer.as_deref(), Some("Snake Oil, Inc."));
        assert_eq!(uri.token.model.as_deref(), Some("1.0"));
        assert_eq!(uri.token.serial.as_deref(), Some("0a1b"));
        assert_eq!(uri.object.label.as_deref(), Some("my-signing-key"));
        assert_eq!(uri.object.id.as_deref(), Some(&b"i\x95>\\"[..]));
    }

    #[test]
    fn a_whole_name_reads_back_as_what_it_names() {
        let token = TokenName {
            token: Some("Tökén; #1".to_owned()),
            serial: Some("0f".to_owned()),
            ..TokenName::default()
        };
        let object = ObjectName { label: Some("a/b?c".to_owned()), id: Some(vec![0, 255, b'a']) };
        let text = whole(&token, &object);
        assert_eq!(
            text,
            "pkcs11:token=T%C3%B6k%C3%A9n%3B%20%231;serial=0f;object=a%2Fb%3Fc;id=%00%FF%61"
        );
        let read = KeyUri::parse(&text).unwrap();
        assert_eq!((read.token, read.object), (token, object));
    }

    #[test]
    fn a_pin_is_never_part_of_a_name() {
        for text in [
            "pkcs11:token=t;object=o?pin-value=1234",
            "pkcs11:token=t;object=o?pin-source=file:/pin",
            "pkcs11:token=t;object=o?module-name=m&pin-value=1234",
            "pkcs11:token=t;object=o;pin-value=1234",
        ] {
            let error = refused(text);
            assert_eq!(error, UriError::Pin, "{text}");
            assert!(!error.to_string().contains("1234"));
        }
        assert_eq!(refused("pkcs11:token=t;object=o?module-path=/m.so"), UriError::Query);
    }

    #[test]
    fn what_names_no_key_of_a_known_token_is_refused() {
        assert_eq!(refused("pkcs11:object=o"), UriError::NoToken);
        assert_eq!(refused("pkcs11:model=m;object=o"), UriError::NoToken);
        assert_eq!(refused("pkcs11:token=t"), UriError::NoKey);
        assert_eq!(refused("file:///k"), UriError::Scheme);
        assert_eq!(refused("PKCS11:token=t;object=o"), UriError::Scheme);
        assert_eq!(refused("pkcs11:"), UriError::Form(String::new()));
        assert_eq!(refused("pkcs11:token=t;;object=o"), UriError::Form(String::new()));
        assert_eq!(refused("pkcs11:token"), UriError::Form("token".to_owned()));
        assert_eq!(refused("pkcs11:token=t;slot-id=1"), UriError::Attribute("slot-id".to_owned()));
        assert_eq!(refused("pkcs11:token=t;Object=o"), UriError::Attribute("Object".to_owned()));
        assert_eq!(refused("pkcs11:token=t;object=o;type=cert"), UriError::Type);
        assert_eq!(refused("pkcs11:token=t;object=o;object=o"), UriError::Twice("object"));
    }

    #[test]
    fn escapes_are_strict() {
        for value in ["%", "%4", "%4g", "a b", "a/b", "a?b", "ä", "a\"b", "%%"] {
            let error = refused(&format!("pkcs11:token=t;object={value}"));
            let expected =
                if value == "a?b" { UriError::Query } else { UriError::Encoding("object") };
            assert_eq!(error, expected, "{value}");
        }
        assert_eq!(refused("pkcs11:token=t;object=%FF"), UriError::Text("object"));
        assert_eq!(refused("pkcs11:token=t;object=%0A"), UriError::Text("object"));
        KeyUri::parse("pkcs11:token=t;id=%FF%0A").unwrap();
    }

    #[test]
    fn lengths_are_limited() {
        let object = |length: usize| format!("pkcs11:token=t;object={}", "o".repeat(length));
        KeyUri::parse(&object(VALUE_BYTES_MAX)).unwrap();
        for (given, max, text) in [
            (256, 255, object(256)),
            (0, 255, object(0)),
            (33, 32, format!("pkcs11:token={};object=o", "t".repeat(33))),
            (17, 16, format!("pkcs11:serial={};object=o", "t".repeat(17))),
        ] {
            let refused = refused(&text);
            assert!(
                matches!(refused, UriError::Length { given: g, max: m, .. } if (g, m) == (given, max)),
                "{refused:?}"
            );
        }
        let long = format!("pkcs11:token=t;id={}", "%41".repeat(700));
        assert_eq!(refused(&long), UriError::TooLong(long.len()));
    }
}
