//! Whole projects between stores: `hallmark export` and `hallmark import`.

use std::collections::BTreeMap;
use std::path::Path;

use hallmark_tests::daemon::{Daemon, hallmark};
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, World, assert_allowed, assert_denied, attest, attestor, decide, image, note,
    occurrence, policy, put_policy,
};
use serde_json::{Value, json};

use crate::cli::{failure, printed};

/// A project with something of everything, in shapes that are easily lost.
async fn full() -> World {
    let world = World::new().await;
    let client = world.client();
    let second = Key::shared("ED25519");
    attestor(client, "qa", &[(KEY_ID, &world.key), ("https://k/2", &second)]).await;
    let mut written = policy("REQUIRE_ATTESTATION", &["build", "qa"]);
    written["description"] = json!("true: # no comment\nsecond line");
    written["globalPolicyEvaluationMode"] = json!("DISABLE");
    written["admissionWhitelistPatterns"] =
        json!([{"namePattern": "*"}, {"namePattern": "r.example.com/1.0"}]);
    written["admissionWhitelistPatterns"] = json!([{"namePattern": "r.example.com/a/**"}]);
    written["clusterAdmissionRules"] = json!({
        "europe-west2.staging": {
            "evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "DRYRUN_AUDIT_LOG_ONLY",
        },
    });
    put_policy(client, &written).await;
    for seed in ["one", "two"] {
        world.attest(&image(seed)).await;
        attest(client, "qa", &image(seed), "https://k/2", &second).await;
    }
    let platform_policy = json!({"gkePolicy": {
        "imageAllowlist": {"allowPattern": "r.example.com/base/**"},
        "checkSets": [{"checks": [{"alwaysDeny": true, "displayName": "- never"}]}],
    }});
    let path = "/v1/projects/p/platforms/gke/policies?policyId=strict";
    client.post(path, &platform_policy).await.ok();
    let odd = json!({
        "vulnerability": {"shortDescription": "1e3", "cvssScore": 7.3, "severity": "HIGH"},
        "longDescription": "tab\t, quote \", snowman \u{2603}, - dash",
    });
    client.post("/v1/projects/p/notes?noteId=CVE-1", &odd).await.ok();
    let occurrence = json!({
        "resourceUri": "https://r.example.com/x", "noteName": "projects/p/notes/CVE-1",
        "vulnerability": {"cvssScore": 0.1, "packageIssue": [{"affectedPackage": "p"}]},
    });
    client.post("/v1/projects/p/occurrences", &occurrence).await.ok();
    for of in ["policy", "attestors/build", "notes/CVE-1"] {
        let role = "roles/binaryauthorization.attestorsViewer";
        let iam = json!({"policy": {"bindings": [
            {"role": role, "members": ["user:a@example.com", format!("group:{}", of.len())]},
        ]}});
        client.post(&format!("/v1/projects/p/{of}:setIamPolicy"), &iam).await.ok();
    }
    world
}

/// Runs a verb that prints JSON.
fn run(client: &hallmark_tests::client::Client, args: &[&str]) -> Value {
    let output = hallmark(client, &[args, &["--format=json"]].concat());
    serde_json::from_str(&printed(&output, 0)).expect("JSON")
}

/// Every file below a directory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).expect("reads") {
            let path = entry.expect("reads").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path).expect("reads"));
            }
        }
    }
    found
}

fn counts(created: usize, updated: usize, unchanged: usize) -> Value {
    json!({"created": created, "updated": updated, "unchanged": unchanged})
}

#[tokio::test]
async fn what_is_exported_imported_and_exported_again_is_the_same_byte_for_byte() {
    let world = full().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let to_first = ["export", "--to-dir", &first.to_string_lossy()];
    let exported = run(world.client(), &to_first);
    assert_eq!(exported["occurrences"], 5);
    let tree = files(&first);
    assert_eq!(tree.len(), 1 + 1 + 2 + 3 + 5 + 3, "{:?}", tree.keys());
    for text in tree.values() {
        let text = String::from_utf8_lossy(text);
        for member in ["etag", "updateTime", "createTime"] {
            assert!(!text.contains(member), "{member}: {text}");
        }
    }
    run(world.client(), &to_first);
    assert_eq!(files(&first), tree, "again is the same");

    let other = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(other.path());
    let import = ["import", "--from-dir", &first.to_string_lossy()];
    let imported = run(&daemon.client, &import);
    assert_eq!(
        (&imported["occurrences"], &imported["notes"], &imported["iamPolicies"]),
        (&counts(5, 0, 0), &counts(3, 0, 0), &counts(3, 0, 0))
    );
    run(&daemon.client, &["export", "--to-dir", &second.to_string_lossy()]);
    assert_eq!(files(&second), tree);
    for seed in ["one", "two"] {
        assert_allowed(&decide(&daemon.client, &[&image(seed)]).await, "ATTESTED");
    }
    assert_denied(&decide(&daemon.client, &[&image("three")]).await, "NOT_ATTESTED");
    let again = run(&daemon.client, &import);
    let all = [
        ("policy", 1),
        ("platformPolicies", 1),
        ("attestors", 2),
        ("notes", 3),
        ("occurrences", 5),
        ("iamPolicies", 3),
    ];
    for (collection, count) in all {
        assert_eq!(again[collection], counts(0, 0, count), "{collection}");
    }
}

/// The same files serve a daemon that reads files, and it exports the same again.
#[tokio::test]
async fn an_export_is_a_configuration_directory() {
    let world = full().await;
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("config");
    run(world.client(), &["export", "--to-dir", &config.to_string_lossy()]);
    let tree = files(&config);
    let daemon = Daemon::start_on_files(dir.path());
    assert_allowed(&decide(&daemon.client, &[&image("one")]).await, "ATTESTED");
    assert_denied(&decide(&daemon.client, &[&image("three")]).await, "NOT_ATTESTED");
    let again = dir.path().join("again");
    run(&daemon.client, &["export", "--to-dir", &again.to_string_lossy()]);
    assert_eq!(files(&again), tree);
    let import = ["import", "--from-dir", &config.to_string_lossy()];
    run(world.client(), &import);
    // Nothing differs, so a daemon that only reads has nothing to refuse; a change it refuses.
    run(&daemon.client, &import);
    let note = config.join("projects/p/notes/new.json");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&config, &elsewhere).expect("moves");
    std::fs::write(elsewhere.join("projects/p/notes/new.json"), r#"{"attestation": {}}"#)
        .expect("writes");
    let import = ["import", "--from-dir", &elsewhere.to_string_lossy()];
    let refused = failure(&hallmark(&daemon.client, &import));
    assert!(refused.contains("new.json: projects/p/notes/new"), "{refused}");
    assert!(!note.exists());
}

#[tokio::test]
async fn an_import_goes_on_where_it_stopped_and_takes_over_what_differs() {
    let world = full().await;
    let dir = tempfile::tempdir().expect("a directory");
    run(world.client(), &["export", "--to-dir", &dir.path().to_string_lossy()]);
    let other = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(other.path());
    let client = &daemon.client;
    // The remains of an interrupted import: some notes, an attestor that differs, no policy.
    let older = json!({"attestation": {"hint": {"humanReadableName": "older"}}});
    client.post("/v1/projects/p/notes?noteId=build", &older).await.ok();
    note(client, "CVE-1").await;
    attestor(client, "qa", &[("https://k/old", &Key::shared("ED25519"))]).await;
    let import = ["import", "--from-dir", &dir.path().to_string_lossy()];
    let refused = failure(&hallmark(client, &import));
    assert!(refused.contains("CVE-1.json: projects/p/notes/CVE-1"), "its kind differs: {refused}");
    client.delete("/v1/projects/p/notes/CVE-1").await.ok();
    let imported = run(client, &import);
    assert_eq!(imported["notes"], counts(1, 1, 1));
    assert_eq!(imported["attestors"], counts(1, 1, 0));
    assert_allowed(&decide(client, &[&image("one")]).await, "ATTESTED");

    put_policy(client, &policy("ALWAYS_ALLOW", &[])).await;
    let changed = json!({"gkePolicy": {}});
    client.put("/v1/projects/p/platforms/gke/policies/strict", &changed).await.ok();
    let nobody = json!({"policy": {"bindings": [
        {"role": "roles/binaryauthorization.policyViewer", "members": ["user:b@example.com"]},
    ]}});
    client.post("/v1/projects/p/notes/CVE-1:setIamPolicy", &nobody).await.ok();
    let imported = run(client, &import);
    assert_eq!(imported["policy"], counts(0, 1, 0));
    assert_eq!(imported["platformPolicies"], counts(0, 1, 0));
    assert_eq!(imported["iamPolicies"], counts(0, 1, 2));
    assert_denied(&decide(client, &[&image("three")]).await, "NOT_ATTESTED");
}

/// Also if a project without a policy is allowed everything, as by Google's service.
#[tokio::test]
async fn a_project_stays_denied_until_its_policy_is_in_force() {
    for (toml, meanwhile) in
        [("", "POLICY_NOT_WRITTEN"), ("projects.without_policy = 'allow'", "ALWAYS_DENY")]
    {
        stays_denied_until_its_policy_is_in_force(toml, meanwhile).await;
    }
}

async fn stays_denied_until_its_policy_is_in_force(toml: &str, meanwhile: &str) {
    let world = full().await;
    let dir = tempfile::tempdir().expect("a directory");
    run(world.client(), &["export", "--to-dir", &dir.path().to_string_lossy()]);
    // The import fails half-way: an occurrence of a note that is not there.
    let astray = json!({
        "resourceUri": "r.example.com/x", "noteName": "projects/q/notes/none",
        "attestation": {"serializedPayload": "e30=", "signatures": [
            {"publicKeyId": KEY_ID, "signature": "e30="},
        ]},
    });
    let file = dir.path().join("projects/p/occurrences/astray.json");
    std::fs::write(&file, astray.to_string()).expect("writes");
    let other = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start_configured(other.path(), toml);
    let import = ["import", "--from-dir", &dir.path().to_string_lossy()];
    let refused = failure(&hallmark(&daemon.client, &import));
    assert!(refused.contains("astray.json: projects/p/occurrences/astray"), "{refused}");
    assert!(refused.contains("projects/q/notes/none"), "{refused}");
    assert_denied(&decide(&daemon.client, &[&image("one")]).await, meanwhile);
    std::fs::remove_file(&file).expect("removes");
    run(&daemon.client, &import);
    assert_allowed(&decide(&daemon.client, &[&image("one")]).await, "ATTESTED");
}

/// A project whose attestor, policy and attestations lean on another project.
#[tokio::test]
async fn an_export_says_what_it_leaves_out() {
    let world = World::new().await;
    let client = world.client();
    world.attest(&image("one")).await;
    let export = |project: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().to_string_lossy().into_owned();
        let exported = run(client, &["export", "--to-dir", &to, "--project", project]);
        let left_out = exported["leftOut"].as_array().expect("a list").clone();
        left_out.iter().map(|one| one.as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(export("p"), [""; 0]);

    let under = json!({"userOwnedGrafeasNote": {"noteReference": "projects/p/notes/build"}});
    client.post("/v1/projects/q/attestors?attestorId=a", &under).await.ok();
    let occurrence = occurrence("build", &image("two"), b"{}", KEY_ID, b"x");
    client.post("/v1/projects/q/occurrences", &occurrence).await.ok();
    let says = export("q");
    assert!(says[0].starts_with("no policy was written"), "{says:?}");
    assert!(says[1].contains("projects/p/notes/build"), "{says:?}");
    let mut requires = policy("REQUIRE_ATTESTATION", &["build"]);
    requires["defaultAdmissionRule"]["requireAttestationsBy"] =
        json!(["projects/p/attestors/build"]);
    requires["name"] = json!("projects/q/policy");
    client.put("/v1/projects/q/policy", &requires).await.ok();
    let says = export("q");
    assert!(says.iter().any(|one| one.contains("projects/p/attestors/build")), "{says:?}");
    let says = export("p");
    assert!(says[0].starts_with("1 occurrences of other projects"), "{says:?}");
    assert!(says[0].ends_with(": q"), "{says:?}");
}

#[tokio::test]
async fn what_cannot_be_exported_or_imported_is_said_with_its_file() {
    let world = full().await;
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().to_string_lossy();
    let nothing = failure(&hallmark(world.client(), &["export", "--to-dir", &at, "--project=q"]));
    assert!(nothing.contains("project q holds nothing"), "{nothing}");
    let nothing = failure(&hallmark(world.client(), &["import", "--from-dir", &at]));
    assert!(nothing.contains(&*at), "{nothing}");

    run(world.client(), &["export", "--to-dir", &at]);
    let empty = ["import", "--from-dir", &at, "--project=q"];
    let empty = failure(&hallmark(world.client(), &empty));
    assert!(empty.contains("projects/q holds nothing"), "{empty}");
    let stray = dir.path().join("projects/p/attestors/stray.yaml");
    std::fs::write(&stray, "name: projects/p/attestors/a\ntypo: 1\n").expect("writes");
    let refused = failure(&hallmark(world.client(), &["export", "--to-dir", &at]));
    assert!(refused.contains("attestors/stray.yaml"), "{refused}");
    let refused = failure(&hallmark(world.client(), &["import", "--from-dir", &at]));
    assert!(refused.contains("stray.yaml: line 2: typo"), "{refused}");
}
