//! The judgement on every key of the corpus.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// The keys of the corpus whose names begin so.
fn corpus(start: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/public_key");
    let files = std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let files = files.filter(|path| name(path).starts_with(start));
    files.map(|path| (name(&path), std::fs::read(&path).expect("reads"))).collect()
}

#[test]
fn a_key_that_others_can_sign_for_is_refused_and_a_good_one_is_not() {
    let good = corpus("good-");
    assert!(good.len() >= 8, "{good:?}");
    for (name, spki_der) in good {
        let key = judge(&spki_der).expect(&name);
        assert_eq!(key.der(), spki_der, "{name}");
        assert_eq!(parts(key.der()), Ok((key.key_type(), key.bits())), "{name}");
    }
    let bad = corpus("bad-");
    assert!(bad.len() >= 40, "{:?}", bad.keys());
    for (name, spki_der) in bad {
        judge(&spki_der).expect_err(&name);
    }
}

#[test]
fn the_refusal_says_what_is_wrong_with_the_key() {
    use KeyTypeError as E;
    let judged = |name: &str| {
        let keys = corpus(name);
        let [spki_der] = keys.values().collect::<Vec<_>>()[..] else { panic!("{keys:?}") };
        judge(spki_der).expect_err(name)
    };
    for (name, error) in [
        ("bad-ed25519-identity-signed", E::Ed25519Point),
        ("bad-ed25519-order-2", E::Ed25519Point),
        ("bad-ed25519-order-8-3", E::Ed25519Point),
        ("bad-ed25519-noncanonical-2", E::Ed25519Point),
        ("bad-ed25519-mixed-order", E::Ed25519Point),
        ("bad-ed25519-off-curve", E::Bits("Ed25519")),
        ("bad-p256-off-curve", E::Bits("P-256")),
        ("bad-p256-infinity", E::Bits("P-256")),
        ("bad-p256-hybrid", E::Bits("P-256")),
        ("bad-p384-off-curve", E::Bits("P-384")),
        ("bad-p521-off-curve", E::Bits("P-521")),
        ("bad-rsa-1024", E::ModulusBits(1_024)),
        ("bad-rsa-8200", E::ModulusBits(8_200)),
        ("bad-rsa-factor-3", E::SmallFactor(3)),
        ("bad-rsa-factor-751", E::SmallFactor(751)),
        ("bad-rsa-exponent-2", E::Exponent),
        ("bad-rsa-even", E::Bits("RSA")),
        ("bad-rsa-no-parameters", E::Bits("RSA")),
        ("bad-ml_dsa_65-zero", E::MlDsaDegenerate),
        ("bad-ml_dsa_65-ones", E::MlDsaDegenerate),
    ] {
        assert_eq!(judged(name), error, "{name}");
    }
}

#[test]
fn numbers_are_encoded_as_openssl_does() {
    let keys = corpus("good-");
    let of = |name: &str| keys[name].as_slice();
    let p256 = of("good-p256");
    assert_eq!(encode(&Encoded::P256(&p256[p256.len() - 65..])).as_deref(), Some(p256));
    let p384 = of("good-p384");
    assert_eq!(encode(&Encoded::P384(&p384[p384.len() - 97..])).as_deref(), Some(p384));
    let ed25519 = of("good-ed25519");
    assert_eq!(encode(&Encoded::Ed25519(&ed25519[12..])).as_deref(), Some(ed25519));
    let rsa = of("good-rsa2048");
    // 256 bytes of modulus, then INTEGER 65537.
    let (modulus, exponent) = rsa[rsa.len() - 261..].split_at(256);
    let encoded = encode(&Encoded::Rsa { n: modulus, e: &exponent[2..] });
    assert_eq!(encoded.as_deref(), Some(rsa));
}
