//! The cost to a plugin of a process of its own: microseconds more for each item than in the
//! daemon.
//!
//! A plugin that does next to nothing is called as the daemon calls it, by `hallmark plugins
//! bench`, once here and once in a worker, turn about. Caller and worker share one core, so that
//! waking the other is a switch between two processes and no message between two cores.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::Options;
use crate::daemon::binary;
use crate::report::Line;
use crate::stats::Sample;

/// Items in a batch: one admission, a busy moment, a backlog.
const BATCHES: [(&str, usize); 3] =
    [("worker batch=1", 1), ("worker batch=16", 16), ("worker batch=256", 256)];

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Line>> {
    let dir = tempfile::tempdir()?;
    let plugin = compile(dir.path())?;
    let (mut here, mut there) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for pair in 0..options.pairs {
        let mut sides = [(&mut here, &[][..]), (&mut there, &["--worker"][..])];
        if pair % 2 == 1 {
            sides.reverse();
        }
        for (side, flags) in sides {
            let micros = micros_per_item(&plugin, flags, options)?;
            side.iter_mut().zip(micros).for_each(|(all, one)| all.push(one));
        }
        eprintln!("  pair {pair}");
    }
    let lines = BATCHES.iter().zip(here.iter().zip(&there)).map(|((name, _), (here, there))| {
        let more: Sample = here.iter().zip(there).map(|(here, there)| there - here).collect();
        let [here, there] = [here, there].map(|side| side.iter().copied().collect::<Sample>());
        Line::new(name)
            .fact("µs/item more", more)
            .fact("in a worker", there)
            .fact("in the daemon", here)
            .fact("pairs", options.pairs)
    });
    Ok(lines.collect())
}

/// The plugin of the tests that compares two strings.
fn compile(dir: &Path) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api");
    let plugin = dir.join("libcompare.so");
    let compiled = Command::new("cc")
        .args(["-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-I"])
        .arg(source.join("include"))
        .arg("-o")
        .arg(&plugin)
        .arg(source.join("tests/c-plugin/broken_plugin.c"))
        .status()
        .context("cannot run cc")?;
    ensure!(compiled.success(), "the plugin does not compile");
    Ok(plugin)
}

fn micros_per_item(plugin: &Path, flags: &[&str], options: &Options) -> anyhow::Result<Vec<f64>> {
    let batches: Vec<_> = BATCHES.iter().map(|(_, n)| n.to_string()).collect();
    let millis = ((options.seconds * 250.0) as u64).to_string();
    let output = Command::new(binary()?)
        .args(["plugins", "bench", "--format", "json", "--millis", &millis])
        .args(["--batch", &batches.join(",")])
        .args(flags)
        .arg(plugin)
        .output()?;
    let complaint = || format!("no measurement: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), complaint());
    let rates: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(complaint)?;
    let verified = rates.iter().filter(|rate| rate["call"] == "verify_batch");
    let micros: Vec<_> = verified.filter_map(|rate| rate["microsPerItem"].as_f64()).collect();
    ensure!(micros.len() == BATCHES.len(), complaint());
    Ok(micros)
}
