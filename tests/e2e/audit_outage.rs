//! The audit log when somebody takes it away, writes it too, or fills its disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hallmark_tests::admission::{creation, pod, review};
use hallmark_tests::audit::{Tmpfs, files, verified, verify};
use hallmark_tests::client::{Answer, Client};
use hallmark_tests::daemon::{Daemon, binary, eventually, wait_for};
use hallmark_tests::keys::write;
use hallmark_tests::project::{
    World, assert_allowed, assert_denied, decide, image, policy, put_policy, reason, sha256_hex,
};
use hyper::Method;
use serde_json::json;

use crate::platforms;

/// Whichever of its directories two daemons share; the second says who is there and what to do.
#[tokio::test]
async fn a_second_daemon_on_the_same_audit_log_does_not_start() {
    let place = tempfile::tempdir().expect("a directory");
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    let shared = place.path().join("audit");
    let daemon = start(&first, &shared).expect("starts");
    always_allow(&daemon.client).await;
    let before = log_text(&shared);
    let refusal = start(&second, &shared).expect_err("the log is in use");
    assert!(refusal.contains(&format!("process {}", daemon.pid())), "{refusal}");
    assert!(refusal.contains("--audit-dir"), "{refusal}");
    assert_eq!(log_text(&shared), before, "not a byte was touched");
    assert_allowed(&decide(&daemon.client, &[&image("x")]).await, "ALWAYS_ALLOW");

    // The kernel frees the lock with the process.
    daemon.kill();
    let daemon = start(&second, &shared).expect("the log is free");
    always_allow(&daemon.client).await;
    verified(&shared, &[]);
}

/// Everybody starts at once, again and again: one starts, nobody cuts what another wrote.
#[tokio::test]
async fn of_many_starts_at_once_one_succeeds() {
    let place = tempfile::tempdir().expect("a directory");
    let shared = place.path().join("audit");
    let mut acknowledged = 0;
    for round in 0..3 {
        let starts: Vec<_> = (0..4)
            .map(|n| {
                let (own, shared) = (place.path().join(format!("{round}-{n}")), shared.clone());
                std::thread::spawn(move || start(&own, &shared))
            })
            .collect();
        let started = starts.into_iter().map(|start| start.join().expect("joins"));
        let started: Vec<_> = started.filter_map(Result::ok).collect();
        assert_eq!(started.len(), 1, "round {round}");
        for n in 0..20 {
            decide(&started[0].client, &[&image(&format!("{round} {n}"))]).await;
            acknowledged += 1;
        }
        started.into_iter().for_each(Daemon::kill);
    }
    let report = verified(&shared, &[]);
    assert_eq!(report["records"], acknowledged, "{report}");
}

/// Something that is done to a live file.
type Damage = fn(&Path);

/// However the live file goes: everything is denied, `/readyz` says why to operators and turns
/// balancers away, and in the end a new file continues the chain.
#[tokio::test]
async fn a_log_that_is_taken_away_denies_until_there_is_a_good_one() {
    let ways: [(&str, Damage); 5] = [
        ("was removed or renamed", |file| std::fs::remove_file(file).expect("removes")),
        ("was removed or renamed", |file| {
            std::fs::rename(file, file.with_extension("old")).expect("renames");
        }),
        ("was removed or renamed", |file| {
            std::fs::remove_dir_all(file.parent().expect("a parent")).expect("removes");
        }),
        ("was truncated", |file| std::fs::write(file, "").expect("truncates")),
        ("was replaced", |file| {
            std::fs::remove_file(file).expect("removes");
            std::fs::write(file, "{}\n").expect("writes");
        }),
    ];
    for (said, take_away) in ways {
        let world = World::new().await;
        let (client, audit) = (world.client(), world.dir.path().join("data/audit"));
        let good = world.dir.path().join("good");
        world.attest(&image("good")).await;
        platforms::create(client, "ours", &platforms::policy(&world, &[])).await;
        assert_allowed(&decide(client, &[&image("good")]).await, "ATTESTED");
        let head = verified(&audit, &[])["head"].as_str().expect("a head").to_owned();
        let live = files(&audit).pop().expect("a log");
        std::fs::copy(&live, &good).expect("copies");
        take_away(&live);
        assert_denied(&decide(client, &[&image("good")]).await, "AUDIT_UNAVAILABLE");
        client
            .put("/v1/projects/p/policy", &policy("ALWAYS_ALLOW", &[]))
            .await
            .refused(503, "UNAVAILABLE");
        let pod = json!({"resource": platforms::pod("shop", &["registry.k8s.io/pause"])});
        let evaluate = "/v1/projects/p/platforms/gke/policies/ours:evaluate";
        client.post(evaluate, &pod).await.refused(503, "UNAVAILABLE");
        let unready = client.get("/readyz").await;
        assert_eq!(unready.status, 503, "{}", unready.text);
        assert!(unready.text.contains(said), "{}", unready.text);
        assert_eq!(metric(client, "hallmark_audit_writable").await, 0.0);
        wait_for("the log to say so", || world.daemon.log().contains(said).then_some(()));

        eventually("a good log", || async {
            (client.get("/readyz").await.status == 200).then_some(())
        })
        .await;
        assert_allowed(&decide(client, &[&image("good")]).await, "ATTESTED");
        assert_eq!(metric(client, "hallmark_audit_writable").await, 1.0);
        assert_eq!(metric(client, "hallmark_audit_damages_total").await, 1.0);
        // Put back by its copy, the old file and the new are one chain that tells of it.
        std::fs::create_dir_all(&audit).expect("is there");
        std::fs::copy(&good, &live).expect("copies back");
        let report = verified(&audit, &["--head", &head]);
        let losses = report["losses"].as_array().expect("losses");
        assert_eq!(losses.len(), 1, "{report}");
        assert!(losses[0]["cause"].as_str().is_some_and(|cause| cause.contains(said)), "{report}");
        // Without it, the lines are missing.
        std::fs::remove_file(&live).expect("removes");
        let report = verified(&audit, &[]);
        assert!(report["firstSeq"].as_u64() > Some(1), "{report}");
        assert_eq!(verify(&audit, &["--head", &"0".repeat(64)]).status.code(), Some(2));
    }
}

/// Nobody has to ask for it to be noticed, and what is put back in time is gone on with.
#[tokio::test]
async fn an_idle_daemon_notices_and_takes_up_what_is_put_back() {
    let world = World::new().await;
    let (client, audit) = (world.client(), world.dir.path().join("data/audit"));
    let (live, aside) = (files(&audit).pop().expect("a log"), world.dir.path().join("aside"));
    std::fs::rename(&live, &aside).expect("moves");
    let ready =
        |status| async move { (client.get("/readyz").await.status == status).then_some(()) };
    eventually("it is noticed", || ready(503)).await;
    std::fs::rename(&aside, &live).expect("moves back");
    eventually("it is taken up", || ready(200)).await;
    decide(client, &[&image("x")]).await;
    let report = verified(&audit, &[]);
    assert_eq!((&report["files"], &report["losses"]), (&json!(1), &json!([])), "{report}");
    assert!(log_text(&audit).contains(r#""type":"logResumed""#));
}

/// The disk of the log alone: said before it is full, and over without anybody asking.
#[tokio::test]
async fn a_disk_that_fills_is_announced_and_then_turns_balancers_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disk) = Tmpfs::mount(&dir.path().join("small"), "8m") else {
        eprintln!("NOT TESTED: a disk that fills. Run the tests as root: it takes a tmpfs.");
        return;
    };
    let audit = disk.0.join("audit");
    let daemon = start_configured(dir.path(), &audit, "audit.reserve_mib = 4").expect("starts");
    let client = &daemon.client;
    always_allow(client).await;
    let ready = client.get("/readyz").await;
    assert!(ready.status == 200 && !ready.text.contains("auditWarning"), "{}", ready.text);
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![0; 5 << 20]).expect("fits");
    eventually("a warning", || async {
        let ready = client.get("/readyz").await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        ready.text.contains("less than the reserve of 4 MiB").then_some(())
    })
    .await;
    wait_for("the log to say so", || daemon.log().contains("runs out of room").then_some(()));
    assert!(metric(client, "hallmark_audit_free_bytes").await < f64::from(4 << 20));
    assert_eq!(metric(client, "hallmark_audit_reserve_bytes").await, f64::from(4 << 20));

    drop(std::fs::write(&filler, vec![0; 9 << 20]));
    eventually("a turn to others before anything is denied", || async {
        let ready = client.get("/readyz").await;
        (ready.status == 503 && ready.text.contains("KiB left")).then_some(())
    })
    .await;
    eventually("an end of room", || async {
        (reason(&decide(client, &[&image("x")]).await) == "AUDIT_UNAVAILABLE").then_some(())
    })
    .await;
    let unready = client.get("/readyz").await;
    assert!(
        unready.status == 503 && unready.text.contains("cannot be written"),
        "{}",
        unready.text
    );
    std::fs::remove_file(&filler).expect("removes");
    eventually("room, which nobody asked for", || async {
        (client.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    assert_allowed(&decide(client, &[&image("x")]).await, "ALWAYS_ALLOW");
    verified(&audit, &[]);
}

/// A file that takes no more, as on a disk that failed.
#[tokio::test]
async fn a_file_that_may_not_be_written_denies_until_it_may() {
    let world = World::new().await;
    let (client, audit) = (world.client(), world.dir.path().join("data/audit"));
    let live = files(&audit).pop().expect("a log");
    let immutable = |flag: &str| Command::new("chattr").arg(flag).arg(&live).status();
    if !immutable("+i").is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: a file that may not be written. It takes root and ext4.");
        return;
    }
    let ready =
        |status| async move { (client.get("/readyz").await.status == status).then_some(()) };
    let denied = decide(client, &[&image("x")]).await;
    immutable("-i").expect("runs");
    assert_denied(&denied, "AUDIT_UNAVAILABLE");
    eventually("it is over", || ready(200)).await;
    decide(client, &[&image("y")]).await;
    assert!(log_text(&audit).contains(r#""type":"logResumed""#));
    verified(&audit, &[]);
}

/// One principal at full speed is refused clearly and for a while; it takes nothing from others.
#[tokio::test]
async fn who_fills_the_log_is_refused_and_nobody_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let auth = write(dir.path(), "auth.toml", deciders().as_bytes());
    let toml = format!(
        "auth.file = '{}'\naudit.principal_kib_per_second = 4\naudit.principal_burst_mib = 1",
        auth.display()
    );
    let audit = dir.path().join("audit");
    let daemon = start_configured(dir.path(), &audit, &toml).expect("starts");
    let client = |name: &str| daemon.client.bearing(&token(name));
    let (admin, loud, quiet) = (client("admin"), client("loud"), client("quiet"));
    always_allow(&admin).await;
    let line = json!({"project": "p", "images": [image("x")]});
    let lines = vec![line.clone(); 500];
    let refused = eventually("a refusal", || async {
        let answers = loud.stream(&lines).await;
        answers.into_iter().find(|answer| answer.get("error").is_some())
    })
    .await;
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["status"]),
        (&json!(429), &json!("RESOURCE_EXHAUSTED"))
    );
    assert!(refused["line"].is_u64(), "{refused}");
    let one = loud.post("/v1/decisions", &line).await;
    let message = one.refused(429, "RESOURCE_EXHAUSTED").to_string();
    assert!(
        message.contains("AUDIT_LIMIT_EXCEEDED")
            && message.contains("audit.principal_kib_per_second"),
        "{message}"
    );
    // Break-glass is a record, too.
    let object = creation(&pod(&[&image("x")]));
    let reviewed = review(&loud, &object).await;
    assert_eq!(
        (&reviewed["allowed"], &reviewed["status"]["code"], &reviewed["status"]["reason"]),
        (&json!(false), &json!(429), &json!("AUDIT_LIMIT_EXCEEDED")),
        "{reviewed}"
    );
    assert!(reviewed["status"]["message"].to_string().contains("used up"), "{reviewed}");
    // So is what is said of a pod.
    let pod = json!({"resource": platforms::pod("shop", &["registry.k8s.io/pause"])});
    loud.post("/v1/projects/p/platforms/gke/policies/any:evaluate", &pod)
        .await
        .refused(429, "RESOURCE_EXHAUSTED");
    // A write that may not be recorded is not begun.
    loud.put("/v1/projects/p/policy", &policy("ALWAYS_DENY", &[]))
        .await
        .refused(429, "RESOURCE_EXHAUSTED");

    assert_allowed(&decide(&quiet, &[&image("x")]).await, "ALWAYS_ALLOW");
    assert_eq!(review(&quiet, &object).await["allowed"], true);
    assert_eq!(admin.get("/readyz").await.status, 200);
    assert!(metric(&admin, "hallmark_audit_limited_total").await > 0.0);
    let bytes: usize = log_text(&audit).len();
    assert!(bytes < 3 << 20, "{bytes} bytes");
    assert!(daemon.log().contains("user:loud"), "{}", daemon.log());

    // Refused writes are records as well: those who may do nothing fill no disk either.
    let nobody = client("nobody");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        nobody
            .put("/v1/projects/p/policy", &json!({"description": "x".repeat(900)}))
            .await
            .refused(403, "PERMISSION_DENIED");
    }
    assert!(log_text(&audit).len() < 4 << 20);

    eventually("it may again", || async {
        (loud.post("/v1/decisions", &line).await.status == 200).then_some(())
    })
    .await;
    let notice = log_text(&audit);
    let notice =
        notice.lines().find(|line| line.contains(r#""type":"unrecorded""#)).expect("a notice");
    assert!(notice.contains(r#""principal":"user:loud""#), "{notice}");
    verified(&audit, &[]);
}

/// The database's file, too: what would be lost with the process is not acknowledged.
#[tokio::test]
async fn a_database_that_is_taken_away_refuses_writes_until_it_is_back() {
    let world = World::new().await;
    let (client, data) = (world.client(), world.dir.path().join("data"));
    let (file, aside) = (data.join("hallmark.redb"), data.join("aside"));
    let open = policy("ALWAYS_ALLOW", &[]);
    let put = || client.put("/v1/projects/p/policy", &open);
    std::fs::rename(&file, &aside).expect("moves");
    put().await.refused(503, "UNAVAILABLE");
    std::fs::copy(&aside, &file).expect("a copy is another file");
    put().await.refused(503, "UNAVAILABLE");
    let said = "was removed or replaced while the daemon had it open";
    wait_for("the log to say so", || world.daemon.log().contains(said).then_some(()));
    assert_denied(&decide(client, &[&image("x")]).await, "NOT_ATTESTED");
    std::fs::rename(&aside, &file).expect("moves back");
    eventually("writes", || async { (put().await.status == 200).then_some(()) }).await;
    assert_allowed(&decide(client, &[&image("x")]).await, "ALWAYS_ALLOW");
}

/// A decision that was acknowledged is in the log, whenever the daemon dies.
#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_in_the_log() {
    let place = tempfile::tempdir().expect("a directory");
    let audit = place.path().join("audit");
    let mut acknowledged = Vec::new();
    let daemon = start(place.path(), &audit).expect("starts");
    always_allow(&daemon.client).await;
    drop(daemon);
    for round in 0..4_usize {
        let daemon = start(place.path(), &audit).expect("starts");
        let client = daemon.client.clone();
        let asking = tokio::spawn(async move {
            let mut names = Vec::new();
            for n in 0.. {
                let name = image(&format!("{round} {n}"));
                let request = json!({"project": "p", "images": [name]}).to_string().into();
                let path = "/v1/decisions";
                match client.try_call(Method::POST, path, "application/json", request).await {
                    Ok(Answer { status: 200, .. }) => names.push(name),
                    _ => break,
                }
            }
            names
        });
        let before = log_text(&audit).len();
        eventually("some records", || async {
            (log_text(&audit).len() > before + (10 << 10)).then_some(())
        })
        .await;
        daemon.kill();
        acknowledged.extend(asking.await.expect("runs"));
    }
    let text = log_text(&audit);
    let missing = acknowledged.iter().filter(|name| !text.contains(*name)).count();
    assert_eq!(missing, 0, "of {}", acknowledged.len());
    let daemon = start(place.path(), &audit).expect("starts");
    decide(&daemon.client, &[&image("last")]).await;
    verified(&audit, &[]);
}

fn start(own: &Path, audit: &Path) -> Result<Daemon, String> {
    start_configured(own, audit, "")
}

/// A daemon with a store of its own in `own`, and its log in `audit`.
fn start_configured(own: &Path, audit: &Path, toml: &str) -> Result<Daemon, String> {
    std::fs::create_dir_all(own).expect("creates");
    let config = write(own, "hallmark.toml", toml.as_bytes());
    let mut command = Command::new(binary("hallmark"));
    command.arg("serve").arg("--config").arg(config);
    command.arg("--data-dir").arg(own.join("data")).arg("--audit-dir").arg(audit);
    Daemon::spawn(own, command)
}

async fn always_allow(client: &Client) {
    put_policy(client, &policy("ALWAYS_ALLOW", &[])).await;
}

fn token(name: &str) -> String {
    format!("token-of-{name}")
}

/// `user:loud` and `user:quiet` decide, `user:admin` does everything, `user:nobody` nothing.
fn deciders() -> String {
    let known = |name: &str| {
        let hash = sha256_hex(token(name).as_bytes());
        format!("[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'\n")
    };
    let bound = |role: &str, members: &str| {
        format!("[[bindings]]\nrole = 'roles/{role}'\nmembers = [{members}]\nprojects = ['*']\n")
    };
    let mut toml: String = ["loud", "quiet", "admin", "nobody"].map(known).concat();
    toml += &bound("hallmark.decider", "'user:loud', 'user:quiet', 'user:admin'");
    toml += &bound("binaryauthorization.policyAdmin", "'user:loud', 'user:admin'");
    toml += &bound("hallmark.operator", "'user:admin'");
    toml
}

/// Every byte of a log.
fn log_text(dir: &Path) -> String {
    let read = |file: PathBuf| std::fs::read_to_string(file).expect("text");
    files(dir).into_iter().map(read).collect()
}

async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
}
