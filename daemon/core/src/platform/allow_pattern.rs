//! Allowlist patterns of platform policies (`imageAllowlist.allowPattern[]`): which images are
//! exempt.
//!
//! Unlike the patterns of a project's policy these are compared with the parts of an image
//! reference: a name alone covers the image with any tag and any digest. A wildcard ends a name
//! or a tag, and what it follows is never empty.

use std::fmt;
use std::str::FromStr;

use crate::image::{Digest, ImageReference};

/// One `allowPattern`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowPattern {
    text: Box<str>,
    name: Text,
    /// `None` covers any tag and none.
    tag: Option<Text>,
    /// `None` covers any digest and none.
    digest: Option<Digest>,
}

/// A condition on a name or a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Exactly(Box<str>),
    /// `*`: this, and then anything without a slash.
    Component(Box<str>),
    /// `**`: this, and then anything.
    Anything(Box<str>),
}

/// Why a pattern was refused. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowPatternError {
    /// Nothing in it.
    #[error("the pattern is empty")]
    Empty,
    /// A URL.
    #[error("image references have no scheme; leave out everything up to ://")]
    Scheme,
    /// Without its wildcard it is no image reference, nor the beginning of one.
    #[error("this can cover no image: without wildcards it must be an image reference")]
    NotAnImage,
    /// Not a whole sha256 digest.
    #[error("a digest must be whole: sha256: and 64 lower-case hexadecimal digits")]
    Digest,
    /// A wildcard with nothing before it.
    #[error("a wildcard needs a part of the name, or of the tag, before it")]
    EmptyPrefix,
    /// A wildcard before the end, or a third one.
    #[error("a wildcard may stand only at the end; end with * (no slash) or /** (slashes too)")]
    WildcardNotLast,
    /// `**` after something else than a slash.
    #[error("** may stand only after a /")]
    AnythingNotAfterSlash,
    /// A wildcard in the name of a pattern that has a tag or a digest, or `**` in a tag.
    #[error("a wildcard goes with neither a tag nor a digest; only a tag may end with one *")]
    WildcardWithVersion,
}

impl AllowPattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, AllowPatternError> {
        if text.is_empty() {
            return Err(AllowPatternError::Empty);
        }
        if text.contains("://") {
            return Err(AllowPatternError::Scheme);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|_| AllowPatternError::Digest)?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':').map(|colon| last + colon) {
            Some(colon) => (&rest[..colon], Some(&rest[colon + 1..])),
            None => (rest, None),
        };
        let version = tag.is_some() || digest.is_some();
        let (name, tag) = (name_text(name, version)?, tag.map(tag_text).transpose()?);
        if digest.is_some() && matches!(tag, Some(Text::Component(_))) {
            return Err(AllowPatternError::WildcardWithVersion);
        }
        plausible(&name, tag.as_ref())?;
        Ok(Self { text: text.into(), name, tag, digest })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the pattern covers `image`.
    pub fn matches(&self, image: &ImageReference) -> bool {
        self.name.matches(image.repository())
            && self.tag.as_ref().is_none_or(|tag| image.tag().is_some_and(|it| tag.matches(it)))
            && self.digest.is_none_or(|digest| image.digest() == Some(digest))
    }
}

impl Text {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(whole) => **whole == *text,
            Self::Component(prefix) => {
                text.strip_prefix(&**prefix).is_some_and(|rest| !rest.contains('/'))
            }
            Self::Anything(prefix) => text.starts_with(&**prefix),
        }
    }
}

fn name_text(name: &str, version: bool) -> Result<Text, AllowPatternError> {
    let literal = name.trim_end_matches('*');
    let wildcards = name.len() - literal.len();
    if literal.contains('*') || wildcards > 2 {
        return Err(AllowPatternError::WildcardNotLast);
    }
    match wildcards {
        0 => Ok(Text::Exactly(name.into())),
        _ if literal.is_empty() => Err(AllowPatternError::EmptyPrefix),
        _ if version => Err(AllowPatternError::WildcardWithVersion),
        1 => Ok(Text::Component(literal.into())),
        _ if literal.ends_with('/') => Ok(Text::Anything(literal.into())),
        _ => Err(AllowPatternError::AnythingNotAfterSlash),
    }
}

fn tag_text(tag: &str) -> Result<Text, AllowPatternError> {
    let literal = tag.trim_end_matches('*');
    if literal.contains('*') {
        return Err(AllowPatternError::WildcardNotLast);
    }
    match tag.len() - literal.len() {
        0 => Ok(Text::Exactly(tag.into())),
        1 if literal.is_empty() => Err(AllowPatternError::EmptyPrefix),
        1 => Ok(Text::Component(literal.into())),
        _ => Err(AllowPatternError::WildcardWithVersion),
    }
}

/// Checks that some image is covered: a pattern that covers none is a mistake of its author. Upper
/// case is forgiven, because Google's documentation has it.
fn plausible(name: &Text, tag: Option<&Text>) -> Result<(), AllowPatternError> {
    // The text that a wildcard stands for ends a component, so that its beginning may end with any
    // mark.
    let name = match name {
        Text::Exactly(name) => name.to_string(),
        Text::Component(prefix) | Text::Anything(prefix) => format!("{prefix}x"),
    };
    let tag = match tag {
        Some(Text::Exactly(tag) | Text::Component(tag) | Text::Anything(tag)) => format!(":{tag}"),
        None => String::new(),
    };
    let image = format!("{}{tag}", name.to_ascii_lowercase());
    ImageReference::parse(&image).map(drop).map_err(|_| AllowPatternError::NotAnImage)
}

impl FromStr for AllowPattern {
    type Err = AllowPatternError;
    fn from_str(text: &str) -> Result<Self, AllowPatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for AllowPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:77b0b75136b9bd0fd36fb50f4c92ae0dbdbbe164ab67885e736fa4374e0cbb8c";
    const OTHER: &str = "sha256:87b0b75136b9bd0fd36fb50f4c92ae0dbdbbe164ab67885e736fa4374e0cbb8c";

    /// (pattern, images it covers, images it does not cover); `DIGEST` stands for one, `OTHER` for
    /// the same with one bit changed.
    type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

    /// From Google's overview of continuous validation, "Exempt images with allowlists".
    const DOCUMENTED: &[Row] = &[
        (
            "us-central1.pkg.dev/my-project/my-image:latest@DIGEST",
            &["us-central1.pkg.dev/my-project/my-image:latest@DIGEST"],
            &[
                "us-central1.pkg.dev/my-project/my-image:latest@OTHER",
                "us-central1.pkg.dev/my-project/my-image:latest",
                "us-central1.pkg.dev/my-project/my-image@DIGEST",
                "us-central1.pkg.dev/my-project/my-image:v1@DIGEST",
            ],
        ),
        (
            "us-central1.pkg.dev/my-project/my-image:latest",
            &[
                "us-central1.pkg.dev/my-project/my-image:latest",
                "us-central1.pkg.dev/my-project/my-image:latest@DIGEST",
            ],
            &[
                "us-central1.pkg.dev/my-project/my-image",
                "us-central1.pkg.dev/my-project/my-image@DIGEST",
                "us-central1.pkg.dev/my-project/my-image:latest2",
            ],
        ),
        (
            "us-central1.pkg.dev/my-image:foo*",
            &[
                "us-central1.pkg.dev/my-image:foo",
                "us-central1.pkg.dev/my-image:foobar",
                "us-central1.pkg.dev/my-image:foobar@DIGEST",
            ],
            &[
                "us-central1.pkg.dev/my-image:fo",
                "us-central1.pkg.dev/my-image",
                "us-central1.pkg.dev/my-image@DIGEST",
                "us-central1.pkg.dev/my-images:foo",
            ],
        ),
        (
            "us-central1.pkg.dev/my-project/my-image@DIGEST",
            &[
                "us-central1.pkg.dev/my-project/my-image@DIGEST",
                "us-central1.pkg.dev/my-project/my-image:latest@DIGEST",
            ],
            &[
                "us-central1.pkg.dev/my-project/my-image@OTHER",
                "us-central1.pkg.dev/my-project/my-image",
                "us-central1.pkg.dev/my-project/my-image:latest",
            ],
        ),
        (
            "us-central1.pkg.dev/my-project/my-image",
            &[
                "us-central1.pkg.dev/my-project/my-image",
                "us-central1.pkg.dev/my-project/my-image:latest",
                "us-central1.pkg.dev/my-project/my-image@DIGEST",
                "us-central1.pkg.dev/my-project/my-image:latest@DIGEST",
            ],
            &[
                "us-central1.pkg.dev/my-project/my-image2",
                "us-central1.pkg.dev/my-project/my-image/x",
                "us-central1.pkg.dev/my-project",
            ],
        ),
        (
            "us-central1.pkg.dev/my-project/my-image*",
            &[
                "us-central1.pkg.dev/my-project/my-image",
                "us-central1.pkg.dev/my-project/my-image1",
                "us-central1.pkg.dev/my-project/my-image2:t@DIGEST",
            ],
            &[
                "us-central1.pkg.dev/my-project/my-image/x",
                "us-central1.pkg.dev/my-project/my-imag",
            ],
        ),
        (
            "us-central1.pkg.dev/my-project/**",
            &[
                "us-central1.pkg.dev/my-project/my-image",
                "us-central1.pkg.dev/my-project/some-directory/other-image:t@DIGEST",
            ],
            &["us-central1.pkg.dev/my-project", "us-central1.pkg.dev/my-project-exploit/x"],
        ),
    ];

    /// Where a port, a registry or a bare name could be taken for something else.
    const FURTHER: &[Row] = &[
        ("gcr.io/**", &["gcr.io/a", "gcr.io/a/b/c"], &["gcr.iox/a", "eu.gcr.io/a"]),
        ("gcr.io/*", &["gcr.io/a:t"], &["gcr.io/a/b", "eu.gcr.io/a"]),
        (
            "registry:5000/app",
            &["registry:5000/app", "registry:5000/app:t"],
            &["registry:5001/app", "registry/app", "app"],
        ),
        ("localhost:5000/*", &["localhost:5000/app"], &["localhost:50001/app", "localhost:5000"]),
        ("nginx", &["nginx", "nginx:1.25@DIGEST"], &["library/nginx", "nginx2"]),
        ("nginx*", &["nginx", "nginx2:1.25"], &["nginx.evil.example/x", "nginx:5000/x"]),
        ("nginx:1.*", &["nginx:1.25"], &["nginx:2", "nginx"]),
        ("[::1]:443/x", &["[::1]:443/x:t"], &["[::1]/x"]),
        (
            "gcr.io/my-images/not-built-by-GCB/**",
            &[],
            &["gcr.io/my-images/not-built-by-gcb/x", "gcr.io/my-images/x"],
        ),
        ("gcr.io/p/my-*", &["gcr.io/p/my-app"], &["gcr.io/p/my-app/x"]),
    ];

    fn written(text: &str) -> String {
        text.replace("DIGEST", DIGEST).replace("OTHER", OTHER)
    }

    #[test]
    fn every_documented_example_matches_as_documented() {
        for (pattern, covered, not_covered) in DOCUMENTED.iter().chain(FURTHER) {
            let compiled = AllowPattern::parse(&written(pattern)).expect(pattern);
            assert_eq!(compiled.as_str(), written(pattern));
            let covers =
                |image: &str| compiled.matches(&ImageReference::parse(&written(image)).unwrap());
            for image in *covered {
                assert!(covers(image), "{pattern} covers {image}");
            }
            for image in *not_covered {
                assert!(!covers(image), "{pattern} covers not {image}");
            }
        }
    }

    #[test]
    fn patterns_that_cannot_be_are_refused() {
        use AllowPatternError::*;
        for (pattern, error) in [
            ("", Empty),
            ("https://gcr.io/p/i", Scheme),
            ("*", EmptyPrefix),
            ("**", EmptyPrefix),
            ("us-central1.pkg.dev/my-image:*", EmptyPrefix),
            ("*:v1", EmptyPrefix),
            ("gcr.io/p/i:", NotAnImage),
            ("gcr.io/p**", AnythingNotAfterSlash),
            ("gcr**", AnythingNotAfterSlash),
            ("gcr.io/p/***", WildcardNotLast),
            ("gcr.io/*/i", WildcardNotLast),
            ("gcr.io/**/i", WildcardNotLast),
            ("gcr.io/p*q", WildcardNotLast),
            ("*.gcr.io/p", WildcardNotLast),
            ("gcr.io/p/i:v*1", WildcardNotLast),
            ("gcr.io/p/*:v1", WildcardWithVersion),
            ("gcr.io/**:v1", WildcardWithVersion),
            ("gcr.io/p/i*@DIGEST", WildcardWithVersion),
            ("gcr.io/p/i:v**", WildcardWithVersion),
            ("gcr.io/p/i:v*@DIGEST", WildcardWithVersion),
            ("gcr.io/p/i@*", Digest),
            ("gcr.io/p/i@sha256:77*", Digest),
            ("gcr.io/p/i@DIGEST*", Digest),
            ("gcr.io/p/i@", Digest),
            ("gcr.io/p/i@sha512:77", Digest),
            ("gcr.io/p/", NotAnImage),
            ("/**", NotAnImage),
            ("/*", NotAnImage),
            ("gcr.io//*", NotAnImage),
            ("gcr.io/p/a b", NotAnImage),
            ("gcr.io/p/a?", NotAnImage),
            ("gcr.io/p/a\n", NotAnImage),
            ("gcr.io/p/i:-x*", NotAnImage),
            ("gcr.io/ä*", NotAnImage),
            ("@DIGEST", NotAnImage),
            (":v1", NotAnImage),
        ] {
            assert_eq!(AllowPattern::parse(&written(pattern)), Err(error), "{pattern:?}");
        }
    }
}
