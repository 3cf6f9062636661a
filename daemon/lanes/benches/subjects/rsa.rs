//! RSA, by keys that sign fast. RustCrypto's implementation is no rival: it stays out of the
//! dependencies for its advisory on timing.

#[expect(dead_code, reason = "each includer uses a part of it")]
#[path = "../../tests/rsa_forge/mod.rs"]
mod rsa_forge;

use std::sync::Arc;

use aws_lc_rs::signature as aws;
use hallmark_lanes::Digest;
use hallmark_lanes::rsa::{Engine, LaneCheck, MessageHash, Padding};
use num_bigint::BigUint;
use ring::signature as ring;
use rsa_forge::{Key, Pss, pkcs1};

use super::{Case, Lanes, Signed, rival, sign, tables};

pub(crate) fn pkcs1_2048(keys: usize, random: &mut fastrand::Rng) -> Case {
    case("rsa2048", 2048, Padding::Pkcs1, keys, random)
}

pub(crate) fn pss_2048(keys: usize, random: &mut fastrand::Rng) -> Case {
    case("rsa2048-pss", 2048, Padding::Pss, keys, random)
}

pub(crate) fn pkcs1_3072(keys: usize, random: &mut fastrand::Rng) -> Case {
    case("rsa3072", 3072, Padding::Pkcs1, keys, random)
}

pub(crate) fn pkcs1_4096(keys: usize, random: &mut fastrand::Rng) -> Case {
    case("rsa4096", 4096, Padding::Pkcs1, keys, random)
}

fn case(
    name: &str,
    bits: usize,
    padding: Padding,
    keys: usize,
    random: &mut fastrand::Rng,
) -> Case {
    let keys: Vec<_> = (0..keys).map(|_| Key::new(bits, random)).collect();
    let signed = sign(keys.len(), random, |key, message| {
        let encoded = match padding {
            Padding::Pkcs1 => pkcs1(Digest::Sha256, message, bits / 8),
            Padding::Pss => {
                Pss::new(Digest::Sha256, message, &[7; 32], bits / 8).encoded(Digest::Sha256)
            }
        };
        keys[key].sign(&BigUint::from_bytes_be(&encoded))
    });
    let ders: Vec<_> = keys.iter().map(|key| Arc::clone(&key.der)).collect();
    let (for_ring, for_aws_lc): (&ring::RsaParameters, &aws::RsaParameters) = match padding {
        Padding::Pkcs1 => (&ring::RSA_PKCS1_2048_8192_SHA256, &aws::RSA_PKCS1_2048_8192_SHA256),
        Padding::Pss => (&ring::RSA_PSS_2048_8192_SHA256, &aws::RSA_PSS_2048_8192_SHA256),
    };
    let parse = |der: &Arc<Vec<u8>>| aws::ParsedPublicKey::new(for_aws_lc, &der[..]);
    let aws_lc: Vec<_> = ders.iter().map(|der| parse(der).expect("a key")).collect();
    // No engine on a CPU without the instructions.
    let engines = Engine::ifma().into_iter().map(|engine| lanes(name, engine, padding, &ders));
    let engines = engines.collect();
    let rivals = vec![
        rival("ring", move |signed| {
            let key = ring::UnparsedPublicKey::new(for_ring, &ders[signed.key][..]);
            key.verify(&signed.message, &signed.signature).is_ok()
        }),
        rival("aws_lc", move |signed| {
            aws_lc[signed.key].verify_sig(&signed.message, &signed.signature).is_ok()
        }),
    ];
    Case { signed, rivals, engines }
}

fn lanes(name: &str, engine: Engine, padding: Padding, ders: &[Arc<Vec<u8>>]) -> Lanes {
    let tables = tables(name, engine.name(), ders.len(), || {
        let build = |der: &Arc<Vec<u8>>| engine.build_table(der).expect("a key");
        let tables: Vec<_> = ders.iter().map(build).collect();
        let bytes = tables[0].bytes();
        (tables, bytes)
    });
    let verify = move |batch: &[Signed]| {
        let checks: Vec<_> = batch
            .iter()
            .map(|signed| LaneCheck {
                table: &tables[signed.key],
                padding,
                message_hash: MessageHash::new(Digest::Sha256, &signed.message),
                signature: &signed.signature,
            })
            .collect();
        let mut good = vec![false; checks.len()];
        engine.verify_batch(&checks, &mut good);
        good.iter().all(|&good| good)
    };
    Lanes { name: engine.name(), verify: Box::new(verify) }
}
