//! Resources in a database and the same resources in files give the same answers; files are
//! followed as they change, and the last good state outlives a bad one.

use std::path::{Path, PathBuf};

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, eventually};
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, REPOSITORY, World, ask, assert_allowed, assert_denied, attest, attestor, attestor_body,
    decide, digest, dry_run, file, image, occurrence, payload, policy, put_policy, reason, rule,
};
use serde_json::{Value, json};

/// Writes what the API gives back of project `p` into `config`, as files.
async fn export(client: &Client, config: &Path) {
    let project = config.join("projects/p");
    let policy = client.get("/v1/projects/p/policy").await.ok();
    put(&project, "policy.json", &policy);
    for (collection, path) in
        [("attestors", "/v1/projects/p/attestors"), ("occurrences", "/v1/projects/p/occurrences")]
    {
        for resource in client.list(path, collection, 100).await {
            put(&project.join(collection), &format!("{}.json", last(&resource["name"])), &resource);
        }
    }
    for id in ["build", "qa"] {
        let note = client.get(&format!("/v1/projects/p/notes/{id}")).await.ok();
        put(&project.join("notes"), &format!("{id}.json"), &note);
    }
}

fn put(dir: &Path, name: &str, resource: &Value) -> PathBuf {
    std::fs::create_dir_all(dir).expect("creates");
    hallmark_tests::keys::write(dir, name, resource.to_string().as_bytes())
}

fn last(name: &Value) -> &str {
    name.as_str().and_then(|name| name.rsplit('/').next()).expect("a name")
}

/// Two attestors, attestations good and bad, and a policy with rules by cluster.
async fn furnish(world: &World) {
    let client = world.client();
    let qa = Key::shared("ED25519");
    attestor(client, "qa", &[("https://keys.example.com/qa", &qa)]).await;
    for seed in ["both", "build only"] {
        world.attest(&image(seed)).await;
    }
    for seed in ["both", "qa only"] {
        attest(client, "qa", &image(seed), "https://keys.example.com/qa", &qa).await;
    }
    let (bytes, stranger) = (payload(&image("forged")), Key::generate("ECDSA_P256_SHA256"));
    let forged = occurrence("build", &image("forged"), &bytes, KEY_ID, &stranger.sign(&bytes));
    file(client, &forged).await;
    let mut policy = policy("REQUIRE_ATTESTATION", &["build", "qa"]);
    policy["globalPolicyEvaluationMode"] = json!("ENABLE");
    policy["admissionWhitelistPatterns"] = json!([{"namePattern": "registry.example.com/base/**"}]);
    policy["clusterAdmissionRules"] = json!({
        "l.open": rule("ALWAYS_ALLOW", &[]),
        "l.shut": rule("ALWAYS_DENY", &[]),
        "l.build": rule("REQUIRE_ATTESTATION", &["build"]),
        "l.trial": dry_run(rule("REQUIRE_ATTESTATION", &["qa"])),
    });
    put_policy(client, &policy).await;
}

#[tokio::test]
async fn files_and_database_answer_alike() {
    let world = World::new().await;
    furnish(&world).await;
    let dir = tempfile::tempdir().expect("a directory");
    export(world.client(), &dir.path().join("config")).await;
    let files = Daemon::start_on_files(dir.path());
    let images = ["both", "build only", "qa only", "forged", "plain"].map(image);
    let others = [
        format!("{REPOSITORY}:latest"),
        "registry.example.com/base/x/debian:12".to_owned(),
        "registry.k8s.io/pause:3.10".to_owned(),
        format!("mirror.example.com/x@{}", digest("both")),
        "NOT AN IMAGE".to_owned(),
    ];
    let mut allowed = 0;
    for image in images.iter().chain(&others) {
        for cluster in [None, Some("l.open"), Some("l.shut"), Some("l.build"), Some("l.trial")] {
            for project in ["p", "typo"] {
                let request = json!({"project": project, "cluster": cluster, "images": [image]});
                let by_database = comparable(ask(world.client(), &request).await.ok());
                let by_files = comparable(ask(&files.client, &request).await.ok());
                assert_eq!(by_files, by_database, "{request}");
                allowed += usize::from(by_files["allowed"] == json!(true));
            }
        }
    }
    assert!((20..80).contains(&allowed), "{allowed} of 100 are allowed");
}

/// A note that is gone, or was never there, attests nothing to either of them.
#[tokio::test]
async fn a_deleted_note_attests_nothing_in_database_and_files() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("attested"));
    world.attest(&image).await;
    let platform = json!({"gkePolicy": {"checkSets": [{"checks": [{
        "simpleSigningAttestationCheck": {
            "containerAnalysisAttestationProjects": ["projects/p"],
            "attestationAuthenticators": [{"pkixPublicKeySet": {"pkixPublicKeys": [
                {"keyId": KEY_ID, "publicKeyPem": world.key.public_pem,
                    "signatureAlgorithm": world.key.algorithm},
            ]}}],
        },
    }]}]}});
    client.post("/v1/projects/p/platforms/gke/policies?policyId=a", &platform).await.ok();
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("config");
    let to = ["export", "--to-dir", &config.to_string_lossy()];
    let export =
        || hallmark_tests::daemon::hallmark(client, &[&to[..], &["--format=json"]].concat());
    assert!(export().status.success());
    let files = Daemon::start_on_files(dir.path());
    let pod = json!({"resource": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "c", "image": image}]}}});
    let path = "/v1/projects/p/platforms/gke/policies/a:evaluate";
    for client in [client, &files.client] {
        assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
        assert_eq!(client.post(path, &pod).await.ok()["verdict"], "CONFORMANT");
    }
    client.delete("/v1/projects/p/notes/build").await.ok();
    std::fs::remove_file(config.join("projects/p/notes/build.json")).expect("removes");
    eventually("the deletion", || async {
        (reason(&decide(&files.client, &[&image]).await) == "NOT_ATTESTED").then_some(())
    })
    .await;
    for client in [client, &files.client] {
        let decision = decide(client, &[&image]).await;
        assert_eq!(decision["images"][0]["attestors"][0]["reason"], "NO_ATTESTATIONS");
        assert_eq!(client.post(path, &pod).await.ok()["verdict"], "NON_CONFORMANT");
    }
    // An export does not bring it back, and says so.
    std::fs::remove_dir_all(config.join("projects/p")).expect("removes");
    let exported: Value = serde_json::from_slice(&export().stdout).expect("JSON");
    assert_eq!(exported["occurrences"], 0, "{exported}");
    let left_out = exported["leftOut"][0].as_str().expect("a sentence");
    assert!(left_out.contains("1 occurrences under notes that do not exist"), "{left_out}");
    assert!(left_out.contains("projects/p/notes/build"), "{left_out}");
}

/// Without what depends on the daemon's history.
fn comparable(mut decision: Value) -> Value {
    decision["generation"] = Value::Null;
    for image in decision["images"].as_array_mut().expect("images") {
        image["cached"] = Value::Null;
    }
    decision
}

/// A directory of files in YAML, as people write them, and a daemon on it.
pub(crate) struct Files {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) daemon: Daemon,
    key: Key,
    pub(crate) image: String,
}

impl Files {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (key, image) = (Key::shared("ECDSA_P256_SHA256"), image("attested"));
        let project = dir.path().join("config/projects/p");
        put(&project.join("attestors"), "build.json", &attestor_body("build", &[(KEY_ID, &key)]));
        put(&project.join("notes"), "build.json", &json!({"attestation": {}}));
        let bytes = payload(&image);
        let attestation = occurrence("build", &image, &bytes, KEY_ID, &key.sign(&bytes));
        put(&project.join("occurrences"), "one.json", &attestation);
        std::fs::write(project.join("policy.yaml"), POLICY).expect("writes");
        let daemon = Daemon::start_on_files(dir.path());
        Self { dir, daemon, key, image }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.daemon.client
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("config/projects/p").join(name)
    }

    /// Replaces a file as editors and `kubectl` do: at once.
    pub(crate) fn replace(&self, name: &str, content: &str) {
        let aside = self.dir.path().join("aside");
        std::fs::write(&aside, content).expect("writes");
        std::fs::rename(aside, self.path(name)).expect("moves");
    }

    pub(crate) async fn until_reason_is(&self, image: &str, why: &str) {
        eventually(why, || async {
            (reason(&decide(self.client(), &[image]).await) == why).then_some(())
        })
        .await;
    }

    pub(crate) async fn until_reload_succeeds(&self) {
        eventually("no fault", || async {
            let ready = self.client().get("/readyz").await.ok();
            ready["lastReloadError"].is_null().then_some(())
        })
        .await;
    }

    pub(crate) async fn until_reload_fails(&self, file: &str) -> String {
        eventually("the fault", || async {
            let ready = self.client().get("/readyz").await.json;
            let error = ready["lastReloadError"].as_str()?;
            error.contains(file).then(|| error.to_owned())
        })
        .await
    }
}

const POLICY: &str = "\
defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
  - projects/p/attestors/build
";

#[tokio::test]
async fn a_changed_file_changes_the_answer() {
    let files = Files::new();
    assert_allowed(&decide(files.client(), &[&files.image]).await, "ATTESTED");
    let plain = image("plain");
    assert_denied(&decide(files.client(), &[&plain]).await, "NOT_ATTESTED");

    // Evidence comes.
    let bytes = payload(&plain);
    let attestation = occurrence("build", &plain, &bytes, KEY_ID, &files.key.sign(&bytes));
    put(&files.path("occurrences"), "two.json", &attestation);
    files.until_reason_is(&plain, "ATTESTED").await;
    // Evidence goes.
    std::fs::remove_file(files.path("occurrences/one.json")).expect("removes");
    files.until_reason_is(&files.image, "NOT_ATTESTED").await;
    // The policy changes.
    files.replace(
        "policy.yaml",
        &POLICY.replace("enforcementMode", "enforcementMode: DRYRUN_AUDIT_LOG_ONLY #"),
    );
    eventually("dry run", || async {
        (decide(files.client(), &[&files.image]).await["dryRun"] == json!(true)).then_some(())
    })
    .await;
    // The key changes.
    let stranger = attestor_body("build", &[(KEY_ID, &Key::generate("ECDSA_P256_SHA256"))]);
    files.replace("attestors/build.json", &stranger.to_string());
    files.until_reason_is(&plain, "NOT_ATTESTED").await;
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_state_and_says_so() {
    let files = Files::new();
    files.replace("policy.yaml", "defaultAdmissionRule:\n  evaluationMode: ALWAYS_ALOW\n");
    let error = files.until_reload_fails("policy.yaml").await;
    assert!(error.contains("line 2") && error.contains("defaultAdmissionRule"), "{error}");
    let ready = files.client().get("/readyz").await.ok();
    assert_eq!(ready["ready"], true, "the last good state serves: {ready}");
    assert_allowed(&decide(files.client(), &[&files.image]).await, "ATTESTED");
    assert_denied(&decide(files.client(), &[&image("plain")]).await, "NOT_ATTESTED");
    assert!(files.daemon.log().contains("policy.yaml"), "{}", files.daemon.log());

    files.replace("policy.yaml", &policy("ALWAYS_ALLOW", &[]).to_string());
    files.until_reason_is(&image("plain"), "ALWAYS_ALLOW").await;
    files.until_reload_succeeds().await;
}

/// Something that takes a policy away.
type Loss = dyn Fn(&Files) -> std::io::Result<()>;

/// A policy that is gone is more often a mistake than a wish, whatever took it away.
#[tokio::test]
async fn a_policy_that_is_gone_stays_in_force_until_its_project_goes_too() {
    let remove = |files: &Files| std::fs::remove_file(files.path("policy.yaml"));
    let hide = |files: &Files| std::fs::rename(files.path("policy.yaml"), files.path(".policy"));
    let empty = |files: &Files| {
        std::fs::remove_dir_all(files.path("")).and_then(|()| std::fs::create_dir(files.path("")))
    };
    let dangle = |files: &Files| {
        std::fs::remove_file(files.path("policy.yaml"))?;
        std::os::unix::fs::symlink("nowhere", files.path("policy.yaml"))
    };
    let truncate = |files: &Files| std::fs::write(files.path("policy.yaml"), "");
    let comment = |files: &Files| std::fs::write(files.path("policy.yaml"), "# soon\n");
    let losses: [&Loss; 6] = [&remove, &hide, &empty, &dangle, &truncate, &comment];
    for lose in losses {
        let files = Files::new();
        lose(&files).expect("the loss");
        files.until_reload_fails("projects/p/policy.yaml").await;
        for hangup in [false, true] {
            if hangup {
                let failures = || files.daemon.log().matches("not reloaded").count();
                let before = failures();
                files.daemon.signal("HUP");
                eventually("the reload", || async { (failures() > before).then_some(()) }).await;
            }
            let ready = files.client().get("/readyz").await.ok();
            assert!(ready["lastReloadError"].is_string(), "{ready}");
            let metrics = files.client().get("/metrics").await.text;
            assert!(metrics.contains("hallmark_reload_failing 1"), "{metrics}");
            assert_allowed(&decide(files.client(), &[&files.image]).await, "ATTESTED");
            assert_denied(&decide(files.client(), &[&image("plain")]).await, "NOT_ATTESTED");
        }
        std::fs::remove_dir_all(files.path("")).expect("removes");
        files.until_reason_is(&files.image, "PROJECT_UNKNOWN").await;
        files.until_reload_succeeds().await;
    }
}

/// A project is copied into the directory file by file, its policy last, with all the time between
/// two files that the daemon needs to take each up.
#[tokio::test]
async fn a_project_that_is_being_copied_is_denied_until_its_policy_is_there() {
    let files = Files::new();
    let copy = files.dir.path().join("config/projects/q");
    let request = json!({"project": "q", "images": [image("plain")]});
    let generation = || async { files.client().get("/readyz").await.ok()["generation"].clone() };
    for name in ["attestors/build.json", "notes/build.json", "policy.yaml"] {
        let before = generation().await;
        let text = std::fs::read_to_string(files.path(name)).expect("reads");
        std::fs::create_dir_all(copy.join(name).parent().expect("a parent")).expect("creates");
        std::fs::write(copy.join(name), text.replace("projects/p/", "projects/q/"))
            .expect("writes");
        eventually(name, || async { (generation().await != before).then_some(()) }).await;
        let expected = if name == "policy.yaml" { "NOT_ATTESTED" } else { "POLICY_NOT_WRITTEN" };
        assert_denied(&ask(files.client(), &request).await.ok(), expected);
    }
}

/// SIGHUP does not make good what is still broken.
#[tokio::test]
async fn a_fault_is_told_as_long_as_it_is_there() {
    let files = Files::new();
    files.replace("policy.yaml", "{");
    files.until_reload_fails("policy.yaml").await;
    files.daemon.signal("HUP");
    // The work of SIGHUP is over when a change made after it is seen.
    eventually("the reload", || async {
        let log = files.daemon.log();
        (log.matches("reloaded").count() >= 2).then_some(())
    })
    .await;
    let ready = files.client().get("/readyz").await.ok();
    let error = ready["lastReloadError"].as_str().unwrap_or_default();
    assert!(error.contains("policy.yaml"), "{ready}");
}

#[tokio::test]
async fn a_file_under_a_misspelled_name_is_a_fault() {
    let files = Files::new();
    std::fs::rename(files.path("policy.yaml"), files.path("polcy.yaml")).expect("moves");
    files.until_reload_fails("polcy.yaml").await;
    assert_allowed(&decide(files.client(), &[&files.image]).await, "ATTESTED");
    assert_denied(&decide(files.client(), &[&image("plain")]).await, "NOT_ATTESTED");
}

#[tokio::test]
async fn a_directory_that_makes_no_sense_is_refused_at_the_start() {
    let Files { dir, daemon, .. } = Files::new();
    daemon.stop();
    let policy = dir.path().join("config/projects/p/policy.yaml");
    std::fs::write(policy, "defaultAdmissionRule: {}\nunknown: 1\n").expect("writes");
    let (config, audit) = (dir.path().join("config"), dir.path().join("audit"));
    let refused = Daemon::try_start(
        dir.path(),
        &["--config-dir", &config.to_string_lossy(), "--audit-dir", &audit.to_string_lossy()],
    );
    let log = refused.expect_err("refused");
    for says in ["policy.yaml", "unknown", "line 2", "evaluationMode"] {
        assert!(log.contains(says), "{says}: {log}");
    }
}

#[tokio::test]
async fn the_api_reads_and_does_not_write() {
    let files = Files::new();
    let client = files.client();
    let read = client.get("/v1/projects/p/policy").await.ok();
    assert_eq!(read["defaultAdmissionRule"]["evaluationMode"], "REQUIRE_ATTESTATION");
    let body = attestor_body("other", &[(KEY_ID, &files.key)]);
    let bytes = payload(&files.image);
    let occurrence = occurrence("build", &files.image, &bytes, KEY_ID, b"x");
    let one = "/v1/projects/p/attestors/build";
    let note = json!({"attestation": {}});
    for answer in [
        client.put("/v1/projects/p/policy", &policy("ALWAYS_ALLOW", &[])).await,
        client.post("/v1/projects/p/attestors?attestorId=other", &body).await,
        client.put(one, &attestor_body("build", &[])).await,
        client.delete(one).await,
        client.post("/v1/projects/p/notes?noteId=other", &note).await,
        client.post("/v1/projects/p/occurrences", &occurrence).await,
        client
            .post("/v1/projects/p/occurrences:batchCreate", &json!({"occurrences": [occurrence]}))
            .await,
        client.delete("/v1/projects/p/occurrences/one").await,
    ] {
        let message = answer.refused(400, "FAILED_PRECONDITION");
        assert!(message.contains("--config-dir"), "{message}");
    }
    assert_allowed(&decide(client, &[&files.image]).await, "ATTESTED");
}
