//! Verdicts of every engine against *ring* (and aws-lc-rs, where a digest is constructed; the p256
//! crate has its say in one of 64): `fuzz SEED COUNT`. Ends with a line to record, or a panic.

#[expect(dead_code, reason = "each includer uses a part of it")]
#[path = "../tests/ecdsa/forge.rs"]
mod forge;
#[path = "../tests/ecdsa/library_p256.rs"]
mod library;

use std::collections::HashMap;

use forge::{Forge, Specimen};
use hallmark_lanes::p256::{Engine, KeyTable, LaneCheck};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(seed)), Some(Ok(count))) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fuzz SEED COUNT");
        std::process::exit(1);
    };
    let engines: Vec<_> =
        [Engine::ifma(), Engine::portable()].into_iter().filter_map(Result::ok).collect();
    let mut tables: Vec<HashMap<[u8; 65], KeyTable>> =
        engines.iter().map(|_| HashMap::new()).collect();
    let mut forge = Forge::new(seed, 64);
    let (mut done, mut good, mut messages) = (0, 0, 0);
    while done < count {
        let size = forge.random.usize(1..=200);
        let batch: Vec<_> = (0..size).map(|_| forge.any()).collect();
        let expected: Vec<_> = batch.iter().map(|one| expected(one, &mut forge.random)).collect();
        for (engine, tables) in engines.iter().zip(&mut tables) {
            let verdicts = verify(engine, tables, &batch);
            for ((specimen, verdict), expected) in batch.iter().zip(verdicts).zip(&expected) {
                assert_eq!(verdict, *expected, "seed {seed}, {engine:?}: {specimen:?}");
            }
        }
        done += size as u64;
        good += expected.iter().filter(|&&good| good).count();
        messages += batch.iter().filter(|one| one.message.is_some()).count();
    }
    println!(
        "seed {seed}: {done} signatures, {good} good, {messages} against ring, no difference by {engines:?}"
    );
}

fn expected(specimen: &Specimen, random: &mut fastrand::Rng) -> bool {
    let expected = specimen.ring_says().unwrap_or_else(|| specimen.aws_lc_says());
    if random.u8(..64) == 0 {
        assert_eq!(expected, specimen.crate_says(), "ring and p256: {specimen:?}");
    }
    expected
}

fn verify(
    engine: &Engine,
    tables: &mut HashMap<[u8; 65], KeyTable>,
    batch: &[Specimen],
) -> Vec<bool> {
    for specimen in batch {
        let build = || engine.build_table(&specimen.sec1).expect("a key");
        tables.entry(specimen.sec1).or_insert_with(build);
    }
    let checks: Vec<_> = batch
        .iter()
        .map(|specimen| LaneCheck {
            table: &tables[&specimen.sec1],
            message_hash: specimen.hash,
            signature_der: &specimen.der,
        })
        .collect();
    let mut good = vec![false; batch.len()];
    engine.verify_batch(&checks, &mut good);
    good
}
