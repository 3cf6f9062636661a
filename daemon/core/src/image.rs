//! Image references and digests, parsed once.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::excerpt::Excerpt;

/// A sha256 digest, the only scheme Binary Authorization knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The text is not `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of the form sha256:<64 lower-case hexadecimal digits>")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestError)?.as_bytes();
        let (pairs, []) = hex.as_chunks::<2>() else { return Err(DigestError) };
        let mut digest = [0; 32];
        if pairs.len() != digest.len() {
            return Err(DigestError);
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
        for (pair, byte) in text[7..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An image as a workload names it: `registry/repository[:tag][@sha256:…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    text: Box<str>,
    repository_len: usize,
    digest: Option<Digest>,
}

/// Why an image reference was refused. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Empty, or a character that no image reference holds.
    #[error("`{0}` is not an image reference")]
    Malformed(String),
    /// A digest there is, but not one of sha256.
    #[error("`{0}` has a malformed digest: {DigestError}")]
    Digest(String),
}

impl ImageReference {
    /// Parses a reference by the grammar of container runtimes: a repository in lower case, below
    /// a registry or not, then a tag, a digest, both or neither. Tags are checked, never resolved.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let colon = name[last..].find(':').map(|colon| last + colon);
        let repository_len = colon.unwrap_or(name.len());
        let tag_is_one = colon.is_none_or(|colon| is_tag(&name[colon + 1..]));
        let given = || Excerpt::<EXCERPT_CHARS_MAX>(text).to_string();
        if !tag_is_one || !is_repository(&name[..repository_len]) {
            return Err(ImageError::Malformed(given()));
        }
        let digest = match digest {
            Some(digest) => Some(digest.parse().map_err(|_| ImageError::Digest(given()))?),
            None => None,
        };
        Ok(Self { text: text.into(), repository_len, digest })
    }

    /// The reference exactly as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The reference exactly as given.
    pub fn into_text(self) -> Box<str> {
        self.text
    }

    /// Registry and repository, without tag and digest.
    pub fn repository(&self) -> &str {
        &self.text[..self.repository_len]
    }

    /// The tag, where the reference names one.
    pub fn tag(&self) -> Option<&str> {
        let rest = &self.text[self.repository_len..];
        rest.split_once('@').map_or(rest, |(tag, _)| tag).strip_prefix(':')
    }

    /// The digest, where the reference names one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

/// Characters of a refused reference that are repeated in the error: a name and a digest.
const EXCERPT_CHARS_MAX: usize = 256;

/// `[registry/]path`, where a first component with a dot or a colon, or `localhost`, is a
/// registry.
fn is_repository(name: &str) -> bool {
    let mut components = name.split('/');
    let registry = match name.split_once('/') {
        Some((first, _)) => first == "localhost" || first.contains(['.', ':']),
        None => false,
    };
    if registry && !components.next().is_some_and(is_registry) {
        return false;
    }
    components.all(is_path_component)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            return is_ipv6(address)
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let legal = |byte: u8| alphanumeric(&byte) || b"._-".contains(&byte);
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && text.bytes().all(legal)
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
fn is_tag(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(legal) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:02115bc7409dc044f700a729cacc1648dc4e445572e5765fbcc77029b0adba67";

    #[test]
    fn references_are_split_into_repository_and_digest() {
        for repository in [
            "nginx",
            "loc-ref",
            "library/nginx",
            "gcr.io/p/i",
            "gcr.io/p/a/b/c",
            "localhost/x",
            "localhost:5000/x",
            "registry:5000/x",
            "127.0.0.1:5000/x",
            "[::1]/x",
            "[2001:db8::1]:443/x",
            "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause",
            "example.com:443/a_b/c__d/e-f.g",
            "GCR.io/p/i",
            "a/b",
        ] {
            for tag in ["", ":latest", ":v1.2.3-rc_1", ":_", ":5000"] {
                let tagged = format!("{repository}{tag}");
                let reference = ImageReference::parse(&tagged).unwrap();
                assert_eq!(
                    (reference.repository(), reference.digest()),
                    (repository, None),
                    "{tagged}"
                );
                assert_eq!(reference.tag(), tag.strip_prefix(':'), "{tagged}");
                let digested = format!("{tagged}@{DIGEST}");
                let reference = ImageReference::parse(&digested).unwrap();
                assert_eq!(reference.as_str(), digested);
                assert_eq!(reference.repository(), repository);
                assert_eq!(reference.tag(), tag.strip_prefix(':'), "{digested}");
                assert_eq!(reference.digest().unwrap().to_string(), DIGEST);
            }
        }
    }

    #[test]
    fn digests_of_any_other_form_are_refused() {
        let hex = &DIGEST["sha256:".len()..];
        for digest in [
            String::new(),
            "sha256:".to_owned(),
            hex.to_owned(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("SHA256:{hex}"),
            format!("sha512:{hex}{hex}"),
            format!("{DIGEST}@{DIGEST}"),
            format!("{DIGEST} "),
            format!("{DIGEST}/x"),
            format!("sha256:g{}", &hex[1..]),
            format!("sha256:é{}", &hex[2..]),
            format!("{DIGEST}:tag"),
        ] {
            let text = format!("gcr.io/p/i:v1@{digest}");
            assert_eq!(ImageReference::parse(&text), Err(ImageError::Digest(text.clone())));
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long_tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            " ",
            "/",
            "a/",
            "/a",
            "a//b",
            "gcr.io/",
            "gcr.io//a",
            ":tag",
            "a:",
            "a:-x",
            "a:.x",
            "a:b:c",
            "a b",
            "a\n",
            "a\t",
            "a\0",
            " a",
            "ä",
            "gcr.io/p/ä",
            "Nginx",
            "gcr.io/P/i",
            "a/../b",
            "gcr.io/p/..",
            "./a",
            "-a",
            "a-",
            "a.",
            "gcr.io/_a",
            "https://gcr.io/p/i",
            "http://a",
            "docker://a",
            "gcr.io:x/a",
            "gcr.io:/a",
            "gcr..io/a",
            "-gcr.io/a",
            "[::1/a",
            "[x]/a",
            "[::1]x/a",
            "[::1]:/a",
            "gcr.io/a?b",
            "gcr.io/a*",
            "a:b/c:",
            "a\\b",
            "a%2fb",
            &long_tag,
        ] {
            let refused =
                Err(ImageError::Malformed(Excerpt::<EXCERPT_CHARS_MAX>(text).to_string()));
            assert_eq!(ImageReference::parse(text), refused);
            let digested = format!("{text}@{DIGEST}");
            assert!(
                matches!(ImageReference::parse(&digested), Err(ImageError::Malformed(_))),
                "{digested}"
            );
        }
        assert_eq!(
            ImageReference::parse(&format!("a:{}", "t".repeat(128))).unwrap().repository(),
            "a"
        );
    }

    #[test]
    fn an_error_repeats_only_the_beginning() {
        let Err(ImageError::Malformed(text)) = ImageReference::parse(&"É".repeat(10_000)) else {
            panic!("accepted")
        };
        assert_eq!(text, format!("{}…", "É".repeat(256)));
    }
}
