//! One bad key takes nothing from the others, and holds up no removal.

use super::super::convert::judge;
use super::key_types::{ec, public_der};
use super::lister::{HOST, Lister, SHARES_ID, line, p256, plugins};
use super::*;

const P256: u32 = 9;
const ED25519: u32 = 32;
const RSA_2048: u32 = 5;

/// Keys that nothing is to be verified with, each on its line.
fn bad_keys() -> Vec<(&'static str, Vec<String>)> {
    let good = ec("P-256", &[]);
    let mut off_curve = good.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let rsa_1024 = public_der(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &[]);
    let other = ec("P-256", &[]);
    let bad = |algorithm, spki: &[u8]| vec![line(9, HOST, algorithm, "acme:bad", spki)];
    vec![
        ("RSA-1024", bad(RSA_2048, &rsa_1024)),
        ("off the curve", bad(P256, &off_curve)),
        ("wrong curve", bad(P256, &ec("P-384", &[]))),
        ("no attestation's curve", bad(P256, &ec("secp256k1", &[]))),
        ("another type", bad(ED25519, &good)),
        ("garbage", bad(P256, b"garbage")),
        ("cut short", bad(P256, &good[..good.len() - 1])),
        ("unknown algorithm", bad(4711, &good)),
        (
            "two keys of one id",
            vec![p256(8, "acme:bad", &good), line(9, HOST, P256, "acme:bad", &other)],
        ),
        (
            "declared by one of them only",
            vec![p256(8, "acme:bad", &good), line(9, HOST | SHARES_ID, P256, "acme:bad", &other)],
        ),
        (
            "revoked and not",
            vec![p256(8, "acme:bad", &good), line(9, HOST | 8, P256, "acme:bad", &good)],
        ),
    ]
}

#[test]
fn a_bad_key_is_named_and_removals_take_effect() {
    let (stays, goes) = (p256(1, "acme:stays", &ec("P-256", &[])), ec("P-256", &[]));
    for (what, bad) in bad_keys() {
        let lister = Lister::new("acme", &[], &[stays.clone(), p256(2, "acme:goes", &goes)]);
        let catalog = load(std::slice::from_ref(&lister.config)).unwrap();
        assert_eq!(plugins(&catalog, "acme:goes"), ["acme"], "{what}");
        assert_eq!(catalog.errors().len(), 0);

        lister.list(&[std::slice::from_ref(&stays), bad.as_slice()].concat());
        assert!(catalog.refresh(), "{what}");
        assert_eq!(plugins(&catalog, "acme:goes"), [""; 0], "{what}");
        assert_eq!(plugins(&catalog, "acme:bad"), [""; 0], "{what}");
        assert_eq!(plugins(&catalog, "acme:stays"), ["acme"], "{what}");
        let status = &catalog.instances()[0];
        assert_eq!((status.snapshot_errors, status.refused_keys), (0, bad.len()), "{what}");
        assert_eq!(status.refused[0].id, "acme:bad", "{what}");
        assert!(catalog.errors()["acme"].contains("acme:bad"), "{what}: {:?}", catalog.errors());

        lister.list(std::slice::from_ref(&stays));
        catalog.refresh();
        assert_eq!(catalog.errors().len(), 0, "{what}");
    }
}

/// The last good key goes even if nothing but a bad key is left.
#[test]
fn the_last_good_key_goes_too() {
    let lister = Lister::new("acme", &[], &[p256(1, "acme:goes", &ec("P-256", &[]))]);
    let catalog = load(std::slice::from_ref(&lister.config)).unwrap();
    lister.list(&[line(9, HOST, P256, "acme:bad", b"garbage")]);
    assert!(catalog.refresh());
    assert_eq!(plugins(&catalog, "acme:goes"), [""; 0]);
}

#[test]
fn a_key_that_is_listed_twice_is_used_once_and_one_that_shares_its_id_is_declared() {
    let (one, two) = (ec("P-256", &[]), ec("P-256", &[]));
    let lister = Lister::new("acme", &[], &[p256(1, "acme:k", &one), p256(2, "acme:k", &one)]);
    let catalog = load(std::slice::from_ref(&lister.config)).unwrap();
    assert_eq!(plugins(&catalog, "acme:k"), ["acme"]);
    assert!(catalog.errors()["acme"].contains("listed twice"), "{:?}", catalog.errors());

    let shared = |handle, key: &[u8]| line(handle, HOST | SHARES_ID, P256, "acme:k", key);
    lister.list(&[shared(1, &one), shared(2, &two)]);
    assert!(catalog.refresh());
    assert_eq!(plugins(&catalog, "acme:k"), ["acme", "acme"]);
    assert_eq!(catalog.errors().len(), 0);
}

/// Of every key the tools say what the daemon does.
#[test]
fn the_tools_judge_as_the_daemon_does() {
    for (what, bad) in bad_keys() {
        let lister = Lister::new("acme", &[], &bad);
        let catalog = load(std::slice::from_ref(&lister.config)).unwrap();
        let held = catalog.instances[0].held().unwrap();
        let judged =
            judge(&held.snapshot.keys, catalog.instances[0].instance().unwrap().image().info());
        assert_eq!(judged, catalog.instances()[0].refused, "{what}");
        assert_eq!(judged.len(), bad.len(), "{what}");
    }
}
