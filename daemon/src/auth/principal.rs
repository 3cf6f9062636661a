//! Who asks: a name with its kind before it, as in Google's IAM policies.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hallmark_core::excerpt::Excerpt;

/// Longest principal, in bytes: a SPIFFE id has at most 2,048, SPIFFE-ID §2.
const PRINCIPAL_BYTES_MAX: usize = 2_048 + "mtls:".len();

/// Prefixes of the names of principals.
pub const KINDS: [&str; 4] = ["user:", "serviceAccount:", "principal:", "mtls:"];

/// Somebody who was authenticated, such as `user:alice@example.com`,
/// `serviceAccount:ci@my-app.iam` or `mtls:spiffe://cluster.local/ns/kube-system/sa/webhook`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// With its kind.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a principal. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a principal: user:NAME, serviceAccount:NAME, principal:NAME or mtls:NAME, at \
     most {PRINCIPAL_BYTES_MAX} bytes without spaces"
)]
pub struct NotAPrincipal(pub String);

impl FromStr for Principal {
    type Err = NotAPrincipal;

    fn from_str(text: &str) -> Result<Self, NotAPrincipal> {
        let name = KINDS.iter().find_map(|kind| text.strip_prefix(kind));
        // Printable: a principal stands in log lines and in answers.
        let legal =
            |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        match name.is_some_and(legal) && text.len() <= PRINCIPAL_BYTES_MAX {
            true => Ok(Self(text.into())),
            false => Err(NotAPrincipal(Excerpt::<256>(text).to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_an_end() {
        let name = |bytes: usize| format!("user:{}", "n".repeat(bytes - "user:".len()));
        let longest = name(PRINCIPAL_BYTES_MAX);
        assert_eq!(longest.parse::<Principal>().expect("a principal").to_string(), longest);
        let error = name(PRINCIPAL_BYTES_MAX + 1).parse::<Principal>().expect_err("too long");
        assert!(error.to_string().len() < 600, "it is not repeated at length: {error}");
    }
}
