//! The attributes of a request that choose its rule, as types: cluster, namespace, service account,
//! mesh identity. Parsed once at the edge.
//!
//! Rules are keyed by the same types. A name that is not of their form could match no rule, and
//! would fall to the default rule by a slip of the pen; so it is refused where it enters.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::document::read::EXCERPT_CHARS_MAX;
use crate::excerpt::Excerpt;

/// Bytes of a location and of a namespace (RFC 1123 label).
const LABEL_BYTES_MAX: usize = 63;

/// Bytes of a service account or cluster name (RFC 1123 subdomain).
const SUBDOMAIN_BYTES_MAX: usize = 253;

/// Bytes of a mesh identity (SPIFFE-ID §2.3).
const IDENTITY_BYTES_MAX: usize = 2048;

/// The scheme of mesh identities, which may be left out.
pub(crate) const SPIFFE: &str = "spiffe://";

/// Why an attribute was refused. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {form}")]
pub struct AttributeError {
    /// The text, shortened.
    pub given: String,
    /// The form expected.
    pub form: &'static str,
}

macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident, $is:ident, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl FromStr for $name {
            type Err = AttributeError;
            fn from_str(text: &str) -> Result<Self, AttributeError> {
                match $is(text) {
                    true => Ok(Self(text.into())),
                    false => Err(AttributeError {
                        given: Excerpt::<EXCERPT_CHARS_MAX>(text).to_string(),
                        form: $form,
                    }),
                }
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

attribute!(
    /// `LOCATION.CLUSTER`, split on the first dot: locations have none. In lower case, as every
    /// location and every cluster of Google's is.
    ClusterName,
    is_cluster,
    "LOCATION.CLUSTER in lower case, such as us-east1-a.prod"
);
attribute!(
    /// A Kubernetes namespace.
    Namespace,
    is_label,
    "a Kubernetes namespace (RFC 1123 label)"
);
attribute!(
    /// A Kubernetes service account, without its namespace.
    ServiceAccount,
    is_subdomain,
    "a Kubernetes service account (RFC 1123 subdomain, without its namespace)"
);
attribute!(
    /// A mesh identity, with or without `spiffe://`.
    MeshIdentity,
    is_identity,
    "spiffe://DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT"
);

impl MeshIdentity {
    /// The identity without its scheme, as rules hold it.
    pub fn without_scheme(&self) -> &str {
        self.0.strip_prefix(SPIFFE).unwrap_or(&self.0)
    }
}

impl Default for ServiceAccount {
    /// The account that Kubernetes gives a pod that names none.
    fn default() -> Self {
        Self("default".into())
    }
}

fn is_cluster(text: &str) -> bool {
    // Names of clusters elsewhere hold underscores.
    let part = |part: &str| is_dns_word(&part.replace('_', "-"));
    let name = |text: &str| text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(part);
    text.split_once('.').is_some_and(|(location, cluster)| is_label(location) && name(cluster))
}

/// `DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`, with or without `spiffe://`.
fn is_identity(text: &str) -> bool {
    let identity = text.strip_prefix(SPIFFE).unwrap_or(text);
    let domain = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        !text.is_empty() && text.bytes().all(legal)
    };
    let parts: Vec<_> = identity.split('/').take(6).collect();
    let [trust, "ns", namespace, "sa", account] = parts[..] else { return false };
    identity.len() <= IDENTITY_BYTES_MAX
        && domain(trust)
        && is_label(namespace)
        && is_subdomain(account)
}

/// An RFC 1123 label.
fn is_label(text: &str) -> bool {
    text.len() <= LABEL_BYTES_MAX && is_dns_word(text)
}

/// An RFC 1123 subdomain as Kubernetes has it: its labels may have any length.
fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(is_dns_word)
}

/// Lower-case letters, digits and inner hyphens.
fn is_dns_word(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let inner = !text.starts_with('-') && !text.ends_with('-');
    !text.is_empty() && inner && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes<T: FromStr>(texts: &[&str]) {
        texts.iter().for_each(|text| assert!(text.parse::<T>().is_ok(), "{text:?}"));
    }

    fn refuses<T: FromStr>(texts: &[&str]) {
        texts.iter().for_each(|text| assert!(text.parse::<T>().is_err(), "{text:?}"));
    }

    #[test]
    fn a_cluster_is_a_location_and_a_name_in_lower_case() {
        takes::<ClusterName>(&[
            "l.c",
            "us-east1-a.prod",
            "global.my.cluster_1",
            "europe-west2.a.b",
        ]);
        let long = format!("l.{}", "c".repeat(254));
        takes::<ClusterName>(&[&long[..255]]);
        refuses::<ClusterName>(&[
            "", " ", "foo", "l.", ".c", ".", "l.c ", " l.c", "l .c", "l.c\n", "l.c\0", "\0", "L.C",
            "L.c", "l.C", "l..c", "l.c.", "l.-c", "l.c-", "l._c", "l.c_", "l.c..d", "l.c.-d",
            "us/x.c", "l.c/d", "l.ä", "l_1.c", "-l.c", &long,
        ]);
        let error = "L.C".parse::<ClusterName>().unwrap_err().to_string();
        assert_eq!(error, "\"L.C\" is not LOCATION.CLUSTER in lower case, such as us-east1-a.prod");
        let error = "x\0".repeat(1_000).parse::<Namespace>().unwrap_err().to_string();
        assert!(error.len() < 512 && !error.contains('\0'), "{error}");
    }

    #[test]
    fn namespaces_and_service_accounts_are_those_of_kubernetes() {
        let label = "a".repeat(63);
        takes::<Namespace>(&["shop", "shop-1", "1", &label]);
        let long = format!("{label}a");
        refuses::<Namespace>(&[
            "", " ", "Shop", "shop ", "-a", "a-", "a.b", "a_b", "a b", "a\0", "ns:sa", &long,
        ]);
        let subdomain = format!("{}.b", "a".repeat(251));
        takes::<ServiceAccount>(&["web", "b.c", "default", &subdomain]);
        let long = format!("{subdomain}c");
        refuses::<ServiceAccount>(&[
            "", "Web", "web ", "shop:web", "a/b", ".b", "a.", "a\0", "a\n", &long,
        ]);
    }

    #[test]
    fn a_mesh_identity_may_leave_out_its_scheme() {
        takes::<MeshIdentity>(&["spiffe://d.example/ns/n/sa/s", "d/ns/n/sa/s"]);
        let with_scheme: MeshIdentity = "spiffe://d/ns/n/sa/s".parse().unwrap();
        assert_eq!(with_scheme.without_scheme(), "d/ns/n/sa/s");
        refuses::<MeshIdentity>(&[
            "",
            "d/ns/n/sa",
            "d/ns/n/sa/s/x",
            "/ns/n/sa/s",
            "https://d/ns/n/sa/s",
            "d/ns/N/sa/s",
            "spiffe://spiffe://d/ns/n/sa/s",
            "d/ns/n/sa/s ",
            "d/ns/n/sa/s\0",
        ]);
    }
}
