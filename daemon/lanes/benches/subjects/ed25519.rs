//! Ed25519.

use aws_lc_rs::signature as aws;
use aws_lc_rs::signature::KeyPair as _;
use hallmark_lanes::ed25519::{Engine, LaneCheck};
use ring::signature as ring;

use super::{Case, Lanes, Signed, rival, sign, tables};

pub(crate) fn ed25519(keys: usize, random: &mut fastrand::Rng) -> Case {
    let pairs: Vec<_> = (0..keys)
        .map(|_| {
            let mut seed = [0; 32];
            random.fill(&mut seed);
            aws::Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key")
        })
        .collect();
    let signed = sign(keys, random, |key, message| pairs[key].sign(message).as_ref().to_vec());
    let public: Vec<[u8; 32]> =
        pairs.iter().map(|pair| pair.public_key().as_ref().try_into().expect("a key")).collect();
    let parse = |key: &[u8; 32]| aws::ParsedPublicKey::new(&aws::ED25519, key).expect("a key");
    let aws_lc: Vec<_> = public.iter().map(parse).collect();
    let for_ring = public.clone();
    let rivals = vec![
        rival("ring", move |signed| {
            let key = ring::UnparsedPublicKey::new(&ring::ED25519, &for_ring[signed.key]);
            key.verify(&signed.message, &signed.signature).is_ok()
        }),
        rival("aws_lc", move |signed| {
            aws_lc[signed.key].verify_sig(&signed.message, &signed.signature).is_ok()
        }),
    ];
    let engines = [Engine::ifma(), Engine::portable()].into_iter().flatten();
    let engines = engines.map(|engine| lanes(engine, &public)).collect();
    Case { signed, rivals, engines }
}

fn lanes(engine: Engine, public: &[[u8; 32]]) -> Lanes {
    let name = engine.name();
    let tables = tables("ed25519", name, public.len(), || {
        let build = |key| engine.build_table(key).expect("a key");
        let tables: Vec<_> = public.iter().map(build).collect();
        let bytes = tables[0].bytes();
        (tables, bytes)
    });
    let verify = move |batch: &[Signed]| {
        let checks: Vec<_> = batch
            .iter()
            .map(|signed| LaneCheck {
                table: &tables[signed.key],
                message: &signed.message,
                signature: &signed.signature,
            })
            .collect();
        let mut good = vec![false; checks.len()];
        engine.verify_batch(&checks, &mut good);
        good.iter().all(|&good| good)
    };
    Lanes { name, verify: Box::new(verify) }
}
