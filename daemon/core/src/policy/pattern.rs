//! Allowlist patterns (`admissionWhitelistPatterns[].namePattern`): which images are always
//! allowed.
//!
//! A pattern is compared with the image exactly as the workload names it. Without a wildcard the
//! two must be equal: `gcr.io/p/i` is not `gcr.io/p/i:latest`. A wildcard stands at the end, and
//! never where it could stand for a part of the registry.

use std::fmt;
use std::str::FromStr;

/// One `namePattern`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowlistPattern {
    text: Box<str>,
    /// The number of bytes of `text` that an image must begin with, or equal.
    literal_len: usize,
    rest: Rest,
}

/// The text that may follow the literal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    Nothing,
    /// `*`: anything without a slash.
    Component,
    /// `**`: anything.
    Anything,
    /// `@*`: nothing, a tag, a digest, or both. Google: "all versions and tags".
    AnyVersion,
}

/// Why a pattern was refused. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing in it.
    #[error("the pattern is empty")]
    Empty,
    /// A character that no image reference holds.
    #[error("the character {0:?} is in no image reference; the only wildcards are * and **")]
    Character(char),
    /// A URL.
    #[error("image references have no scheme; leave out everything up to ://")]
    Scheme,
    /// Three or more wildcards in a row.
    #[error("more than two * in a row; end with * (no slash) or ** (slashes too)")]
    Wildcard,
    /// A wildcard before the end.
    #[error("a wildcard may stand only at the end of a pattern")]
    WildcardNotLast,
    /// A wildcard that could stand for a part of the registry.
    #[error(
        "a wildcard may not stand for a part of the registry; write the registry and a / first"
    )]
    WildcardInRegistry,
}

impl AllowlistPattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let illegal = |c: char| !(c.is_ascii_alphanumeric() || "._-/:@*[]".contains(c));
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.contains("://") {
            return Err(PatternError::Scheme);
        }
        if let Some(character) = text.chars().find(|&c| illegal(c)) {
            return Err(PatternError::Character(character));
        }
        let literal = text.trim_end_matches('*');
        let rest = match text.len() - literal.len() {
            0 => Rest::Nothing,
            1 if literal.ends_with('@') => Rest::AnyVersion,
            1 => Rest::Component,
            2 => Rest::Anything,
            _ => return Err(PatternError::Wildcard),
        };
        let first = literal.split('/').next().unwrap_or_default();
        if first.contains('*') || !below_registry(literal, rest) {
            return Err(PatternError::WildcardInRegistry);
        }
        if literal.contains('*') {
            return Err(PatternError::WildcardNotLast);
        }
        let literal =
            if rest == Rest::AnyVersion { literal.trim_end_matches('@') } else { literal };
        if literal.is_empty() {
            return Err(PatternError::WildcardInRegistry);
        }
        Ok(Self { text: text.into(), literal_len: literal.len(), rest })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the pattern covers `image`, a well-formed image reference as the workload names it.
    pub fn matches(&self, image: &str) -> bool {
        let Some(rest) = image.strip_prefix(&self.text[..self.literal_len]) else { return false };
        match self.rest {
            Rest::Nothing => rest.is_empty(),
            Rest::Component => !rest.contains('/'),
            Rest::Anything => true,
            Rest::AnyVersion => {
                rest.is_empty() || (rest.starts_with([':', '@']) && !rest.contains('/'))
            }
        }
    }
}

/// True if what the wildcard stands for can be no part of a registry: there is a slash before it,
/// or, in a reference without a registry, it is a tag or a digest, which `*` keeps within one
/// component.
fn below_registry(literal: &str, rest: Rest) -> bool {
    match rest {
        Rest::Nothing => true,
        Rest::Component | Rest::AnyVersion => literal.contains(['/', ':', '@']),
        Rest::Anything => literal.contains('/'),
    }
}

impl FromStr for AllowlistPattern {
    type Err = PatternError;
    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for AllowlistPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:02115bc7409dc044f700a729cacc1648dc4e445572e5765fbcc77029b0adba67";

    /// (pattern, images it covers, images it does not cover); `DIGEST` stands for one.
    type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

    /// From Google's policy reference, the key concepts and the warnings there.
    const DOCUMENTED: &[Row] = &[
        (
            "gcr.io/p/helloworld",
            &["gcr.io/p/helloworld"],
            &[
                "gcr.io/p/helloworld:latest",
                "gcr.io/p/helloworld@DIGEST",
                "gcr.io/p/helloworlds",
                "gcr.io/p/hello",
            ],
        ),
        (
            "gcr.io/p/helloworld:latest",
            &["gcr.io/p/helloworld:latest"],
            &["gcr.io/p/helloworld", "gcr.io/p/helloworld:latest2"],
        ),
        (
            "gcr.io/p/helloworld@DIGEST",
            &["gcr.io/p/helloworld@DIGEST"],
            &["gcr.io/p/helloworld", "gcr.io/p/helloworld:t@DIGEST"],
        ),
        ("loc-ref", &["loc-ref"], &["loc-ref:v1", "loc-ref2", "gcr.io/loc-ref"]),
        (
            "gcr.io/my-project/nginx*",
            &[
                "gcr.io/my-project/nginx",
                "gcr.io/my-project/nginx:latest",
                "gcr.io/my-project/nginx-1.14.2@DIGEST",
            ],
            &[
                "gcr.io/my-project/nginx-images/nginx",
                "gcr.io/my-project/ngin",
                "gcr.io/other/nginx",
            ],
        ),
        (
            "gcr.io/my-project/nginx**",
            &["gcr.io/my-project/nginx:latest", "gcr.io/my-project/nginx-1.14.2/image:latest"],
            &["gcr.io/my-project/ngin/x", "gcr.io/my-project"],
        ),
        (
            "gcr.io/my-project**",
            &["gcr.io/my-project/nginx", "gcr.io/my-project-exploit/nginx-exploit"],
            &["gcr.io/my-projec/t", "eu.gcr.io/my-project/nginx"],
        ),
        (
            "gcr.io/my-project/*",
            &["gcr.io/my-project/nginx"],
            &["gcr.io/my-project/a/b", "gcr.io/my-project-exploit/nginx"],
        ),
        (
            "gcr.io/my-project/**",
            &["gcr.io/my-project/a/b:t"],
            &["gcr.io/my-project-exploit/nginx", "gcr.io/my-project"],
        ),
        (
            "gcr.io/p/helloworld:v1.*",
            &[
                "gcr.io/p/helloworld:v1.",
                "gcr.io/p/helloworld:v1.2",
                "gcr.io/p/helloworld:v1.2@DIGEST",
            ],
            &["gcr.io/p/helloworld:v1", "gcr.io/p/helloworld:v2.1", "gcr.io/p/helloworld"],
        ),
        (
            "gcr.io/p/helloworld@*",
            &[
                "gcr.io/p/helloworld",
                "gcr.io/p/helloworld:t",
                "gcr.io/p/helloworld@DIGEST",
                "gcr.io/p/helloworld:t@DIGEST",
            ],
            &["gcr.io/p/helloworld2", "gcr.io/p/helloworld/x", "gcr.io/p/helloworld2:t"],
        ),
        (
            "gcr.io/im@sha256:ab2345*",
            &["gcr.io/im@sha256:ab2345", "gcr.io/im@sha256:ab23456"],
            &["gcr.io/im@sha256:ab234"],
        ),
        ("gcr.io/nginx:2.*", &["gcr.io/nginx:2.0"], &["gcr.io/nginx:20"]),
        ("gcr.io/*", &["gcr.io/nginx:1"], &["gcr.io/p/nginx", "gcr.iox/nginx", "eu.gcr.io/nginx"]),
        ("nginx:1.*", &["nginx:1.25"], &["nginx:1.5000/x", "nginx:2", "nginx"]),
        ("nginx@*", &["nginx", "nginx:1", "nginx@DIGEST"], &["nginx:5000/x", "nginxx"]),
        ("localhost:5000/**", &["localhost:5000/a/b:t"], &["localhost:50000/a", "localhost:5000"]),
    ];

    #[test]
    fn every_documented_example_matches_as_documented() {
        for (pattern, covered, not_covered) in DOCUMENTED {
            let compiled = AllowlistPattern::parse(&pattern.replace("DIGEST", DIGEST)).unwrap();
            assert_eq!(compiled.as_str(), pattern.replace("DIGEST", DIGEST));
            for image in *covered {
                assert!(
                    compiled.matches(&image.replace("DIGEST", DIGEST)),
                    "{pattern} covers {image}"
                );
            }
            for image in *not_covered {
                assert!(
                    !compiled.matches(&image.replace("DIGEST", DIGEST)),
                    "{pattern} covers not {image}"
                );
            }
        }
    }

    #[test]
    fn patterns_that_cannot_be_are_refused() {
        use PatternError::*;
        for (pattern, error) in [
            ("", Empty),
            (" ", Character(' ')),
            ("gcr.io/p/a b", Character(' ')),
            ("gcr.io/p/a\n", Character('\n')),
            ("gcr.io/p/?", Character('?')),
            ("gcr.io/ä", Character('ä')),
            ("https://gcr.io/p/*", Scheme),
            ("gcr.io/my-project/n*x", WildcardNotLast),
            ("gcr.io/*/nginx", WildcardNotLast),
            ("gcr.io/**/nginx", WildcardNotLast),
            ("gcr.io/a*b*", WildcardNotLast),
            ("gcr.io/p/***", Wildcard),
            ("****", Wildcard),
            ("*", WildcardInRegistry),
            ("**", WildcardInRegistry),
            ("gcr.io*", WildcardInRegistry),
            ("gcr.io**", WildcardInRegistry),
            ("*.gcr.io/p/i", WildcardInRegistry),
            ("*/p", WildcardInRegistry),
            ("gcr*.io/p/*", WildcardInRegistry),
            ("gcr.io*/**", WildcardInRegistry),
            ("nginx*", WildcardInRegistry),
            ("localhost:5**", WildcardInRegistry),
            ("nginx@**", WildcardInRegistry),
            ("@*", WildcardInRegistry),
        ] {
            assert_eq!(AllowlistPattern::parse(pattern), Err(error), "{pattern:?}");
        }
    }
}
