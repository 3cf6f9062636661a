//! Every type of key against every algorithm, with keys that OpenSSL made.

use hallmark_plugin_api::KeyFlags;
use hallmark_plugin_api::host::KeyRecord;

use super::super::KeyError;
use super::super::convert::{Source, WrongKey, of_material, of_snapshot, verification_key};
use super::super::ownership::Ownership;
use super::*;
use crate::public_key::KeyTypeError;

/// A fresh public key in DER: `openssl genpkey` with these arguments.
pub(super) fn public_der(genpkey: &[&str], pkey: &[&str]) -> Vec<u8> {
    let private = openssl(&[&["genpkey"], genpkey].concat(), b"");
    openssl(&[&["pkey", "-pubout", "-outform", "DER"], pkey].concat(), &private)
}

fn rsa(bits: &str) -> Vec<u8> {
    public_der(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")], &[])
}

pub(super) fn ec(curve: &str, pkey: &[&str]) -> Vec<u8> {
    public_der(&["-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")], pkey)
}

fn ml_dsa_65(bytes: usize) -> Vec<u8> {
    let body = bytes + 1;
    let [high, low] = u16::try_from(body).unwrap().to_be_bytes();
    let algorithm = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12";
    let [outer_high, outer_low] = u16::try_from(body + 4 + algorithm.len()).unwrap().to_be_bytes();
    let mut der = vec![0x30, 0x82, outer_high, outer_low];
    der.extend(algorithm);
    der.extend([0x03, 0x82, high, low, 0]);
    der.resize(der.len() + bytes, 7);
    der
}

fn record(spki_der: &[u8]) -> KeyRecord {
    KeyRecord {
        handle: 1,
        id: "acme:key".to_owned(),
        other_ids: Vec::new(),
        spki_der: spki_der.to_vec(),
        spki_sha256: Sha256::digest(spki_der).into(),
        fingerprint: Vec::new(),
        algorithms: Vec::new(),
        flags: KeyFlags::VERIFY | KeyFlags::HOST_VERIFY,
        not_before: None,
        not_after: None,
        revoked_at: None,
        attrs_json: String::new(),
        unusable: None,
    }
}

fn convert(
    spki_der: &[u8],
    algorithm: SignatureAlgorithm,
) -> Result<hallmark_core::attestor::VerificationKey, WrongKey> {
    verification_key(&record(spki_der), vec![KeyId::from("acme:key")], algorithm, &"acme".into())
}

fn source(verifies: bool) -> Source {
    Source { plugin: "hsm".into(), decodes: false, verifies, schemes: Vec::new() }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn a_key_is_of_its_own_algorithms_and_no_other() {
    use SignatureAlgorithm as A;
    let world = World::new();
    let rows: [(Vec<u8>, &[A]); 8] = [
        (
            rsa("2048"),
            &[
                A::RsaPss2048Sha256,
                A::RsaPkcs1_2048Sha256,
                A::RsaPkcs1_2048Sha384,
                A::RsaPkcs1_2048Sha512,
            ],
        ),
        (
            rsa("3072"),
            &[
                A::RsaPss3072Sha256,
                A::RsaPkcs1_3072Sha256,
                A::RsaPkcs1_3072Sha384,
                A::RsaPkcs1_3072Sha512,
            ],
        ),
        (
            rsa("4096"),
            &[
                A::RsaPss4096Sha256,
                A::RsaPss4096Sha512,
                A::RsaPkcs1_4096Sha256,
                A::RsaPkcs1_4096Sha384,
                A::RsaPkcs1_4096Sha512,
            ],
        ),
        (ec("P-256", &[]), &[A::EcdsaP256Sha256, A::EcdsaP256Sha384, A::EcdsaP256Sha512]),
        (ec("P-384", &[]), &[A::EcdsaP384Sha256, A::EcdsaP384Sha384, A::EcdsaP384Sha512]),
        (ec("P-521", &[]), &[A::EcdsaP521Sha256, A::EcdsaP521Sha384, A::EcdsaP521Sha512]),
        (public_der(&["-algorithm", "ED25519"], &[]), &[A::Ed25519]),
        (ml_dsa_65(1952), &[A::MlDsa65]),
    ];
    for (der, own) in &rows {
        for algorithm in A::all() {
            let resolved = world.catalog.resolve(&pkix(&pem(der), algorithm));
            if own.contains(&algorithm) {
                let resolved = resolved.unwrap();
                assert_eq!(resolved.keys[0].algorithm, algorithm);
                assert_eq!(resolved.keys[0].spki.der(), der.as_slice());
                assert!(der.ends_with(resolved.keys[0].spki.bits()));
                assert!(resolved.keys[0].spki.key_type().verifies(algorithm));
            } else {
                let Err(KeyError::Material(text)) = resolved else { panic!("{algorithm}") };
                let end = format!(", which {algorithm} cannot be verified with");
                assert!(text.starts_with("the key is ") && text.ends_with(&end), "{text}");
            }
        }
    }
}

#[test]
fn compressed_points_are_written_out_for_p256_only() {
    let private =
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
    let public = ["pkey", "-pubout", "-outform", "DER", "-ec_conv_form"];
    let compressed = openssl(&[&public[..], &["compressed"]].concat(), &private);
    let uncompressed = openssl(&[&public[..], &["uncompressed"]].concat(), &private);
    assert_eq!((compressed.len(), uncompressed.len()), (59, 91));

    let world = World::new();
    let key = pkix(&pem(&compressed), SignatureAlgorithm::EcdsaP256Sha256);
    let resolved = world.catalog.resolve(&key).unwrap();
    assert_eq!(resolved.keys[0].spki.der(), uncompressed.as_slice());
    assert_eq!(resolved.keys[0].spki.bits(), &uncompressed[26..], "the point");
    let fingerprint: [u8; 32] = Sha256::digest(&uncompressed).into();
    assert_eq!(resolved.keys[0].fingerprint, fingerprint, "one key, one identity");
    // The id that gcloud computes is the hash of the file's own bytes.
    assert_eq!(resolved.default_id, KeyId::of_spki(&compressed));

    for (curve, name, algorithm) in [
        ("P-384", "P-384", SignatureAlgorithm::EcdsaP384Sha384),
        ("P-521", "P-521", SignatureAlgorithm::EcdsaP521Sha512),
    ] {
        let der = ec(curve, &["-ec_conv_form", "compressed"]);
        assert_eq!(convert(&der, algorithm), Err(WrongKey::Type(KeyTypeError::Compressed(name))));
    }
}

#[test]
fn keys_that_verify_no_attestation_are_refused() {
    let p256 = SignatureAlgorithm::EcdsaP256Sha256;
    let text = |der: &[u8]| convert(der, p256).unwrap_err().to_string();
    assert_eq!(text(&rsa("1024")), "an RSA key of 1024 bits is refused: use 2048, 3072 or 4096");
    let curve = "an elliptic curve key must name its curve, P-256, P-384 or P-521";
    assert_eq!(text(&ec("secp256k1", &[])), curve);
    assert_eq!(text(&ec("P-256", &["-ec_param_enc", "explicit"])), curve);
    let x25519 = public_der(&["-algorithm", "X25519"], &[]);
    assert_eq!(text(&x25519), "a public key of type 1.3.101.110 is not supported");
    assert_eq!(text(b""), "the public key is no SubjectPublicKeyInfo in DER");

    let mut der = ec("P-256", &[]);
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(
        convert(&der, p256),
        Err(WrongKey::Type(KeyTypeError::Bits("P-256"))),
        "a point off the curve"
    );
    *der.last_mut().unwrap() ^= 1;
    der.push(0);
    assert!(
        matches!(convert(&der, p256), Err(WrongKey::Type(KeyTypeError::Der))),
        "something behind it"
    );

    let long = convert(&ml_dsa_65(1953), SignatureAlgorithm::MlDsa65);
    assert_eq!(long, Err(WrongKey::Type(KeyTypeError::Bits("ML-DSA-65"))));
}

#[test]
fn an_rsa_exponent_is_odd_and_of_a_size_that_verifiers_take() {
    let good = rsa("2048");
    let convert = |der: &[u8]| convert(der, SignatureAlgorithm::RsaPkcs1_2048Sha256);
    convert(&good).unwrap();
    assert!(good.ends_with(&[0x02, 0x03, 0x01, 0x00, 0x01]));
    let head = &good[..good.len() - 3];
    for exponent in [[0x01, 0x00, 0x02], [0x7f, 0xff, 0xfe]] {
        assert_eq!(
            convert(&[head, &exponent].concat()),
            Err(WrongKey::Type(KeyTypeError::Exponent))
        );
    }
    let large = public_der(
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt"]
            .into_iter()
            .chain(["rsa_keygen_pubexp:17179869185"])
            .collect::<Vec<_>>(),
        &[],
    );
    assert_eq!(convert(&large), Err(WrongKey::Type(KeyTypeError::Exponent)));
}

#[test]
fn no_flipped_bit_leaves_a_key_the_same() {
    let der = ec("P-256", &[]);
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let good = convert(&der, algorithm).unwrap();
    for bit in 0..der.len() * 8 {
        let mut flipped = der.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let fingerprint = convert(&flipped, algorithm).map(|key| key.fingerprint);
        assert_ne!(fingerprint, Ok(good.fingerprint), "bit {bit}");
    }
}

#[test]
fn flags_and_revocation_count() {
    let der = ec("P-256", &[]);
    let p256 = SignatureAlgorithm::EcdsaP256Sha256;
    let algorithms = vec![hallmark_plugin_api::Algorithm::EcdsaP256Sha256];
    let plain = KeyRecord { algorithms, ..record(&der) };
    assert_eq!(of_material(std::slice::from_ref(&plain), &source(false)).unwrap().len(), 1);

    let signs_only = KeyRecord { flags: KeyFlags::SIGN, ..plain.clone() };
    assert_eq!(of_material(std::slice::from_ref(&signs_only), &source(false)), Ok(vec![]));
    let of_key = |record: &KeyRecord| verification_key(record, Vec::new(), p256, &"hsm".into());
    assert_eq!(of_key(&signs_only), Err(WrongKey::Usage));

    let revoked = KeyRecord { revoked_at: Some(7), ..plain.clone() };
    let validity = of_key(&revoked).unwrap().validity;
    assert_eq!(validity.revoked_at.map(|at| at.0), Some(7));
    let hard = KeyRecord { flags: plain.flags | KeyFlags::HARD_REVOKED, ..revoked };
    let validity = of_key(&hard).unwrap().validity;
    assert_eq!(validity.revoked_at.map(|at| at.0), Some(i64::MIN));
    let held = KeyRecord { flags: KeyFlags::VERIFY, ..plain.clone() };
    let of =
        |record: &KeyRecord, verifies| of_material(std::slice::from_ref(record), &source(verifies));
    assert_eq!(of(&held, false), Ok(vec![]));
    assert_eq!(of(&held, true).unwrap()[0].holder.as_deref(), Some("hsm"));
    assert_eq!(of(&plain, true).unwrap()[0].holder, None);
    // Nobody could say which key it is.
    let nameless = KeyRecord { spki_der: vec![1], ..held };
    assert!(matches!(of(&nameless, true), Err(WrongKey::Type(_))), "{:?}", of(&nameless, true));
}

/// A handle is asked for by id, key and algorithm: with any of them another it is not there, and
/// nobody is asked.
#[test]
fn a_key_that_its_plugin_verifies_with_has_the_handle_of_its_own_record() {
    use hallmark_plugin_api::Algorithm as P;
    let source = Source { schemes: vec!["acme".to_owned()], ..source(true) };
    let of = |records: &[KeyRecord]| of_snapshot(records, &source, &Ownership::default());
    let named = |handle, id: &str, der: &[u8], algorithms: &[P], flags| KeyRecord {
        handle,
        id: id.to_owned(),
        algorithms: algorithms.to_vec(),
        flags,
        ..record(der)
    };
    let (p256, other, rsa) = (ec("P-256", &[]), ec("P-256", &[]), rsa("2048"));
    let (by_plugin, p256_only) = (KeyFlags::VERIFY, &[P::EcdsaP256Sha256][..]);
    let rsa_both = &[P::RsaPss2048Sha256, P::RsaPkcs1_2048Sha256][..];
    let records = [
        named(7, "acme:a", &p256, p256_only, by_plugin),
        named(8, "acme:b", &p256, p256_only, by_plugin),
        named(9, "acme:r", &rsa, rsa_both, by_plugin),
        named(10, "acme:host", &other, p256_only, by_plugin | KeyFlags::HOST_VERIFY),
    ];
    let first = of(&records);
    assert!(first.refused.is_empty(), "{:?}", first.refused);
    let handles: Vec<_> = first.keys.iter().map(|key| first.handle(key)).collect();
    assert_eq!(handles, [Some(7), Some(8), Some(9), Some(9), None]);

    // The next snapshot: a is another key, b has another handle, r has lost an algorithm.
    let next = of(&[
        named(1, "acme:a", &other, p256_only, by_plugin),
        named(2, "acme:b", &p256, p256_only, by_plugin),
        named(3, "acme:r", &rsa, &rsa_both[..1], by_plugin),
    ]);
    let handles: Vec<_> = first.keys.iter().map(|key| next.handle(key)).collect();
    assert_eq!(handles, [None, Some(2), Some(3), None, None]);
    assert!(first.keys.iter().all(|key| of(&[]).handle(key).is_none()));
}
