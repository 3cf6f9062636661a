//! The walkthroughs of Google's documentation, as a script.

use std::process::Command;

use hallmark_tests::daemon::{Daemon, binary};

#[test]
fn googles_walkthroughs_run_from_start_to_end() {
    let dir = tempfile::tempdir().expect("a directory");
    // In Google's service a project without a policy allows everything.
    let toml = "projects.without_policy = 'allow'";
    let daemon = Daemon::start_configured(dir.path(), toml);
    let at = dir.path().join("walk");
    std::fs::create_dir(&at).expect("makes");
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/walkthrough.sh"))
        .arg(&at)
        .env("HALLMARK", binary("hallmark"))
        .env("HALLMARK_ENDPOINT", &daemon.client.endpoint)
        .output()
        .expect("runs");
    let [said, errors] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.ends_with("walkthrough: done\n"), "{said}");
}
