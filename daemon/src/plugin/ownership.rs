//! Whose a key id is.
//!
//! An attestor trusts an id, so an id must mean the keys of one instance. The configuration alone
//! says of which: an instance that is given `ids` has what begins with one of them and nothing
//! else; what is given to nobody belongs to the first instance, in the order of the configuration,
//! whose plugin claims the scheme. Who answered first plays no part, so a thief gains nothing from
//! a source that is down, slow or restarted.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use hallmark_core::attestor::KeyId;
use hallmark_plugin_api::host::KeyRecord;

use super::error::PluginError;

/// Which instance may list which key ids.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// Beginnings of ids that the configuration gives to an instance, the longest first.
    given: Vec<(String, Arc<str>)>,
    /// Of each other scheme, the first instance that claims it.
    schemes: HashMap<String, Arc<str>>,
}

/// An instance, as far as it has a say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant<'a> {
    pub(super) plugin: &'a str,
    /// Schemes that its plugin claims, in lower case.
    pub(super) schemes: &'a [String],
    /// Beginnings of ids that the configuration gives it.
    pub(super) ids: &'a [String],
}

/// A key may not go by an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ForeignId {
    /// The id is another instance's.
    #[error(
        "the id `{id}` belongs to plugin `{owner}`; if it is meant for this one, say so with `ids` \
         in the configuration of both"
    )]
    Owned {
        /// The id.
        id: String,
        /// Whose it is.
        owner: String,
    },
    /// The instance is given other ids.
    #[error("the id `{0}` begins with none of the `ids` that this plugin is given")]
    NotGiven(String),
    /// An id that is a hash, of another key.
    #[error("the id `{0}` is the hash of another key")]
    Hash(String),
}

impl Ownership {
    /// Of the instances, in the order of the configuration.
    pub(super) fn new<'a>(
        claimants: impl IntoIterator<Item = Claimant<'a>>,
    ) -> Result<Self, PluginError> {
        let mut ownership = Self::default();
        for claimant in claimants {
            let plugin: Arc<str> = claimant.plugin.into();
            for id in claimant.ids {
                ownership.give(id, &plugin, claimant.schemes)?;
            }
            let free = claimant.schemes.iter().filter(|_| claimant.ids.is_empty());
            for scheme in free {
                ownership.schemes.entry(scheme.clone()).or_insert_with(|| Arc::clone(&plugin));
            }
        }
        ownership.given.sort_by_key(|(prefix, _)| Reverse(prefix.len()));
        Ok(ownership)
    }

    fn give(&mut self, id: &str, plugin: &Arc<str>, claims: &[String]) -> Result<(), PluginError> {
        let claimed = scheme(id).is_some_and(|scheme| claims.contains(&scheme));
        if !claimed {
            let (name, id) = (plugin.to_string(), id.to_owned());
            return Err(PluginError::ForeignIds { name, id, schemes: claims.join("`, `") });
        }
        let prefix = normal(id);
        if let Some((_, other)) = self.given.iter().find(|(given, _)| *given == prefix) {
            let names = [other.to_string(), plugin.to_string()];
            return Err(PluginError::IdsTwice { id: id.to_owned(), names });
        }
        self.given.push((prefix, Arc::clone(plugin)));
        Ok(())
    }

    /// Whose an id is; `None` for one without a scheme, or of a scheme that nobody claims.
    pub(super) fn owner(&self, id: &str) -> Option<&str> {
        let normal = normal(id);
        let given = self.given.iter().find(|(prefix, _)| is_within(&normal, prefix));
        let owner = given.map(|(_, owner)| owner);
        owner.or_else(|| self.schemes.get(&scheme(id)?)).map(AsRef::as_ref)
    }

    /// Checks that `plugin` may list a key by all of its ids.
    pub(super) fn permits(&self, plugin: &str, record: &KeyRecord) -> Result<(), ForeignId> {
        let restricted = self.given.iter().any(|(_, owner)| **owner == *plugin);
        for id in std::iter::once(&record.id).chain(&record.other_ids) {
            match self.owner(id) {
                Some(owner) if owner == plugin => {}
                Some(owner) => {
                    return Err(ForeignId::Owned { id: id.clone(), owner: owner.to_owned() });
                }
                // The hash of the key itself: whoever lists it may.
                None if KeyId::of_spki(&record.spki_der).as_str() == id => {}
                None if scheme(id).as_deref() == Some(HASH_SCHEME) => {
                    return Err(ForeignId::Hash(id.clone()));
                }
                None if restricted && scheme(id).is_some() => {
                    return Err(ForeignId::NotGiven(id.clone()));
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// RFC 6920: the default ids of keys that an attestor holds as text.
pub(super) const HASH_SCHEME: &str = "ni";

/// The scheme of an id, in lower case. Laxer than [`KeyId::scheme`] about what follows it, so that
/// no odd character after the colon takes an id out of its owner's hands.
pub(super) fn scheme(id: &str) -> Option<String> {
    let (scheme, _) = id.split_once(':')?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    (named && scheme.bytes().all(legal)).then(|| scheme.to_ascii_lowercase())
}

/// The id with its scheme in lower case; what follows is compared byte by byte.
pub(super) fn normal(id: &str) -> String {
    match (scheme(id), id.split_once(':')) {
        (Some(scheme), Some((_, rest))) => format!("{scheme}:{rest}"),
        _ => id.to_owned(),
    }
}

/// True if `id` is `whole`, or lies below it.
fn is_within(id: &str, whole: &str) -> bool {
    id == whole || is_below(id, whole)
}

/// True if `id` is a part of `whole`: a source ends where a path segment, a fragment or a PKCS#11
/// attribute begins.
pub(super) fn is_below(id: &str, whole: &str) -> bool {
    id.strip_prefix(whole).is_some_and(|rest| {
        !rest.is_empty() && (whole.ends_with(['/', ':']) || rest.starts_with(['/', '#', ';']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership(claimants: &[(&str, &[&str], &[&str])]) -> Result<Ownership, PluginError> {
        let text = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let lists: Vec<_> =
            claimants.iter().map(|(name, claims, ids)| (*name, text(claims), text(ids))).collect();
        Ownership::new(lists.iter().map(|(plugin, schemes, ids)| Claimant { plugin, schemes, ids }))
    }

    #[test]
    fn a_scheme_is_of_the_first_in_the_configuration_that_claims_it() {
        let owns = ownership(&[("a", &["acme"], &[]), ("b", &["acme", "other"], &[])]).unwrap();
        for id in ["acme:release", "ACME:release", "acme:rel ease", "acme:"] {
            assert_eq!(owns.owner(id), Some("a"), "{id}");
        }
        assert_eq!(owns.owner("other:x"), Some("b"));
        for id in ["release", "//acme:x", "third:x", ":x", "1acme:x"] {
            assert_eq!(owns.owner(id), None, "{id}");
        }
    }

    #[test]
    fn what_is_given_goes_before_what_is_claimed_and_the_longest_first() {
        let owns = ownership(&[
            ("a", &["pkcs11"], &[]),
            ("b", &["pkcs11"], &["PKCS11:token=b"]),
            ("c", &["pkcs11"], &["pkcs11:token=b;object=c", "pkcs11:token=c"]),
        ])
        .unwrap();
        for (id, owner) in [
            ("pkcs11:token=x;object=c", "a"),
            ("pkcs11:token=bb", "a"),
            ("pkcs11:token=b", "b"),
            ("pkcs11:token=b;object=a", "b"),
            ("pkcs11:token=b;object=c", "c"),
            ("pkcs11:token=c;id=%01", "c"),
        ] {
            assert_eq!(owns.owner(id), Some(owner), "{id}");
        }
    }

    #[test]
    fn who_is_given_ids_has_no_others() {
        let owns = ownership(&[("a", &["acme"], &["acme:a/"]), ("b", &["acme"], &[])]).unwrap();
        assert_eq!(owns.owner("acme:x"), Some("b"));
        let alone = ownership(&[("a", &["acme"], &["acme:a/"])]).unwrap();
        assert_eq!(alone.owner("acme:x"), None);
        assert_eq!(alone.owner("acme:a/x"), Some("a"));
    }

    #[test]
    fn ids_are_of_a_scheme_of_the_plugin_and_given_once() {
        let refused =
            |claimants: &[(&str, &[&str], &[&str])]| ownership(claimants).unwrap_err().to_string();
        for id in ["other:x", "acme", "", ":x"] {
            let text = refused(&[("a", &["acme"], &[id])]);
            assert!(text.contains("has no keys with ids like"), "{id}: {text}");
        }
        let text = refused(&[("a", &["acme"], &["acme:x"]), ("b", &["acme"], &["ACME:x"])]);
        assert!(text.contains("`a` and `b`"), "{text}");
    }
}
