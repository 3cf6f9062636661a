//! Trusted directories (`trustedDirectoryCheck.trustedDirPatterns[]`): where images may come from.
//!
//! An image resides in the directory that is its repository without the last component:
//! `gcr.io/my-project/app:v1` in `gcr.io/my-project`. A pattern names a directory. `*` may stand
//! for the beginning of the registry, below a domain that is written out, and for the end of the
//! path; `**` at the end stands for everything below, and after a slash for the directory before
//! it too.

use std::fmt;
use std::str::FromStr;

use crate::image::ImageReference;

/// One of `trustedDirPatterns`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedDirectory {
    text: Box<str>,
    registry: Registry,
    /// Without a wildcard, and without the slash that parts it from the registry.
    path: Box<str>,
    rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Registry {
    Exactly(Box<str>),
    /// A leading `*`: anything, and then this.
    EndingWith(Box<str>),
}

/// The text that may follow the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// `*`: anything without a slash.
    Component,
    /// `**`: anything.
    Anything,
}

/// Why a pattern was refused. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustedDirectoryError {
    /// A URL.
    #[error("directories have no scheme; leave out everything up to ://")]
    Scheme,
    /// Not two words with a dot between them, or cut short by a wildcard.
    #[error("begin with a whole registry and a /, such as gcr.io/ or us-docker.pkg.dev/")]
    Registry,
    /// A wildcard that reaches beyond a subdomain.
    #[error("a leading * may stand only for the beginning of a subdomain, as in *-docker.pkg.dev/")]
    Subdomain,
    /// A wildcard neither leading nor trailing.
    #[error("a wildcard may stand only at the beginning, or at the end: * (no slash) or **")]
    Wildcard,
    /// No directory of any image.
    #[error("the path is none of a repository: write it as registry/path/to/directory")]
    Path,
}

impl TrustedDirectory {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, TrustedDirectoryError> {
        if text.contains("://") {
            return Err(TrustedDirectoryError::Scheme);
        }
        let (registry, path) = match text.split_once('/') {
            Some((registry, path)) => (registry, Some(path)),
            None => (text, None),
        };
        let registry = registry_of(registry)?;
        let path = path.ok_or(TrustedDirectoryError::Registry)?;
        let literal = path.trim_end_matches('*');
        let rest = match path.len() - literal.len() {
            0 => Rest::Nothing,
            1 => Rest::Component,
            2 => Rest::Anything,
            _ => return Err(TrustedDirectoryError::Wildcard),
        };
        if literal.contains('*') {
            return Err(TrustedDirectoryError::Wildcard);
        }
        let whole = if rest == Rest::Nothing { literal.to_owned() } else { format!("{literal}x") };
        // Upper case names no directory of an image, but is forgiven as in allowlist patterns.
        let whole = whole.to_ascii_lowercase();
        let directory = ImageReference::parse(&format!("registry.example/{whole}/x"));
        directory.map_err(|_| TrustedDirectoryError::Path)?;
        Ok(Self { text: text.into(), registry, path: literal.into(), rest })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if `image` resides in a directory that the pattern names.
    pub fn holds(&self, image: &ImageReference) -> bool {
        let Some((directory, _)) = image.repository().rsplit_once('/') else { return false };
        let (registry, path) = directory.split_once('/').unwrap_or((directory, ""));
        let registry_is_it = match &self.registry {
            Registry::Exactly(whole) => **whole == *registry,
            Registry::EndingWith(suffix) => registry.ends_with(&**suffix),
        };
        registry_is_it && self.ends_with(path)
    }

    fn ends_with(&self, path: &str) -> bool {
        match self.rest {
            Rest::Nothing => *path == *self.path,
            Rest::Component => path
                .strip_prefix(&*self.path)
                .is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
            Rest::Anything => {
                path.starts_with(&*self.path)
                    || self.path.strip_suffix('/').unwrap_or(&self.path) == path
            }
        }
    }
}

fn registry_of(text: &str) -> Result<Registry, TrustedDirectoryError> {
    let Some(suffix) = text.strip_prefix('*') else {
        if text.contains('*') {
            let cut = text.ends_with('*');
            return Err(if cut {
                TrustedDirectoryError::Registry
            } else {
                TrustedDirectoryError::Wildcard
            });
        }
        return if is_registry(text) {
            Ok(Registry::Exactly(text.into()))
        } else {
            Err(TrustedDirectoryError::Registry)
        };
    };
    if suffix.contains('*') {
        return Err(TrustedDirectoryError::Wildcard);
    }
    // After the label that the wildcard begins there must be a whole domain: `*pkg.dev` would
    // cover `evilpkg.dev`, which is somebody else's.
    let (label, domain) = suffix.split_once('.').ok_or(TrustedDirectoryError::Subdomain)?;
    if !is_registry(domain) || !is_registry(&format!("x{label}.{domain}")) {
        return Err(TrustedDirectoryError::Subdomain);
    }
    Ok(Registry::EndingWith(suffix.into()))
}

/// Two or more words with dots between them, and perhaps a port.
fn is_registry(text: &str) -> bool {
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    host.contains('.') && ImageReference::parse(&format!("{text}/x")).is_ok()
}

impl FromStr for TrustedDirectory {
    type Err = TrustedDirectoryError;
    fn from_str(text: &str) -> Result<Self, TrustedDirectoryError> {
        Self::parse(text)
    }
}

impl fmt::Display for TrustedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:77b0b75136b9bd0fd36fb50f4c92ae0dbdbbe164ab67885e736fa4374e0cbb8c";

    /// (pattern, images it holds, images it does not hold); `DIGEST` stands for one.
    type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

    /// From the comments of Google's API and the overview of continuous validation.
    const DOCUMENTED: &[Row] = &[
        (
            "gcr.io/my-project/my-repo",
            &["gcr.io/my-project/my-repo/app", "gcr.io/my-project/my-repo/app:v1@DIGEST"],
            &[
                "gcr.io/my-project/my-repo",
                "gcr.io/my-project/my-repo:v1",
                "gcr.io/my-project/my-repo/sub/app",
                "gcr.io/my-project/my-repo2/app",
                "gcr.io/my-project/app",
                "eu.gcr.io/my-project/my-repo/app",
                "gcr.iox/my-project/my-repo/app",
                "my-project/my-repo/app",
            ],
        ),
        (
            "*-docker.pkg.dev/my-project/my-repo",
            &[
                "us-central1-docker.pkg.dev/my-project/my-repo/app",
                "europe-docker.pkg.dev/my-project/my-repo/app@DIGEST",
            ],
            &[
                "docker.pkg.dev/my-project/my-repo/app",
                "us-docker.pkg.dev.evil.example/my-project/my-repo/app",
                "us-docker.pkg.dev:5000/my-project/my-repo/app",
                "us-docker.pkg.dev/other/my-repo/app",
                "evil.example/us-docker.pkg.dev/my-project/my-repo/app",
            ],
        ),
        (
            "*.gcr.io/my-project",
            &["eu.gcr.io/my-project/app", "a.b.gcr.io/my-project/app"],
            &["gcr.io/my-project/app", "evilgcr.io/my-project/app", "eu.gcr.io/my-project/a/app"],
        ),
        (
            "gcr.io/my-project/*",
            &["gcr.io/my-project/a/app", "gcr.io/my-project/b/app:v1"],
            &[
                "gcr.io/my-project/app",
                "gcr.io/my-project/a/b/app",
                "gcr.io/my-project-exploit/a/app",
            ],
        ),
        (
            "gcr.io/my-project/**",
            &["gcr.io/my-project/app", "gcr.io/my-project/a/app", "gcr.io/my-project/a/b/c/app"],
            &["gcr.io/my-project", "gcr.io/my-project-exploit/a/app", "eu.gcr.io/my-project/app"],
        ),
        (
            "us-central1-docker.pkg.dev/my-project/ar-directory",
            &["us-central1-docker.pkg.dev/my-project/ar-directory/app"],
            &["us-central1-docker.pkg.dev/my-project/ar-directory2/app"],
        ),
    ];

    const FURTHER: &[Row] = &[
        ("gcr.io/*", &["gcr.io/a/app"], &["gcr.io/app", "gcr.io/a/b/app"]),
        ("gcr.io/**", &["gcr.io/app", "gcr.io/a/b/app"], &["eu.gcr.io/app", "gcr.iox/app"]),
        ("gcr.io/p/ar-*", &["gcr.io/p/ar-x/app"], &["gcr.io/p/ar-x/y/app", "gcr.io/p/x/app"]),
        ("gcr.io/p/ar**", &["gcr.io/p/ar/app", "gcr.io/p/arx/y/app"], &["gcr.io/p/a/app"]),
        (
            "registry.example:5000/team",
            &["registry.example:5000/team/app"],
            &["registry.example/team/app", "registry.example:50001/team/app"],
        ),
        (
            "*docker.pkg.dev/p",
            &["us-docker.pkg.dev/p/app", "docker.pkg.dev/p/app"],
            &["pkg.dev/p/a"],
        ),
        ("*.example.com/**", &["a.example.com/app"], &["example.com/app", "badexample.com/app"]),
    ];

    #[test]
    fn every_documented_example_holds_as_documented() {
        for (pattern, held, not_held) in DOCUMENTED.iter().chain(FURTHER) {
            let compiled = TrustedDirectory::parse(pattern).expect(pattern);
            assert_eq!(compiled.as_str(), *pattern);
            let holds = |image: &str| {
                compiled.holds(&ImageReference::parse(&image.replace("DIGEST", DIGEST)).unwrap())
            };
            for image in *held {
                assert!(holds(image), "{pattern} holds {image}");
            }
            for image in *not_held {
                assert!(!holds(image), "{pattern} holds not {image}");
            }
        }
    }

    #[test]
    fn patterns_that_cannot_be_are_refused() {
        use TrustedDirectoryError::*;
        for (pattern, error) in [
            ("", Registry),
            ("gcr.io", Registry),
            ("gcr.i*", Registry),
            ("gcr.i*/my-project", Registry),
            ("gcr/my-project", Registry),
            ("localhost:5000/x", Registry),
            ("gcr..io/x", Registry),
            ("gcr.io:x/y", Registry),
            ("/x", Registry),
            ("https://gcr.io/x", Scheme),
            ("sub*domain.gcr.io/nginx", Wildcard),
            ("*pkg.dev/my-project/my-repo", Subdomain),
            ("*.dev/x", Subdomain),
            ("*/x", Subdomain),
            ("*dev/x", Subdomain),
            ("*", Subdomain),
            ("*-docker.pkg..dev/x", Subdomain),
            ("**", Wildcard),
            ("**-docker.pkg.dev", Wildcard),
            ("**-docker.pkg.dev/my-project", Wildcard),
            ("gcr.io/a*b", Wildcard),
            ("gcr.io/*/b", Wildcard),
            ("gcr.io/**/b", Wildcard),
            ("gcr.io/a/***", Wildcard),
            ("gcr.io/", Path),
            ("gcr.io/a/", Path),
            ("gcr.io//a", Path),
            ("gcr.io//*", Path),
            ("gcr.io/a b", Path),
            ("gcr.io/a:tag", Path),
            ("gcr.io/a@sha256:ab", Path),
            ("gcr.io/../x", Path),
            ("gcr.io/ä/**", Path),
        ] {
            assert_eq!(TrustedDirectory::parse(pattern), Err(error), "{pattern:?}");
        }
    }
}
