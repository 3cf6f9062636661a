//! RSA verdicts against *ring* and, for the longest salts, aws-lc-rs: `fuzz_rsa SEED COUNT`. Ends
//! with a line to record, or a panic.

#[path = "../tests/rsa_forge/mod.rs"]
mod rsa_forge;

use std::collections::HashMap;
use std::sync::Arc;

use hallmark_lanes::rsa::{Engine, KeyTable, LaneCheck, MessageHash};
use rsa_forge::{Forge, Specimen};

/// Keys of each size.
const KEYS: usize = 32;
/// Signatures between two reports.
const REPORT: u64 = 1 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(seed)), Some(Ok(count))) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fuzz_rsa SEED COUNT");
        std::process::exit(1);
    };
    let engine = Engine::ifma().expect("an engine");
    let mut tables = HashMap::new();
    let mut forge = Forge::new(seed, KEYS);
    let (mut done, mut good, mut reported) = (0, 0, 0);
    while done < count {
        let size = forge.random.usize(1..=200);
        let batch: Vec<_> = (0..size).map(|_| forge.any()).collect();
        for (specimen, verdict) in batch.iter().zip(verify(engine, &mut tables, &batch)) {
            assert_eq!(verdict, specimen.libraries_say(), "seed {seed}: {specimen:?}");
            good += u64::from(verdict);
        }
        done += size as u64;
        if done / REPORT > reported {
            reported = done / REPORT;
            eprintln!("seed {seed}: {done} signatures so far, {good} good, no difference");
        }
    }
    println!("seed {seed}: {done} signatures, {good} good, no difference");
}

fn verify(
    engine: Engine,
    tables: &mut HashMap<Arc<Vec<u8>>, KeyTable>,
    batch: &[Specimen],
) -> Vec<bool> {
    for specimen in batch {
        let build = || engine.build_table(&specimen.key).expect("a key");
        tables.entry(Arc::clone(&specimen.key)).or_insert_with(build);
    }
    let checks: Vec<_> = batch
        .iter()
        .map(|specimen| LaneCheck {
            table: &tables[&specimen.key],
            padding: specimen.padding,
            message_hash: MessageHash::new(specimen.hash, &specimen.message),
            signature: &specimen.signature,
        })
        .collect();
    let mut good = vec![false; batch.len()];
    engine.verify_batch(&checks, &mut good);
    good
}
