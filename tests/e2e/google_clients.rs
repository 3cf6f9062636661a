//! Google's own Python clients against the daemon: every method that they have, what they get and
//! how they are refused. `tests/python` drives, this file says what must have come back.

use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{assert_allowed, assert_denied, decide};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A role that the clients bind.
const VIEWER: &str = "roles/binaryauthorization.policyViewer";
const KEY_VERSIONS: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions";

/// A daemon that was driven, and what the clients saw.
struct Driven {
    daemon: Daemon,
    seen: Value,
    _dir: TempDir,
}

fn drive() -> Driven {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::shared("ECDSA_P256_SHA256");
    let (private, public) = key.write(dir.path(), "key");
    let daemon = Daemon::start_configured(dir.path(), &configuration(dir.path()));
    let output = Command::new(python())
        .arg(script())
        .arg(daemon.client.address())
        .args([&private, &public])
        .output()
        .expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", daemon.log());
    let seen = serde_json::from_slice(&output.stdout).expect("JSON");
    Driven { daemon, seen, _dir: dir }
}

/// Two key versions: ECDSA, whose clients send digests, and Ed25519, whose clients send data.
fn configuration(dir: &Path) -> String {
    let mut signing = Vec::new();
    let mut versions = String::new();
    for (number, algorithm) in [(1, "ECDSA_P256_SHA256"), (2, "ED25519")] {
        let path = write(dir, algorithm, Key::generate(algorithm).private_pem.as_bytes());
        signing.push(format!("{{ path = {path:?}, id = 'kms:{algorithm}' }}"));
        versions += &format!(
            "[[kms_keys]]\nname = '{KEY_VERSIONS}/{number}'\nplugin = 'pkix'\n\
             key = 'kms:{algorithm}'\n"
        );
    }
    let signing = signing.join(", ");
    format!("[[plugins]]\nname = 'pkix'\nconfig = {{ signing_keys = [{signing}] }}\n{versions}")
}

/// The virtual environment that `tests/tools.sh` makes.
fn python() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let target = test.ancestors().nth(3).expect("target/PROFILE/deps/TEST");
    let python = target.join("python/bin/python");
    assert!(python.exists(), "{} is missing: run `tests/tools.sh`", python.display());
    python
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/drive.py")
}

/// Asserts that a call was refused with this class of exception, saying this, about these fields.
#[track_caller]
fn refused(seen: &Value, class: &str, says: &str, fields: &[&str]) {
    assert_eq!((&seen["error"], &seen["fields"]), (&json!(class), &json!(fields)), "{seen}");
    assert!(seen["message"].as_str().unwrap_or_default().contains(says), "{seen}");
}

#[tokio::test]
async fn googles_clients_work_unchanged() {
    let Driven { daemon, seen, _dir } = drive();
    notes(&seen["notes"]);
    attestors(&seen["attestors"]);
    policy(&seen["policy"]);
    occurrences(&seen["occurrences"]);
    validation(&seen["validation"]);
    iam(&seen["iam"]);
    key_versions(&seen["kms"]);
    let image = |seed: &str| seen["images"][seed].as_str().expect("an image").to_owned();
    for attested in ["web", "kms"] {
        assert_allowed(&decide(&daemon.client, &[&image(attested)]).await, "ATTESTED");
    }
    // Its occurrence was deleted.
    assert_denied(&decide(&daemon.client, &[&image("three")]).await, "NOT_ATTESTED");
}

fn notes(seen: &Value) {
    assert_eq!(seen["made"], json!(["projects/p/notes/built", "ATTESTATION", true]));
    let batch = |numbers: &[u8]| -> Vec<String> {
        numbers.iter().map(|n| format!("projects/p/notes/batch-{n}")).collect()
    };
    assert_eq!(seen["batched"], json!(batch(&[0, 1, 2])));
    assert_eq!(seen["patched"], json!(["new", "", "ATTESTATION"]));
    assert_eq!(seen["hint"], "built by us");
    let mut listed = batch(&[1, 2]);
    listed.push("projects/p/notes/built".to_owned());
    assert_eq!(seen["listed"], json!(listed), "pages of one");
    assert_eq!(seen["located"], json!(["projects/p/notes/built", 3]));
    refused(&seen["elsewhere"], "NotFound", "there is one location, global", &[]);
    refused(&seen["again"], "Conflict", "projects/p/notes/built already exists", &[]);
    refused(&seen["missing"], "NotFound", "projects/p/notes/none does not exist", &[]);
    refused(&seen["filtered"], "BadRequest", "leave the filter empty", &[]);
}

fn attestors(seen: &Value) {
    let made = &seen["made"];
    assert_eq!((&made[0], &made[1]), (&json!("projects/p/attestors/built"), &json!(true)));
    assert!(made[2].as_str().is_some_and(|id| id.starts_with("ni:///sha-256;")), "{made}");
    assert_eq!((&made[3], &seen["algorithm"]), (&json!("ours"), &json!("ECDSA_P256_SHA256")));
    assert_eq!(seen["changed"], "changed");
    let pages = [vec!["a", "b"], vec!["built"]];
    let name = |id: &&str| format!("projects/p/attestors/{id}");
    let pages = pages.map(|page| page.iter().map(name).collect::<Vec<_>>());
    assert_eq!(seen["pages"], json!(pages));
    assert_eq!(seen["beta"], json!(["projects/p/notes/built", "changed"]));
    assert_eq!(seen["beta_made"], json!(["projects/p/attestors/beta", "beta", true]));
    refused(&seen["again"], "Conflict", "projects/p/attestors/built already exists", &[]);
    refused(&seen["missing"], "NotFound", "projects/p/attestors/none does not exist", &[]);
    let field = "userOwnedGrafeasNote.noteReference";
    refused(&seen["moved"], "BadRequest", "cannot be changed", &[field]);
    let field = "userOwnedGrafeasNote.publicKeys[0].pkixPublicKey";
    refused(&seen["broken"], "BadRequest", "neither PEM", &[field]);
}

fn policy(seen: &Value) {
    assert_eq!(seen["unwritten"], "ALWAYS_DENY");
    let read = json!([
        "projects/p/policy",
        "ours",
        "ENABLE",
        "gcr.io/google_containers/*",
        "ALWAYS_ALLOW",
        "REQUIRE_ATTESTATION",
        "ENFORCED_BLOCK_AND_AUDIT_LOG",
        ["projects/p/attestors/built"],
    ]);
    assert_eq!(seen["read"], read);
    assert_eq!(seen["beta"], true);
    assert_eq!(seen["system"], json!(["locations/global/policy", true]));
    assert_eq!(seen["system_beta"], "locations/us-east1/policy");
    refused(&seen["stale"], "Conflict", "projects/p/policy was changed since it was read", &[]);
    refused(&seen["empty"], "BadRequest", "required", &["defaultAdmissionRule"]);
    let field = "defaultAdmissionRule.requireAttestationsBy[0]";
    refused(&seen["nobody"], "BadRequest", "create the attestor first", &[field]);
}

fn occurrences(seen: &Value) {
    assert_eq!(seen["made"], json!([true, "ATTESTATION"]));
    assert_eq!((&seen["kept_bytes"], &seen["batched"]), (&json!(true), &json!(3)));
    let found = json!({"suffix": 2, "url": 1, "kind": 3, "other": 1, "empty": 4});
    assert_eq!(seen["found"], found);
    assert_eq!(seen["of_note"], json!([true]));
    assert_eq!(seen["note"], "projects/p/notes/built");
    assert_eq!(seen["kept"], json!(["os", "HIGH", "VULNERABILITY"]));
    assert_eq!(seen["patched"], json!(["update it", true]));
    refused(&seen["again"], "Conflict", "occurrence ID", &[]);
    refused(&seen["orphan"], "NotFound", "projects/p/notes/none does not exist", &[]);
    refused(&seen["gone"], "NotFound", "does not exist", &[]);
    refused(&seen["unfiltered"], "BadRequest", "supported are resourceUrl", &["filter"]);
    refused(&seen["summary"], "MethodNotImplemented", "list the occurrences", &[]);
}

fn validation(seen: &Value) {
    assert_eq!(seen["verified"], json!(["VERIFIED", ""]));
    for (case, says) in [
        ("flipped", "bad signature"),
        ("other_digest", "signature verified, but sha256:"),
        ("other_note", "looks under projects/p/notes/built"),
        ("tagged", "Expected digest with sha256 scheme"),
    ] {
        assert_eq!(seen[case][0], "ATTESTATION_NOT_VERIFIABLE", "{case}");
        assert!(seen[case][1].as_str().unwrap_or_default().contains(says), "{}", seen[case]);
    }
    refused(&seen["nobody"], "NotFound", "projects/p/attestors/none does not exist", &[]);
}

fn iam(seen: &Value) {
    for (resource, permission) in [
        ("policy", "binaryauthorization.policy.get"),
        ("attestor", "binaryauthorization.attestors.get"),
        ("beta", "binaryauthorization.attestors.get"),
        ("note", "containeranalysis.notes.get"),
    ] {
        let seen = &seen[resource];
        assert_eq!(seen["written"], json!([VIEWER, ["user:someone@example.com"]]));
        assert_eq!((&seen["read"], &seen["held"]), (&json!(true), &json!([permission])));
        refused(&seen["stale"], "Conflict", "was changed since it was read", &[]);
    }
    let fields = ["policy.bindings[0].role", "policy.bindings[0].members[0]"];
    refused(&seen["bad"], "BadRequest", "is no role", &fields);
}

fn key_versions(seen: &Value) {
    let name = |number: u8| format!("{KEY_VERSIONS}/{number}");
    assert_eq!(seen["public"], json!([name(1), "EC_SIGN_P256_SHA256", "SOFTWARE"]));
    assert_eq!(seen["version"], json!([name(1), "ENABLED", "EC_SIGN_P256_SHA256"]));
    assert_eq!((&seen["pem_crc32c"], &seen["der"]), (&json!(true), &json!(true)));
    assert_eq!((&seen["level"], &seen["attested"]), (&json!("SOFTWARE"), &json!("ATTESTATION")));
    assert_eq!(seen["data"], json!([true, 64, name(2)]));
    assert_eq!(seen["unchecked"], false, "no checksum was sent, so none was verified");
    for (case, says, field) in [
        ("corrupt_digest", "is not the CRC32C", "digestCrc32c"),
        ("corrupt_data", "is not the CRC32C", "dataCrc32c"),
        ("short", "31 bytes; a digest of sha256 has 32", "digest.sha256"),
        ("both", "send one of the two", "data"),
        ("neither", "nothing to sign", ""),
    ] {
        refused(&seen[case], "BadRequest", says, &[field]);
    }
    refused(&seen["wrong_hash"], "BadRequest", "send digest.sha256, not digest.sha384", &[]);
    refused(&seen["digest_of_ed25519"], "BadRequest", "takes the message: send data", &[]);
    refused(&seen["missing"], "NotFound", "cryptoKeyVersions/3 not found", &[]);
}
