//! The soak in its short form, and what it must find. `make soak MINUTES=60` is the long one.

use std::path::Path;
use std::process::{Command, Output};

fn soak(arguments: &[&str]) -> Output {
    let soak = Command::new(Path::new(env!("CARGO_BIN_EXE_soak"))).args(arguments).output();
    soak.expect("the soak runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn no_promise_is_broken_while_everything_happens_at_once() {
    let output = soak(&["--seconds", "12"]);
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    for figure in ["kills -9", "allowed", "denied", "writes of states", "hostile connections"] {
        assert!(said.contains(figure), "nothing of {figure}:\n{said}");
    }
}

/// The checker is no formality: each fault that is made on purpose is found, which ends the run.
#[test]
fn a_fault_made_on_purpose_is_found() {
    for (fault, promises) in [
        ("stale", &["NothingStale"][..]),
        ("unsigned", &["NothingUnsigned"]),
        ("lost", &["NothingLost", "NothingStale"]),
        ("missing", &["RecordedOnce"]),
    ] {
        let output = soak(&["--minutes", "2", "--plant", fault]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{fault}:\n{said}");
        let found = |promise: &&str| said.contains(&format!("VIOLATION {promise}"));
        assert!(promises.iter().any(found), "{fault}:\n{said}");
    }
}
