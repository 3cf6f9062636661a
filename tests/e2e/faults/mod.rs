//! Reviews while something behind the daemon is slow, dead or stuck, and more of them than it can
//! answer: each is answered in time, what cannot be determined is denied as such, and when the cause
//! goes away, so do the denials.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use hallmark_tests::admission::{CLUSTER, creation, pod};
use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{KEY_ID, attest, attestor, image, note, policy, put_policy};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The time that the API server is told to wait: enough for a busy machine, little enough to be
/// waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A daemon on a disk that fails on command.
struct Faulty {
    dir: TempDir,
    daemon: Daemon,
}

impl Faulty {
    /// With `images` attested by a key of the attestor, or of a file in `keys`.
    async fn start(images: &[String], key_id: impl Fn(&str) -> String, toml: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().to_string_lossy().into_owned();
        let key = Key::shared("ECDSA_P256_SHA256");
        std::fs::create_dir(dir.path().join("keys")).expect("creates");
        write(&dir.path().join("keys"), "release.pem", key.public_pem.as_bytes());
        write(dir.path(), "faults", b"");
        write(dir.path(), "hallmark.toml", toml.replace("DIR", &root).as_bytes());
        let daemon = spawn(&dir);
        let id = key_id(&root);
        match id.starts_with("file:") {
            false => attestor(&daemon.client, "build", &[(&id, &key)]).await,
            true => {
                note(&daemon.client, "build").await;
                let body = json!({"userOwnedGrafeasNote": {
                    "noteReference": "projects/p/notes/build", "publicKeys": [{"id": id}]}});
                let path = "/v1/projects/p/attestors?attestorId=build";
                daemon.client.post(path, &body).await.ok();
            }
        }
        put_policy(&daemon.client, &policy("REQUIRE_ATTESTATION", &["build"])).await;
        for image in images {
            attest(&daemon.client, "build", image, &id, &key).await;
        }
        Self { dir, daemon }
    }

    /// With attestations in the store, and none of them in memory.
    async fn cold(images: &[String], toml: &str) -> Self {
        Self::start(images, |_| KEY_ID.to_owned(), toml).await.restarted()
    }

    fn restarted(self) -> Self {
        self.daemon.kill();
        Self { daemon: spawn(&self.dir), dir: self.dir }
    }

    /// Orders a fault at the files whose path in the directory begins so.
    fn order(&self, fault: &str, path: &str) {
        let line = format!("{fault} {}", self.dir.path().join(path).display());
        let aside = write(self.dir.path(), "aside", line.as_bytes());
        std::fs::rename(aside, self.dir.path().join("faults")).expect("moves");
    }

    fn mend(&self) {
        self.order("", "");
    }

    async fn until_allowed(&self, image: &str) {
        eventually("the recovery", || async {
            (review(&self.daemon.client, image).await["allowed"] == true).then_some(())
        })
        .await;
    }
}

fn spawn(dir: &TempDir) -> Daemon {
    let mut command = Command::new(binary("hallmark"));
    command.env("LD_PRELOAD", disk()).env("FAULTS", dir.path().join("faults"));
    command.arg("serve").arg("--data-dir").arg(dir.path().join("data"));
    command.arg("--config").arg(dir.path().join("hallmark.toml"));
    Daemon::spawn(dir.path(), command).unwrap_or_else(|log| panic!("it did not start:\n{log}"))
}

/// The disk, built beside the tests.
fn disk() -> PathBuf {
    static DISK: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let test = std::env::current_exe().expect("a path");
        let library = test.with_file_name("faulty_disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/faults/disk.c");
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library);
        let built = cc.arg(source).arg("-ldl").output().expect("cc runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        library
    };
    DISK.get_or_init(build).clone()
}

fn images(count: usize) -> Vec<String> {
    (0..count).map(|n| image(&format!("fault {n}"))).collect()
}

/// The response to the review of a pod of `image`, which came in time.
async fn review(client: &Client, image: &str) -> Value {
    let timeout = TIMEOUT.as_millis();
    let path = format!("/k8s/projects/p/clusters/{CLUSTER}/admission?timeout={timeout}ms");
    let started = Instant::now();
    let mut answer = client.post(&path, &creation(&pod(&[image]))).await.ok();
    let elapsed = started.elapsed();
    assert!(elapsed < TIMEOUT, "{elapsed:?}: {answer:#}");
    answer["response"].take()
}

/// Reviews all of them at once; the responses in the order of the images.
async fn review_all(client: &Client, images: &[String]) -> Vec<Value> {
    let asked = images.iter().map(|image| {
        let (client, image) = (client.clone(), image.clone());
        tokio::spawn(async move { review(&client, &image).await })
    });
    let mut responses = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        responses.push(asked.await.expect("a response"));
    }
    responses
}

fn assert_undetermined(response: &Value) {
    let status = &response["status"];
    assert_eq!(response["allowed"], false, "{response:#}");
    assert_eq!((&status["code"], &status["reason"]), (&json!(503), &json!("UNDETERMINED")));
    let message = status["message"].as_str().expect("a message").to_lowercase();
    assert!(message.contains("could not be"), "{message}");
    assert_eq!(status["details"]["retryAfterSeconds"], 1, "{response:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_waited_for_as_long_as_there_is_time() {
    let images = images(3);
    let faulty = Faulty::cold(&images, "").await;
    faulty.order("slow 20", "data/hallmark.redb");
    assert_eq!(review(&faulty.daemon.client, &images[0]).await["allowed"], true);
    faulty.mend();
    let faulty = faulty.restarted();
    faulty.order("slow 9000", "data/hallmark.redb");
    for response in review_all(&faulty.daemon.client, &images).await {
        assert_undetermined(&response);
    }
    faulty.mend();
    for image in &images {
        faulty.until_allowed(image).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_store_denies_at_once_and_lives_again_by_itself() {
    let images = images(2);
    let faulty = Faulty::cold(&images, "").await;
    faulty.order("dead", "data/hallmark.redb");
    assert_undetermined(&review(&faulty.daemon.client, &images[0]).await);
    faulty.mend();
    for image in &images {
        faulty.until_allowed(image).await;
    }
}

/// More reviews than reads that may be stuck at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_store_holds_up_nobody_beyond_their_time() {
    let images = images(100);
    let faulty = Faulty::cold(&images, "").await;
    faulty.order("stuck", "data/hallmark.redb");
    for response in review_all(&faulty.daemon.client, &images).await {
        assert_undetermined(&response);
    }
    faulty.daemon.client.get("/readyz").await.ok();
    faulty.mend();
    faulty.until_allowed(&images[0]).await;
    let responses = review_all(&faulty.daemon.client, &images).await;
    assert!(responses.iter().all(|response| response["allowed"] == true));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_let_in_off_the_record() {
    let images = images(20);
    let faulty = Faulty::cold(&images, "").await;
    for fault in ["dead", "stuck"] {
        faulty.order(fault, "data/audit");
        for response in review_all(&faulty.daemon.client, &images).await {
            assert_undetermined(&response);
        }
        faulty.mend();
        faulty.until_allowed(&images[0]).await;
        let responses = review_all(&faulty.daemon.client, &images).await;
        assert!(responses.iter().all(|response| response["allowed"] == true), "{fault}");
    }
}

/// Keys that were heard of stay good; keys that never were deny until they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_key_source_is_waited_for_by_nobody() {
    let images = images(2);
    let toml = "[[plugins]]\nname = 'pkix'\n\
                config = { refresh_secs = 1, sources = [{ path = 'DIR/keys' }] }";
    let id = |root: &str| format!("file://{root}/keys/release.pem");
    let faulty = Faulty::start(&images, id, toml).await;
    faulty.order("stuck", "keys/");
    assert_eq!(review(&faulty.daemon.client, &images[0]).await["allowed"], true);
    let faulty = faulty.restarted();
    for response in review_all(&faulty.daemon.client, &images).await {
        assert_undetermined(&response);
    }
    faulty.mend();
    for image in &images {
        faulty.until_allowed(image).await;
    }
}

/// Ten times as many at once as there is room for, while the store is slow: whoever finds room is
/// decided, whoever does not is denied, all in time.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_what_there_is_room_for_is_denied_in_time() {
    let images = images(100);
    let faulty = Faulty::cold(&images, "limits.requests_in_flight = 10").await;
    faulty.order("slow 400", "data/hallmark.redb");
    let (mut allowed, mut denied) = (0, 0);
    for response in review_all(&faulty.daemon.client, &images).await {
        if response["allowed"] == true {
            allowed += 1;
        } else {
            assert_undetermined(&response);
            denied += 1;
        }
    }
    assert!(allowed > 0 && denied > 0, "{allowed} allowed, {denied} denied");
    faulty.mend();
    for image in &images {
        faulty.until_allowed(image).await;
    }
    let shed = r#"hallmark_http_shed_total{cause="requests"}"#;
    let metrics = faulty.daemon.client.get("/metrics").await.text;
    let shed = metrics.lines().find_map(|line| line.strip_prefix(shed)).expect("counted");
    assert!(shed.trim().parse::<u32>().expect("a number") > 0, "{shed}");
}
