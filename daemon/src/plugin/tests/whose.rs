//! An id means the keys of one plugin, whoever else lists it.

use super::super::KeyError;
use super::key_types::ec;
use super::lister::{Lister, p256, plugins};
use super::*;

const ID: &str = "acme:release";

fn two(owner: &Lister, thief: &Lister) -> Catalog {
    load(&[owner.config.clone(), thief.config.clone()]).unwrap()
}

#[test]
fn an_id_under_the_scheme_of_another_is_refused_and_said() {
    let (own, stolen) = (ec("P-256", &[]), ec("P-256", &[]));
    let owner = Lister::new("owner", &[], &[p256(1, ID, &own)]);
    for id in [ID, "acme:other", "ACME:release", "acme:release#1"] {
        let keys = [p256(7, id, &stolen), p256(8, "thief:own", &stolen)];
        let thief = Lister::new("thief", &["-DLISTER_SCHEME=\"acme\""], &keys);
        let catalog = two(&owner, &thief);
        assert_eq!(plugins(&catalog, ID), ["owner"], "{id}");
        assert_eq!(plugins(&catalog, "acme:other"), [""; 0], "{id}");
        let said = &catalog.errors()["thief"];
        assert!(said.contains(id) && said.contains("belongs to plugin `owner`"), "{said}");
        // Nor is an id of any use that nobody can name.
        let status = &catalog.instances()[1];
        assert_eq!((status.keys, status.refused_keys), (2, 2), "{status:?}");
        assert!(status.refused[1].why.contains("no attestor can name it"), "{status:?}");
        assert_eq!(catalog.errors().get("owner"), None);
    }
}

/// Neither a source that is down nor one that removed its key leaves the id to somebody else.
#[test]
fn who_answers_first_plays_no_part() {
    let (own, stolen) = (ec("P-256", &[]), ec("P-256", &[]));
    let owner = Lister::new("owner", &[], &[]);
    let thief = Lister::new("thief", &[], &[p256(7, ID, &stolen)]);
    owner.take_down();
    let catalog = two(&owner, &thief);
    assert!(matches!(catalog.resolve(&reference(ID)), Err(KeyError::Unavailable(_))));
    owner.list(&[p256(1, ID, &own)]);
    assert!(catalog.refresh());
    assert_eq!(plugins(&catalog, ID), ["owner"]);
    owner.list(&[p256(1, "acme:another", &own)]);
    assert!(catalog.refresh());
    assert_eq!(plugins(&catalog, ID), [""; 0]);

    // The order of the configuration decides, so in the other order it is the other's.
    let other_way = load(&[thief.config.clone(), owner.config.clone()]).unwrap();
    assert_eq!(plugins(&other_way, ID), ["thief"]);
}

#[test]
fn the_configuration_shares_a_scheme_out() {
    let (a, b) = (ec("P-256", &[]), ec("P-256", &[]));
    let mut first = Lister::new("first", &[], &[p256(1, "acme:a/k", &a), p256(2, "acme:b/k", &a)]);
    let mut second = Lister::new("second", &[], &[p256(1, "acme:b/k", &b), p256(2, "acme:c", &b)]);
    second.config.ids = vec!["acme:b".to_owned()];
    let catalog = two(&first, &second);
    assert_eq!(plugins(&catalog, "acme:a/k"), ["first"]);
    assert_eq!(plugins(&catalog, "acme:b/k"), ["second"]);
    assert_eq!(plugins(&catalog, "acme:b"), ["second"], "a whole source");
    let errors = catalog.errors();
    assert!(errors["first"].contains("`acme:b/k` belongs to plugin `second`"), "{errors:?}");
    assert!(errors["second"].contains("`acme:c` belongs to plugin `first`"), "{errors:?}");

    first.config.ids = vec!["acme:b".to_owned()];
    let refused = load(&[first.config.clone(), second.config.clone()]).unwrap_err().to_string();
    assert!(refused.contains("`first` and `second` are both given the ids `acme:b`"), "{refused}");
    first.config.ids = vec!["other:x".to_owned()];
    let refused = load(&[first.config.clone()]).unwrap_err().to_string();
    assert!(refused.contains("has no keys with ids like `other:x`"), "{refused}");
}

#[test]
fn an_id_that_is_a_hash_names_its_own_key_only() {
    let (own, other) = (ec("P-256", &[]), ec("P-256", &[]));
    let hash = KeyId::of_spki(&other).to_string();
    let keys = [p256(1, &hash, &own), p256(2, KeyId::of_spki(&own).as_str(), &own)];
    let catalog = load(&[Lister::new("one", &[], &keys).config]).unwrap();
    let status = &catalog.instances()[0];
    assert_eq!(status.refused_keys, 1, "{status:?}");
    assert!(status.refused[0].why.contains("is the hash of another key"), "{status:?}");
}

/// The id of a plugin's key given to a key of text: it would be taken for what it is not.
#[test]
fn text_goes_by_no_id_of_another_key_that_a_plugin_lists() {
    let (own, other) = (ec("P-256", &[]), ec("P-256", &[]));
    let lister = Lister::new("acme", &[], &[p256(1, ID, &own)]);
    let pkix_reader = Lister::new(
        "reader",
        &["-DLISTER_FORM=\"pkix\"", "-DLISTER_SCHEME=\"reader\""],
        &[p256(1, "reader:x", &other)],
    );
    let catalog = two(&lister, &pkix_reader);
    let text = |id: &str| PublicKey {
        id: Some(KeyId::from(id)),
        ..pkix("whatever the reader makes of it", SignatureAlgorithm::EcdsaP256Sha256)
    };
    for id in [ID, "ACME:release"] {
        let Err(KeyError::Material(said)) = catalog.resolve(&text(id)) else { panic!("{id}") };
        assert!(said.contains("`acme`") && said.contains(id), "{said}");
        let sums = [&own, &other].map(|spki| super::super::convert::hex(&Sha256::digest(spki)));
        assert!(sums.iter().all(|sum| said.contains(sum)), "{said}");
        assert!(catalog.may_change(&text(id)));
    }
    catalog.resolve(&text("acme:other")).unwrap();
    catalog.resolve(&text("https://keys.example.com/release")).unwrap();
    assert!(!catalog.may_change(&text("https://keys.example.com/release")));

    // The same key by the same id is no contradiction; nor is an id that the plugin gave up.
    lister.list(&[p256(1, ID, &other)]);
    assert!(catalog.refresh());
    catalog.resolve(&text(ID)).unwrap();
    lister.list(&[p256(1, "acme:new", &own)]);
    assert!(catalog.refresh());
    catalog.resolve(&text(ID)).unwrap();
}
