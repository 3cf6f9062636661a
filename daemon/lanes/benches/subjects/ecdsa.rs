//! ECDSA on P-256 and P-384.

use super::{Case, Lanes, Signed, rival, sign, tables};

macro_rules! curve {
    ($curve:ident, $name:literal, $hash:path, $bytes:literal, $rules:ident) => {
        pub(crate) fn $curve(keys: usize, random: &mut fastrand::Rng) -> Case {
            use hallmark_lanes::$curve::{Engine, LaneCheck};
            use $curve::ecdsa::signature::{Signer, Verifier};
            use $curve::ecdsa::{Signature, SigningKey, VerifyingKey};
            let keys: Vec<_> = (0..keys)
                .map(|_| {
                    let mut secret = [0; $bytes];
                    random.fill(&mut secret);
                    secret[0] = 0; // below n
                    SigningKey::from_bytes(&secret.into()).expect("a secret")
                })
                .collect();
            let signed = sign(keys.len(), random, |key, message| {
                let signature: Signature = keys[key].sign(message);
                signature.to_der().as_bytes().to_vec()
            });
            let parsed: Vec<VerifyingKey> = keys.iter().map(|key| *key.verifying_key()).collect();
            let sec1: Vec<[u8; 1 + 2 * $bytes]> = parsed
                .iter()
                .map(|key| key.to_sec1_point(false).as_bytes().try_into().expect("a point"))
                .collect();
            let parse = |key| {
                let rules = &aws_lc_rs::signature::$rules;
                aws_lc_rs::signature::ParsedPublicKey::new(rules, key).expect("a key")
            };
            let aws_lc: Vec<_> = sec1.iter().map(parse).collect();
            let for_ring = sec1.clone();
            let rivals = vec![
                rival("ring", move |signed| {
                    let rules = &ring::signature::$rules;
                    let key = ring::signature::UnparsedPublicKey::new(rules, &for_ring[signed.key]);
                    key.verify(&signed.message, &signed.signature).is_ok()
                }),
                rival("aws_lc", move |signed| {
                    aws_lc[signed.key].verify_sig(&signed.message, &signed.signature).is_ok()
                }),
                rival("rustcrypto", move |signed| {
                    let signature = Signature::from_der(&signed.signature);
                    let key = &parsed[signed.key];
                    signature.is_ok_and(|signature| key.verify(&signed.message, &signature).is_ok())
                }),
            ];
            let engines = [Engine::ifma(), Engine::portable()];
            let engines = engines.into_iter().filter_map(Result::ok).map(|engine| {
                let name = engine.name();
                let tables = tables($name, name, sec1.len(), || {
                    let build = |key| engine.build_table(key).expect("a key");
                    let tables: Vec<_> = sec1.iter().map(build).collect();
                    let bytes = tables[0].bytes();
                    (tables, bytes)
                });
                let verify = move |batch: &[Signed]| {
                    let checks: Vec<_> = batch
                        .iter()
                        .map(|signed| LaneCheck {
                            table: &tables[signed.key],
                            message_hash: $hash(&signed.message),
                            signature_der: &signed.signature,
                        })
                        .collect();
                    let mut good = vec![false; checks.len()];
                    engine.verify_batch(&checks, &mut good);
                    good.iter().all(|&good| good)
                };
                Lanes { name, verify: Box::new(verify) }
            });
            let engines = engines.collect();
            Case { signed, rivals, engines }
        }
    };
}

curve!(p256, "p256", hallmark_lanes::sha256, 32, ECDSA_P256_SHA256_ASN1);
curve!(p384, "p384", hallmark_lanes::sha384, 48, ECDSA_P384_SHA384_ASN1);
