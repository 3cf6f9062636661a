//! A watched directory is watched, and a file that is none holds up nothing.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::project::{assert_allowed, assert_denied, decide, image, policy, reason};

use crate::same_answers::Files;

/// The daemon looks at its directory every 30 s in any case. What it sees sooner, it was told of.
const SOON: Duration = Duration::from_secs(25);

/// Makes a FIFO in place of whatever is at `path`.
pub(crate) fn fifo(path: &Path) {
    if path.exists() {
        std::fs::remove_file(path).expect("removes");
    }
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[tokio::test]
async fn a_relative_directory_is_looked_at_at_once() {
    let files = Files::new();
    let dir = files.dir.path();
    let own = dir.file_name().expect("a name").to_string_lossy();
    for config in ["config".to_owned(), "./config/".to_owned(), format!("../{own}/config")] {
        files.replace("policy.yaml", &policy("ALWAYS_DENY", &[]).to_string());
        let mut serve = Command::new(binary("hallmark"));
        serve.current_dir(dir).args(["serve", "--config-dir", &config, "--audit-dir", "relative"]);
        let started = Instant::now();
        let daemon = Daemon::spawn(dir, serve).expect("starts");
        assert_denied(&decide(&daemon.client, &[&image("plain")]).await, "ALWAYS_DENY");
        files.replace("policy.yaml", &policy("ALWAYS_ALLOW", &[]).to_string());
        eventually("the change", || async {
            let decision = decide(&daemon.client, &[&image("plain")]).await;
            (reason(&decision) == "ALWAYS_ALLOW").then_some(())
        })
        .await;
        assert!(started.elapsed() < SOON, "{config}: after {:?}", started.elapsed());
        daemon.stop();
    }
}

#[tokio::test]
async fn a_fifo_in_the_directory_is_a_fault_and_holds_up_nothing() {
    let files = Files::new();
    for name in ["policy.yaml", "notes/fifo.json", "occurrences/one.json"] {
        let was = std::fs::read(files.path(name)).ok();
        fifo(&files.path(name));
        let error = files.until_reload_fails(name).await;
        assert!(error.contains("not a regular file"), "{error}");
        let ready = files.client().get("/readyz").await.ok();
        assert!(ready["lookAgeSeconds"]["config-dir"].is_u64(), "{ready}");
        assert_allowed(&decide(files.client(), &[&files.image]).await, "ATTESTED");
        std::fs::remove_file(files.path(name)).expect("removes");
        if let Some(was) = was {
            std::fs::write(files.path(name), was).expect("writes");
        }
        files.until_reload_succeeds().await;
        let metrics = files.client().get("/metrics").await.text;
        assert!(metrics.contains(r#"hallmark_files_look_age_seconds{files="config-dir"}"#));
    }
    // Reloads go on, and the daemon ends when it is told to, FIFO or not.
    files.replace("policy.yaml", &policy("ALWAYS_DENY", &[]).to_string());
    files.until_reason_is(&files.image, "ALWAYS_DENY").await;
    fifo(&files.path("policy.yaml"));
    files.until_reload_fails("policy.yaml").await;
    files.daemon.signal("HUP");
    let Files { daemon, .. } = files;
    daemon.stop();
}
