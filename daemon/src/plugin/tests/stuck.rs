//! A plugin that does not come back is its own source's failure, and nobody else's.

use std::time::Instant;

use super::super::KeyError;
use super::key_types::ec;
use super::lister::{Lister, p256, plugins};
use super::*;
use crate::plugin::Isolation;

const ID: &str = "acme:release";

fn each_place(lister: &mut Lister, try_it: impl Fn(&Lister, Catalog)) {
    for isolation in [Isolation::InProcess, Isolation::Worker] {
        lister.config.isolation = Some(isolation);
        lister.config.limits.call_timeout = Duration::from_secs(2);
        try_it(lister, load(std::slice::from_ref(&lister.config)).unwrap());
        lister.stay_in("nothing");
    }
}

fn eventually(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// In the daemon its thread is lost; a worker is ended.
#[test]
fn one_that_reads_material_for_ever_is_waited_for_once() {
    let arguments = ["-DLISTER_FORM=\"pgp\"", "-DLISTER_CONCURRENCY=0"];
    let mut lister = Lister::new("acme", &arguments, &[p256(1, ID, &ec("P-256", &[]))]);
    each_place(&mut lister, |lister, catalog| {
        let material = KeyMaterial::Pgp { ascii_armored: "any".to_owned() };
        let key = PublicKey { comment: String::new(), id: None, material };
        assert_eq!(catalog.resolve(&key).unwrap().keys.len(), 1);
        lister.stay_in("resolve");
        let begun = Instant::now();
        for nth in 0..50 {
            let error = catalog.resolve(&key).unwrap_err();
            assert!(matches!(error, KeyError::Unavailable(_)), "{nth}: {error:?}");
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(25), "{took:?}");
        assert!(catalog.errors().contains_key("acme"), "{:?}", catalog.errors());
        assert_eq!(plugins(&catalog, ID), ["acme"], "its own keys are there");

        lister.stay_in("nothing");
        catalog.attend(begun + Duration::from_secs(60));
        assert!(catalog.take_difference(), "whoever has keys that were not read tries again");
        eventually("it reads again", || catalog.resolve(&key).is_ok());
    });
}

#[test]
fn one_that_lists_its_keys_for_ever_keeps_the_last_ones_and_is_named() {
    let key = ec("P-256", &[]);
    let lister = Lister::new("acme", &[], &[p256(1, ID, &key)]);
    let config = PluginConfig { isolation: Some(Isolation::InProcess), ..lister.config.clone() };
    let catalog = load(&[config]).unwrap();
    lister.stay_in("snapshot");
    catalog.instances[0].refresh(());
    catalog.attend(Instant::now() + Duration::from_secs(20));
    assert_eq!(catalog.errors().len(), 0, "it has its time");
    catalog.attend(Instant::now() + Duration::from_secs(31));
    let said = catalog.errors().remove("acme").unwrap();
    assert!(said.contains("not answer in its time"), "{said}");
    let status = &catalog.instances()[0];
    assert_eq!(status.snapshot_errors, 1);
    catalog.attend(Instant::now() + Duration::from_secs(62));
    assert_eq!(catalog.instances()[0].snapshot_errors, 1, "said once");
    assert_eq!(plugins(&catalog, ID), ["acme"]);

    lister.list(&[]);
    lister.list(&[p256(1, "acme:other", &key)]);
    lister.stay_in("nothing");
    eventually("it comes after all", || plugins(&catalog, "acme:other") == ["acme"]);
    eventually("all is well", || catalog.errors().is_empty());
}
