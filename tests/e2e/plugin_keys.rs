//! Whose the keys of plugins are, what a bad one costs, and what a slow plugin does.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary, eventually, wait_for};
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    assert_allowed, assert_denied, attest, attestor, decide, image, note, policy, put_attestor,
    put_policy, sha256_hex,
};
use serde_json::{Value, json};

const ID: &str = "acme:release";
/// `HALLMARK_KEY_VERIFY | HALLMARK_KEY_HOST_VERIFY`, and the number of ECDSA_P256_SHA256.
const HOST_P256: &str = "5 9";

/// A plugin that lists whatever keys its secret says, compiled with more arguments.
struct Lister {
    dir: tempfile::TempDir,
    name: &'static str,
    path: PathBuf,
}

impl Lister {
    fn new(name: &'static str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api");
        let path = dir.path().join("plugin.so");
        let compiled = Command::new("cc")
            .args(["-std=c11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-fvisibility=hidden", "-I"])
            .arg(api.join("include"))
            .arg("-o")
            .arg(&path)
            .arg(api.join("tests/c-plugin/lister_plugin.c"))
            .args(arguments)
            .status();
        assert!(compiled.expect("cc runs").success());
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("sets the mode");
        let lister = Self { dir, name, path };
        lister.list(&[]);
        lister.stay_in("nothing");
        lister
    }

    /// Has it stay in that call until told otherwise.
    fn stay_in(&self, call: &str) {
        std::fs::write(self.dir.path().join("stuck"), call).expect("writes");
    }

    fn list(&self, lines: &[String]) {
        std::fs::write(self.dir.path().join("keys"), lines.join("\n")).expect("writes");
    }

    /// Its entry in the configuration.
    fn toml(&self, more: &str) -> String {
        let sum = sha256_hex(&std::fs::read(&self.path).expect("reads"));
        format!(
            "[[plugins]]\nname = '{}'\npath = '{}'\nsha256 = ['{sum}']\n\
             secrets = {{ keys = '{}', stuck = '{}' }}\nconfig = {{}}\n{more}\n",
            self.name,
            self.path.display(),
            self.dir.path().join("keys").display(),
            self.dir.path().join("stuck").display(),
        )
    }
}

fn line(handle: u32, id: &str, key: &Key) -> String {
    let hex: String = key.spki_der().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{handle} {HOST_P256} {id} {hex}")
}

/// An attestor that trusts the key of that id, and a policy that asks for it.
async fn trusting(client: &Client, id: &str) {
    trusting_keys(client, &json!([{"id": id}])).await;
}

async fn trusting_keys(client: &Client, keys: &Value) {
    note(client, "a").await;
    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/a", "publicKeys": keys,
    }});
    client.post("/v1/projects/p/attestors?attestorId=a", &body).await.ok();
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
}

async fn plugin_error(client: &Client, plugin: &str) -> Option<String> {
    let ready = client.get("/readyz").await;
    Some(ready.json["pluginErrors"][plugin].as_str()?.to_owned())
}

fn trial(decision: &Value) -> &Value {
    &decision["images"][0]["attestors"][0]["trials"][0]
}

/// The thief lists the id of another with a key of its own: what it signs is not attested, and
/// every trial says whose key it was.
#[tokio::test]
async fn a_plugin_gains_nothing_by_the_id_of_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let (own, stolen) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
    let (owner, thief) = (Lister::new("owner", &[]), Lister::new("thief", &[]));
    owner.list(&[line(1, ID, &own)]);
    thief.list(&[line(1, ID, &stolen)]);
    let toml = owner.toml("") + &thief.toml("");
    let daemon = Daemon::start_configured(dir.path(), &toml);
    let client = &daemon.client;
    trusting(client, ID).await;

    let (good, bad) = (image("good"), image("bad"));
    attest(client, "a", &good, ID, &own).await;
    attest(client, "a", &bad, ID, &stolen).await;
    let decision = decide(client, &[&good]).await;
    assert_allowed(&decision, "ATTESTED");
    assert_eq!(trial(&decision)["plugin"], "owner", "{decision:#}");
    assert_eq!(trial(&decision)["spkiSha256"], own.spki_sha256(), "{decision:#}");
    let decision = decide(client, &[&bad]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    assert_eq!(trial(&decision)["spkiSha256"], own.spki_sha256(), "{decision:#}");

    let said = plugin_error(client, "thief").await.expect("an error");
    assert!(said.contains(ID) && said.contains("`owner`"), "{said}");
    assert!(daemon.log().contains("belongs to plugin"), "{}", daemon.log());
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("hallmark_plugin_keys_refused{plugin=\"thief\"} 1"), "{metrics}");
}

/// A plugin that claims to read PEM does not get the keys that attestors hold as text.
#[tokio::test]
async fn a_plugin_reads_no_text_that_the_installation_reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let (own, stolen) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
    let thief = Lister::new("thief", &["-DLISTER_FORM=\"pkix\""]);
    thief.list(&[line(1, "acme:x", &stolen)]);
    let daemon = Daemon::start_configured(dir.path(), &thief.toml(""));
    let client = &daemon.client;
    let id = "https://keys.example.com/own";
    trusting(client, "acme:x").await;
    put_attestor(client, "a", &[(id, &own)]).await;
    let (good, bad) = (image("good"), image("bad"));
    attest(client, "a", &good, id, &own).await;
    attest(client, "a", &bad, id, &stolen).await;
    assert_allowed(&decide(client, &[&good]).await, "ATTESTED");
    assert_denied(&decide(client, &[&bad]).await, "NOT_ATTESTED");
}

#[tokio::test]
async fn a_bad_key_holds_up_no_removal() {
    let dir = tempfile::tempdir().expect("a directory");
    let (stays, goes) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
    let lister = Lister::new("acme", &[]);
    lister.list(&[line(1, "acme:stays", &stays), line(2, ID, &goes)]);
    let daemon = Daemon::start_configured(dir.path(), &lister.toml(""));
    let client = &daemon.client;
    trusting(client, ID).await;
    let first = image("before");
    attest(client, "a", &first, ID, &goes).await;
    assert_allowed(&decide(client, &[&first]).await, "ATTESTED");

    lister.list(&[line(1, "acme:stays", &stays), format!("3 {HOST_P256} acme:bad 00")]);
    // Its time to live is a second.
    eventually("the removal to take effect", || async {
        (decide(client, &[&first]).await["allowed"] == json!(false)).then_some(())
    })
    .await;
    let said = plugin_error(client, "acme").await.expect("an error");
    assert!(said.contains("acme:bad"), "{said}");
}

/// Created in a worker or in the daemon, slowly or never: the daemon listens.
#[tokio::test]
async fn a_slow_plugin_does_not_hold_up_the_start() {
    for (create_s, isolation) in [("-1", "in-process"), ("8", "in-process"), ("30", "worker")] {
        let dir = tempfile::tempdir().expect("a directory");
        let key = Key::generate("ECDSA_P256_SHA256");
        let image = image("slow");
        let list = [line(1, ID, &key)];
        let fast = Lister::new("slow", &[]);
        fast.list(&list);
        let daemon = Daemon::start_configured(dir.path(), &fast.toml(""));
        trusting(&daemon.client, ID).await;
        attest(&daemon.client, "a", &image, ID, &key).await;
        daemon.stop();

        let slow = Lister::new("slow", &[&format!("-DLISTER_CREATE_S={create_s}")]);
        slow.list(&list);
        let quick = Lister::new("quick", &["-DLISTER_SCHEME=\"quick\""]);
        let version = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        let toml = slow.toml(&format!("isolation = '{isolation}'"))
            + &quick.toml("")
            + &format!("[[kms_keys]]\nname = '{version}'\nplugin = 'nobody'\nkey = 'k'\n");
        let started = Instant::now();
        let daemon = Daemon::start_configured(dir.path(), &toml);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(12), "{create_s} {isolation}: {took:?}");
        let client = &daemon.client;
        let said = plugin_error(client, "slow").await.expect("an error");
        assert!(said.contains("still starting"), "{said}");
        assert_eq!(plugin_error(client, "quick").await, None);
        let ready = client.get("/readyz").await;
        assert_eq!(ready.status, 200, "{}", ready.json);
        let unserved = ready.json["kmsKeyErrors"][version].as_str().expect("an error");
        assert!(unserved.contains("nobody"), "{unserved}");
        assert!(daemon.log().contains("served by no plugin"), "{}", daemon.log());

        let decision = decide(client, &[&image]).await;
        assert_denied(&decision, "UNDETERMINED");
        if create_s == "8" {
            eventually("the plugin to be there", || async {
                (decide(client, &[&image]).await["allowed"] == json!(true)).then_some(())
            })
            .await;
            assert_eq!(plugin_error(client, "slow").await, None);
        }
        daemon.stop();
    }
}

/// A plugin that refuses its configuration when nobody waits for it any longer is loud all the
/// same.
#[tokio::test]
async fn a_configuration_that_is_refused_late_is_said_everywhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let late = Lister::new("late", &["-DLISTER_CREATE_S=7", "-DLISTER_REFUSES=1"]);
    let daemon = Daemon::start_configured(dir.path(), &late.toml("isolation = 'in-process'"));
    let client = &daemon.client;
    eventually("the refusal", || async {
        plugin_error(client, "late").await.filter(|said| said.contains("refused late"))
    })
    .await;
    wait_for("the log to say so", || {
        let log = daemon.log();
        log.lines()
            .any(|line| line.contains("ERROR") && line.contains("it does not start"))
            .then_some(())
    });
    let metrics = client.get("/metrics").await.text;
    let failed = "hallmark_plugin_failing{plugin=\"late\"} 1";
    assert!(metrics.contains(failed), "{metrics}");

    // In the time that is waited for plugins it ends the start.
    let soon = Lister::new("soon", &["-DLISTER_REFUSES=1"]);
    let other = tempfile::tempdir().expect("a directory");
    let config = hallmark_tests::keys::write(other.path(), "h.toml", soon.toml("").as_bytes());
    let data = other.path().join("data");
    let arguments = ["--data-dir", &data.to_string_lossy(), "--config", &config.to_string_lossy()];
    let refused = Daemon::try_start(other.path(), &arguments).expect_err("it is refused");
    assert!(refused.contains("refused late") && refused.contains("`soon`"), "{refused}");
}

/// An attestor's own text by the id of a plugin's key: refused when it is written, and named when
/// the plugin lists its key later.
#[tokio::test]
async fn text_by_the_id_of_a_plugins_key_is_refused_and_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (own, listed) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
    let lister = Lister::new("acme", &[]);
    lister.list(&[line(1, "acme:other", &listed)]);
    let daemon = Daemon::start_configured(dir.path(), &lister.toml(""));
    let client = &daemon.client;
    attestor(client, "a", &[(ID, &own)]).await;
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
    let attested = image("attested");
    attest(client, "a", &attested, ID, &own).await;
    assert_allowed(&decide(client, &[&attested]).await, "ATTESTED");

    lister.list(&[line(1, ID, &listed)]);
    eventually("the contradiction", || async {
        (decide(client, &[&attested]).await["allowed"] == json!(false)).then_some(())
    })
    .await;
    let ready = client.get("/readyz").await;
    let said = ready.json["attestorErrors"]["projects/p/attestors/a"].as_str().expect("an error");
    assert!(said.contains(ID) && said.contains("`acme`"), "{said}");
    wait_for("the log to say so", || {
        daemon.log().contains("keys of an attestor cannot be used").then_some(())
    });
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("hallmark_attestors_impaired 1"), "{metrics}");

    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/a", "publicKeys": [{"id": ID, "pkixPublicKey": {
            "publicKeyPem": own.public_pem, "signatureAlgorithm": "ECDSA_P256_SHA256",
        }}],
    }});
    let answer = client.post("/v1/projects/p/attestors?attestorId=b", &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains(ID) && answer.text.contains("`acme`"), "{}", answer.text);

    lister.list(&[line(1, "acme:other", &listed)]);
    eventually("the id to be free", || async {
        (decide(client, &[&attested]).await["allowed"] == json!(true)).then_some(())
    })
    .await;
    let ready = client.get("/readyz").await;
    assert_eq!(ready.json.get("attestorErrors"), None, "{}", ready.json);
}

/// Whatever call it does not come back from, writes and other decisions go on.
#[tokio::test]
async fn a_plugin_that_does_not_come_back_holds_up_nobody_else() {
    for isolation in ["in-process", "worker"] {
        for call in ["snapshot", "resolve", "verify", "decode", "sign"] {
            let dir = tempfile::tempdir().expect("a directory");
            let (own, held) =
                (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
            let caps = match call {
                "decode" => "-DLISTER_CAPS=HALLMARK_CAP_DECODE",
                _ => "-DLISTER_CAPS=(HALLMARK_CAP_VERIFY|HALLMARK_CAP_SIGN)",
            };
            // In the place of the bundled plugin of that name, so that it reads the texts.
            let lister =
                Lister::new("pgp", &[caps, "-DLISTER_FORM=\"pgp\"", "-DLISTER_CONCURRENCY=0"]);
            let hex: String = held.spki_der().iter().map(|byte| format!("{byte:02x}")).collect();
            // Verified by the plugin itself where that is what it does not come back from.
            let flags = if ["verify", "sign"].contains(&call) { 3 } else { 5 };
            lister.list(&[format!("1 {flags} 9 {ID} {hex}"), line(2, "acme:other", &own)]);
            lister.stay_in("nothing");
            let version = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
            let toml = "limits.request_timeout_ms = 6000\n".to_owned()
                + &lister.toml(&format!("isolation = '{isolation}'"))
                + &format!("[[kms_keys]]\nname = '{version}'\nplugin = 'pgp'\nkey = '{ID}'\n");
            let daemon = Daemon::start_configured(dir.path(), &toml);
            let client = &daemon.client;
            // With a key of text, which every publication of the project reads again for the sake of
            // the other.
            let text = json!({"asciiArmoredPgpPublicKey": "any"});
            match flags {
                5 => trusting_keys(client, &json!([{"id": "acme:other"}, text])).await,
                _ => trusting(client, ID).await,
            }
            let stuck = image("stuck");
            attest(client, "a", &stuck, ID, &held).await;
            lister.stay_in(call);

            // All that may come to the call, at once.
            let pgp = json!({"userOwnedGrafeasNote": {
                "noteReference": "projects/p/notes/a",
                "publicKeys": [text],
            }});
            let sign =
                json!({"digest": {"sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}});
            let (path, create) = (
                format!("/v1/{version}:asymmetricSign"),
                "/v1/projects/p/attestors?attestorId=pgp",
            );
            let begun = Instant::now();
            let stuck_work = async {
                let decided = async { drop(decide(client, &[&stuck]).await) };
                tokio::join!(decided, client.post(&path, &sign), client.post(create, &pgp));
            };
            let other_work = async {
                attestor(client, "b", &[("https://keys.example.com/b", &own)]).await;
                put_policy(client, &policy("REQUIRE_ATTESTATION", &["b"])).await;
                let good = image("good");
                attest(client, "b", &good, "https://keys.example.com/b", &own).await;
                assert_allowed(&decide(client, &[&good]).await, "ATTESTED");
                begun.elapsed()
            };
            let ((), took) = tokio::join!(stuck_work, other_work);
            assert!(took < Duration::from_secs(25), "{isolation} {call}: {took:?}");
            lister.stay_in("nothing");
            daemon.stop();
        }
    }
}

/// In the daemon as in a worker: a few lines are written, plain, and the others counted.
#[tokio::test]
async fn a_plugin_that_talks_much_fills_no_log() {
    for isolation in ["in-process", "worker"] {
        let dir = tempfile::tempdir().expect("a directory");
        let loud = Lister::new("loud", &["-DLISTER_CHATTER=2000"]);
        let key = Key::generate("ECDSA_P256_SHA256");
        loud.list(&[line(1, ID, &key)]);
        let toml = loud.toml(&format!("isolation = '{isolation}'"));
        let daemon = Daemon::start_configured(dir.path(), &toml);
        let client = &daemon.client;
        eventually("lines to be lost", || async {
            let metrics = client.get("/metrics").await.text;
            let lost = metrics.lines().find_map(|line| {
                line.strip_prefix("hallmark_plugin_log_lines_lost_total{plugin=\"loud\"} ")
            })?;
            (lost.parse::<u64>().expect("a number") > 1_000).then_some(())
        })
        .await;
        assert_eq!(plugin_error(client, "loud").await, None, "{isolation}");
        let log = daemon.log();
        assert!(log.len() < 1 << 20, "{isolation}: {} bytes", log.len());
        assert!(log.contains("line 0"), "{isolation}: {log}");
        // The lines that a plugin in the daemon writes to standard error itself are out of our
        // hands.
        let written = |line: &&str| isolation == "worker" || !line.starts_with("complaint");
        let own: Vec<_> = log.lines().filter(|line| line.contains("red")).filter(written).collect();
        assert!(own.iter().all(|line| !line.contains("\u{1b}[31mred")), "{isolation}: {own:?}");
        assert!(!log.contains("whoever debugs"), "{isolation}");
        daemon.stop();
    }
}

/// As another process of the same user would find it.
#[test]
fn the_memory_of_the_daemon_is_closed_to_its_own_user() {
    let dir = tempfile::tempdir().expect("a directory");
    let owner = std::fs::metadata(dir.path()).expect("is there").uid();
    if owner != 0 {
        // Its own files in /proc would be root's, which only root can tell apart here.
        return;
    }
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.path(), mode).expect("sets the mode");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary("hallmark"))
        .args(["serve", "--data-dir"])
        .arg(dir.path().join("data"));
    let daemon = Daemon::spawn(dir.path(), command).expect("starts");
    let proc = |file: &str| std::fs::metadata(format!("/proc/{}/{file}", daemon.pid()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("reads");
    assert!(status.contains("Uid:\t65534"), "{status}");
    for file in ["mem", "environ", "maps"] {
        assert_eq!(proc(file).expect("is there").uid(), 0, "{file}");
    }
    daemon.stop();
}
