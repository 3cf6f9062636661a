//! The audit log: every decision is in it before its answer, no change to it goes unseen, and what
//! cannot be recorded is denied.

use std::path::PathBuf;
use std::process::Command;

use hallmark_tests::audit::{Tmpfs, broken, files, last_record, records, verified, verify};
use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::project::{
    World, ask, assert_allowed, assert_denied, decide, dry_run, image, policy, put_policy, reason,
    rule,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

#[tokio::test]
async fn a_decision_is_recorded_before_it_is_answered() {
    let world = World::new().await;
    world.attest(&image("attested")).await;
    for (seed, place) in [("attested", "shop"), ("plain", "lab"), ("attested", "shop")] {
        let request = json!({"project": "p", "images": [image(seed)], "namespace": place,
            "cluster": "l.c", "serviceAccount": "web"});
        let decision = ask(world.client(), &request).await.ok();
        // Read at once, with nothing in between.
        let record = last_record(world.dir.path());
        assert_eq!(record["type"], "decision");
        assert_eq!((&record["api"], &record["door"]), (&json!("decisions"), &json!("decisions")));
        assert_eq!(record["decision"], decision);
        for member in ["project", "namespace", "cluster", "serviceAccount"] {
            assert_eq!(record[member], request[member], "{record:#}");
        }
    }
    let break_glass = json!({"project": "p", "images": [image("plain")], "breakGlass": true});
    ask(world.client(), &break_glass).await.ok();
    assert_eq!(last_record(world.dir.path())["decision"]["breakGlass"], true);
}

#[tokio::test]
async fn every_line_of_a_stream_is_recorded() {
    let world = World::new().await;
    let before = records(world.dir.path()).len();
    let request = |n| json!({"project": "p", "images": [image(&format!("streamed {n}"))]});
    let requests: Vec<_> = (0..500).map(request).collect();
    let answers = world.client().stream(&requests).await;
    let recorded = records(world.dir.path()).split_off(before);
    assert_eq!(recorded.len(), answers.len());
    // Batches of one stream are decided side by side.
    for answer in answers {
        assert!(recorded.iter().any(|record| record["decision"] == answer), "{answer:#}");
    }
}

/// A power failure, too, finds the record on the disk.
#[tokio::test]
async fn a_record_may_be_asked_to_be_on_the_disk() {
    let world = World::configured("audit.durability = 'fsync'").await;
    let decision = decide(world.client(), &[&image("plain")]).await;
    assert_eq!(last_record(world.dir.path())["decision"], decision);
}

/// Whoever changes, removes, adds or moves a line is found out.
#[tokio::test]
async fn verify_finds_any_change() {
    let world = World::new().await;
    for n in 0..30 {
        decide(world.client(), &[&image(&format!("recorded {n}"))]).await;
    }
    let dir = world.dir.path().join("data/audit");
    world.daemon.signal("TERM");
    let file = files(&dir).pop().expect("a log");
    let whole = std::fs::read(&file).expect("reads");
    let report = verified(&dir, &[]);
    let head = report["head"].as_str().expect("a head").to_owned();
    assert!(report["records"].as_u64() >= Some(30), "{report}");
    verified(&dir, &["--head", &head]);

    let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat().concat();
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(3, 4);
        lines.concat()
    };
    let doubled = [&lines[..5], &lines[4..]].concat().concat();
    let mut tampered = vec![without(0), without(10), swapped, doubled];
    for place in 0..40 {
        let mut bytes = whole.clone();
        let at = (bytes.len() - lines[lines.len() - 1].len() - 2) * place / 40;
        bytes[at] ^= 1;
        tampered.push(bytes);
    }
    for (number, bytes) in tampered.iter().enumerate() {
        std::fs::write(&file, bytes).expect("writes");
        let error = broken(&dir, &[]);
        assert!(error.contains(".jsonl") || error.contains("begins with"), "{number}: {error}");
    }

    // The last line is vouched for by its hash only, which is kept elsewhere.
    let mut last = whole.clone();
    let at = last.len() - 20;
    last[at] ^= 1;
    for bytes in [last, without(lines.len() - 1)] {
        std::fs::write(&file, bytes).expect("writes");
        broken(&dir, &["--head", &head]);
    }
    std::fs::write(&file, &whole).expect("writes");
    verified(&dir, &["--head", &head]);
}

/// A head that was kept holds for a log that has grown since, rotated or not; what is no hash is
/// told apart from a broken log.
#[tokio::test]
async fn verify_takes_a_head_that_the_log_has_grown_beyond() {
    let world = World::configured("audit.rotate_mib = 1").await;
    let dir = world.dir.path().join("data/audit");
    let world = &world;
    let ask = |n: usize| async move {
        decide(world.client(), &[&image(&format!("recorded {n}"))]).await;
    };
    ask(0).await;
    let kept = verified(&dir, &[]);
    let (head, seq) = (kept["head"].as_str().expect("a head"), kept["records"].clone());
    ask(1).await;
    let grown = verified(&dir, &["--head", head]);
    assert_eq!(grown["keptHeadSeq"], seq, "{grown}");
    assert_ne!(grown["head"], kept["head"]);
    verified(&dir, &["--head", &head.to_uppercase()]);
    let images: Vec<_> = (0..200).map(|n| image(&format!("many {n}"))).collect();
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    eventually("two files", || async {
        decide(world.client(), &images).await;
        (files(&dir).len() >= 2).then_some(())
    })
    .await;
    verified(&dir, &["--head", head]);

    // Another log, and the same with lines cut off, do not have it.
    let other = broken(&dir, &["--head", &"5".repeat(64)]);
    assert!(other.contains("no line has the head 5555"), "{other}");
    for wrong in ["", "5", &head[1..], &format!("{head}0"), &head.replace(|_| true, "x")] {
        let refused = verify(&dir, &["--head", wrong]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("64 hexadecimal digits"), "{said}");
        assert!(refused.stdout.is_empty());
    }
}

#[test]
fn verify_says_where_there_is_no_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let verified = verify(dir.path(), &[]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&verified.stderr).contains("no audit log"));
}

#[tokio::test]
async fn the_log_is_rotated_and_stays_one_chain() {
    let world = World::configured("audit.rotate_mib = 1").await;
    let images: Vec<_> = (0..200).map(|n| image(&format!("recorded {n}"))).collect();
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let dir = world.dir.path().join("data/audit");
    eventually("three files", || async {
        decide(world.client(), &images).await;
        (files(&dir).len() >= 3).then_some(())
    })
    .await;
    let report = verified(&dir, &[]);
    assert!(report["files"].as_u64() >= Some(3), "{report}");

    let World { dir: place, daemon, .. } = world;
    daemon.stop();
    let daemon = Daemon::start(place.path());
    decide(&daemon.client, &images).await;
    verified(&dir, &[]);

    // Old files may be shipped away; one missing in the middle is a hole.
    let aside = place.path().join("aside");
    let second = files(&dir).swap_remove(1);
    std::fs::rename(&second, &aside).expect("moves");
    broken(&dir, &[]);
    std::fs::rename(&aside, &second).expect("moves back");
    std::fs::rename(files(&dir).swap_remove(0), &aside).expect("moves");
    assert!(verified(&dir, &[])["firstSeq"].as_u64() > Some(1));
}

/// A file system without a byte left, on a tmpfs of our own.
#[tokio::test]
async fn a_full_disk_denies_everything_until_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disk) = Tmpfs::mount(&dir.path().join("small"), "1m") else {
        eprintln!(
            "NOT TESTED: a full disk. This user may not mount a tmpfs; run the tests as root. \
             The limit on the size of a file is tested in any case."
        );
        return;
    };
    let (data, audit) = (dir.path().join("data"), disk.0.join("audit"));
    let (data, audit) = (data.to_string_lossy(), audit.to_string_lossy());
    let daemon = Daemon::start_with(dir.path(), &["--data-dir", &data, "--audit-dir", &audit]);
    let gate = Unrecorded { daemon: &daemon, audit: disk.0.join("audit") };
    gate.prepare().await;
    let filler = disk.0.join("filler");
    drop(std::fs::write(&filler, vec![0; 2 << 20]));
    gate.denies_everything().await;
    std::fs::remove_file(&filler).expect("removes");
    gate.recovers().await;
}

/// The same by a limit on the size of files, which needs no rights.
#[tokio::test]
async fn a_log_that_cannot_grow_denies_everything_until_it_can() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    // A write beyond the limit is to fail, not to kill.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary("hallmark"));
    command.args(["serve", "--data-dir"]).arg(&data);
    let daemon = Daemon::spawn(dir.path(), command).expect("starts");
    let gate = Unrecorded { daemon: &daemon, audit: data.join("audit") };
    gate.prepare().await;
    let log = files(&gate.audit).pop().expect("a log");
    let size = std::fs::metadata(log).expect("a file").len();
    let before = limit_file_size(&daemon, Some(size + 20));
    gate.denies_everything().await;
    limit_file_size(&daemon, before);
    gate.recovers().await;
}

struct Unrecorded<'a> {
    daemon: &'a Daemon,
    audit: PathBuf,
}

impl Unrecorded<'_> {
    /// A project in which everything is allowed, but for a rule that is a dry run.
    async fn prepare(&self) {
        let client = &self.daemon.client;
        let mut policy = policy("ALWAYS_ALLOW", &[]);
        policy["kubernetesNamespaceAdmissionRules"] =
            json!({"lab": dry_run(rule("ALWAYS_DENY", &[]))});
        policy["admissionWhitelistPatterns"] =
            json!([{"namePattern": "registry.example.com/base/*"}]);
        put_policy(client, &policy).await;
        assert_allowed(&decide(client, &[&image("any")]).await, "ALWAYS_ALLOW");
    }

    async fn denies_everything(&self) {
        let client = &self.daemon.client;
        let base = "registry.example.com/base/debian:12";
        // The last block may have room for a few more of the shortest.
        eventually("an end of room", || async {
            (reason(&decide(client, &[base]).await) == "AUDIT_UNAVAILABLE").then_some(())
        })
        .await;
        for request in [
            json!({"project": "p", "images": [image("any")]}),
            json!({"project": "p", "images": [base]}),
            json!({"project": "p", "images": [image("any")], "namespace": "lab"}),
            json!({"project": "p", "images": [image("any")], "breakGlass": true}),
            json!({"project": "p", "images": [image("any"), base], "namespace": "lab", "breakGlass": true}),
        ] {
            let decision = ask(client, &request).await.ok();
            assert_denied(&decision, "AUDIT_UNAVAILABLE");
            assert_eq!(decision["enforced"], true, "{decision:#}");
            let images = decision["images"].as_array().expect("images");
            assert!(images.iter().all(|image| image["allowed"] == json!(false)), "{decision:#}");
        }
        let answers = client.stream(&[json!({"project": "p", "images": [base]})]).await;
        assert_denied(&answers[0], "AUDIT_UNAVAILABLE");
        assert_eq!(client.get("/livez").await.status, 200);
        let errors = client.get("/metrics").await.text;
        let errors =
            errors.lines().find_map(|line| line.strip_prefix("hallmark_audit_errors_total "));
        assert!(errors.expect("counted").parse::<f64>().expect("a number") >= 5.0);
    }

    async fn recovers(&self) {
        eventually("room", || async {
            let decision = decide(&self.daemon.client, &[&image("any")]).await;
            (decision["allowed"] == json!(true)).then_some(())
        })
        .await;
        verified(&self.audit, &[]);
    }
}

/// Sets the largest size of files that the daemon may write; answers what it was.
fn limit_file_size(daemon: &Daemon, current: Option<u64>) -> Option<u64> {
    let pid = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current, maximum: None };
    prlimit(pid, Resource::Fsize, limit).expect("sets the limit").current
}
