//! The memory program in its short form. `make memory` is the long one.

use std::path::Path;
use std::process::Command;

#[test]
fn digests_strangers_and_hostile_bodies_stay_under_the_bound() {
    let mut memory = Command::new(Path::new(env!("CARGO_BIN_EXE_memory")));
    memory.args(["--digests", "20000", "--connections", "500", "--at-once", "8"]);
    let output = memory.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for step in ["20000 unique digests", "500 connections", "OpenPGP bombs", "resident at most"] {
        assert!(said.contains(step), "nothing of {step}:\n{said}");
    }
}
