//! Google's API: policies and attestors of Binary Authorization, notes and occurrences of
//! Container Analysis.

use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, World, attestor, attestor_body, digest, image, note, occurrence, payload, policy, rule,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A daemon with nothing in it.
fn empty() -> (TempDir, Daemon) {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    (dir, daemon)
}

/// Percent-encodes a query value.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_new_project_has_a_policy_that_denies_and_googles_if_that_was_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    for (toml, mode, system) in [
        ("", "ALWAYS_DENY", "DISABLE"),
        ("projects.without_policy = 'deny'", "ALWAYS_DENY", "DISABLE"),
        ("projects.without_policy = 'allow'", "ALWAYS_ALLOW", "ENABLE"),
    ] {
        let daemon = Daemon::start_configured(dir.path(), toml);
        for version in ["v1", "v1beta1"] {
            let policy = daemon.client.get(&format!("/{version}/projects/new/policy")).await.ok();
            assert_eq!(policy["name"], "projects/new/policy");
            assert_eq!(policy["globalPolicyEvaluationMode"], system, "{toml}");
            let rule = &policy["defaultAdmissionRule"];
            assert_eq!(rule["evaluationMode"], mode, "{toml}");
            assert_eq!(rule["enforcementMode"], "ENFORCED_BLOCK_AND_AUDIT_LOG");
            let says = policy["description"].as_str().unwrap_or_default();
            assert_eq!(says.contains("hallmark policy import"), mode == "ALWAYS_DENY", "{policy}");
        }
    }
}

#[tokio::test]
async fn a_policy_is_given_back_as_it_was_put() {
    let world = World::new().await;
    let client = world.client();
    let mut put = policy("REQUIRE_ATTESTATION", &["build"]);
    put["description"] = json!("as it was put");
    put["globalPolicyEvaluationMode"] = json!("DISABLE");
    put["admissionWhitelistPatterns"] = json!([{"namePattern": "a.example/x/*"}]);
    put["clusterAdmissionRules"] = json!({"l.c": rule("ALWAYS_DENY", &[])});
    let answered = client.put("/v1/projects/p/policy", &put).await.ok();
    let got = client.get("/v1/projects/p/policy").await.ok();
    assert_eq!(answered, got);
    for member in
        put.as_object().expect("an object").keys().filter(|name| *name != "clusterAdmissionRules")
    {
        assert_eq!(got[member], put[member], "{member}");
    }
    assert_eq!(got["clusterAdmissionRules"]["l.c"]["evaluationMode"], "ALWAYS_DENY");
    assert!(got["etag"].as_str().is_some_and(|etag| etag.starts_with('"')), "{got:#}");
    assert!(got["updateTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{got:#}");
    // The name is the URL's: the body may leave it out, and may not say another.
    let mut elsewhere = policy("ALWAYS_ALLOW", &[]);
    elsewhere["name"] = json!("projects/elsewhere/policy");
    let refused = client.put("/v1/projects/p/policy", &elsewhere).await;
    let message = refused.refused(400, "INVALID_ARGUMENT");
    assert!(message.contains("name: is not projects/p/policy"), "{message}");
    assert_eq!(client.get("/v1/projects/p/policy").await.ok(), got, "nothing was written");
    elsewhere.as_object_mut().expect("an object").remove("name");
    let answered = client.put("/v1/projects/p/policy", &elsewhere).await.ok();
    assert_eq!(answered["name"], "projects/p/policy");
    assert_eq!(answered["defaultAdmissionRule"]["evaluationMode"], "ALWAYS_ALLOW");
}

#[tokio::test]
async fn an_etag_protects_from_overwriting_what_was_not_read() {
    let world = World::new().await;
    let client = world.client();
    for path in ["/v1/projects/p/policy", "/v1/projects/p/attestors/build"] {
        let read = client.get(path).await.ok();
        let mut mine = read.clone();
        mine["description"] = json!("mine");
        let first = client.put(path, &mine).await.ok();
        assert_ne!(first["etag"], read["etag"]);
        let mut yours = read.clone();
        yours["description"] = json!("yours");
        client.put(path, &yours).await.refused(409, "ABORTED");
        assert_eq!(client.get(path).await.ok()["description"], "mine");
        // Without an etag nothing is asked; with the current one it goes through.
        yours["etag"] = first["etag"].clone();
        client.put(path, &yours).await.ok();
        mine["etag"] = json!("");
        client.put(path, &mine).await.ok();
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_is_refused_with_the_path_of_its_fault() {
    let world = World::new().await;
    let with = |change: fn(&mut Value)| {
        let mut policy = policy("REQUIRE_ATTESTATION", &["build"]);
        change(&mut policy);
        policy
    };
    for (body, path) in [
        (
            with(|p| p["defaultAdmissionRule"]["evaluationMode"] = json!("MAYBE")),
            "defaultAdmissionRule.evaluationMode",
        ),
        (
            with(|p| {
                p["defaultAdmissionRule"]["evaluationMode"] = json!("EVALUATION_MODE_UNSPECIFIED")
            }),
            "defaultAdmissionRule.evaluationMode",
        ),
        (
            with(|p| p["defaultAdmissionRule"]["enforcementMode"] = json!(17)),
            "defaultAdmissionRule.enforcementMode",
        ),
        (
            with(|p| p["defaultAdmissionRule"]["requireAttestationsBy"] = json!([])),
            "requireAttestationsBy",
        ),
        (
            with(|p| {
                p["defaultAdmissionRule"]["requireAttestationsBy"] =
                    json!(["projects/p/attestors/none"])
            }),
            "defaultAdmissionRule.requireAttestationsBy[0]",
        ),
        (
            with(|p| p["defaultAdmissionRule"]["requireAttestationsBy"] = json!(["build"])),
            "requireAttestationsBy[0]",
        ),
        (with(|p| p["defaultAdmissionRule"]["typo"] = json!(1)), "typo"),
        (with(|p| p["defaultAdmissionRule"] = Value::Null), "defaultAdmissionRule"),
        (
            with(|p| p["admissionWhitelistPatterns"] = json!([{"namePattern": "a/*/b"}])),
            "admissionWhitelistPatterns[0].namePattern",
        ),
        (
            with(|p| {
                p["clusterAdmissionRules"] = json!({"l.c": {"evaluationMode": "ALWAYS_ALLOW"}})
            }),
            "clusterAdmissionRules",
        ),
        (json!([]), "line 1"),
        (json!({}), "defaultAdmissionRule"),
    ] {
        let answer = world.client().put("/v1/projects/p/policy", &body).await;
        let message = answer.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(path), "{path}: {message}");
    }
}

#[tokio::test]
async fn an_attestor_lives_from_create_to_delete() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    let key = Key::shared("ECDSA_P256_SHA256");
    attestor(client, "a", &[(KEY_ID, &key)]).await;
    let one = "/v1/projects/p/attestors/a";
    let got = client.get(one).await.ok();
    assert_eq!(got["name"], "projects/p/attestors/a");
    assert_eq!(got["userOwnedGrafeasNote"]["noteReference"], "projects/p/notes/a");
    assert_eq!(got["userOwnedGrafeasNote"]["publicKeys"][0]["id"], KEY_ID);

    let create = "/v1/projects/p/attestors?attestorId=a";
    let taken = client.post(create, &attestor_body("a", &[])).await;
    assert!(taken.refused(409, "ALREADY_EXISTS").contains("projects/p/attestors/a"));
    let mut moved = got.clone();
    moved["userOwnedGrafeasNote"]["noteReference"] = json!("projects/p/notes/other");
    let message = client.put(one, &moved).await.refused(400, "INVALID_ARGUMENT");
    assert!(message.contains("noteReference"), "{message}");

    client.put(one, &attestor_body("a", &[])).await.ok();
    let keys = client.get(one).await.ok()["userOwnedGrafeasNote"]["publicKeys"].take();
    assert!(keys.as_array().is_none_or(Vec::is_empty), "{keys}");
    assert_eq!(client.delete(one).await.ok(), json!({}));
    for answer in [
        client.get(one).await,
        client.put(one, &attestor_body("a", &[])).await,
        client.delete(one).await,
    ] {
        assert!(answer.refused(404, "NOT_FOUND").contains("projects/p/attestors/a"));
    }
}

#[tokio::test]
async fn an_attestor_that_cannot_be_is_refused_with_the_path_of_its_fault() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let key = Key::shared("ECDSA_P256_SHA256");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = attestor_body("n", &[(KEY_ID, &key), ("https://k/2", &key)]);
        change(&mut body["userOwnedGrafeasNote"]);
        body
    };
    let pem = key.public_pem.replace("MFkw", "MFkx");
    for (body, path) in [
        (with(&|n| n["publicKeys"][1]["id"] = json!(KEY_ID)), "userOwnedGrafeasNote.publicKeys[1]"),
        (with(&|n| n["publicKeys"][1]["id"] = json!("not a uri")), "publicKeys[1].id"),
        (
            with(&|n| n["publicKeys"][1]["pkixPublicKey"]["publicKeyPem"] = json!(pem)),
            "publicKeys[1].pkixPublicKey",
        ),
        (
            with(&|n| n["publicKeys"][1]["pkixPublicKey"]["publicKeyPem"] = json!("")),
            "publicKeys[1].pkixPublicKey.publicKeyPem",
        ),
        (
            with(&|n| n["publicKeys"][1]["pkixPublicKey"]["publicKeyPem"] = json!(key.private_pem)),
            "publicKeys[1].pkixPublicKey",
        ),
        (
            with(&|n| n["publicKeys"][1]["pkixPublicKey"]["keyId"] = json!("other")),
            "publicKeys[1].pkixPublicKey.keyId",
        ),
        (with(&|n| n["publicKeys"][1] = json!({"id": "plain"})), "publicKeys[1]"),
        (with(&|n| n["publicKeys"][1] = json!({"id": "acmekms://k/1"})), "publicKeys[1].id"),
        (with(&|n| n["noteReference"] = json!("n")), "noteReference"),
        (with(&|n| *n = Value::Null), "userOwnedGrafeasNote"),
    ] {
        let answer = client.post("/v1/projects/p/attestors?attestorId=n", &body).await;
        let message = answer.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(path), "{path}: {message}");
    }
    let missing = client.post("/v1/projects/p/attestors", &with(&|_| ())).await;
    assert!(missing.refused(400, "INVALID_ARGUMENT").contains("attestorId"));
    let illegal = client.post("/v1/projects/p/attestors?attestorId=a%2Fb", &with(&|_| ())).await;
    illegal.refused(400, "INVALID_ARGUMENT");
}

/// Tools of the beta track speak of Drydock.
#[tokio::test]
async fn v1beta1_has_its_own_field_names() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    let key = Key::shared("ECDSA_P256_SHA256");
    attestor(client, "a", &[(KEY_ID, &key)]).await;
    let mut body = client.get("/v1beta1/projects/p/attestors/a").await.ok();
    assert_eq!(body["userOwnedDrydockNote"]["noteReference"], "projects/p/notes/a");
    assert_eq!(body["userOwnedGrafeasNote"], Value::Null);
    body["description"] = json!("beta");
    client.put("/v1beta1/projects/p/attestors/a", &body).await.ok();
    assert_eq!(client.get("/v1/projects/p/attestors/a").await.ok()["description"], "beta");
    let listed = client.get("/v1beta1/projects/p/attestors").await.ok();
    assert!(listed["attestors"][0]["userOwnedDrydockNote"].is_object(), "{listed:#}");
}

#[tokio::test]
async fn a_thousand_keys_are_the_limit_of_an_attestor() {
    let (_dir, daemon) = empty();
    note(&daemon.client, "n").await;
    let key = Key::shared("ECDSA_P256_SHA256");
    let ids: Vec<_> = (0..=1_000).map(|n| format!("https://k/{n}")).collect();
    let keys: Vec<_> = ids.iter().map(|id| (id.as_str(), &key)).collect();
    let create = "/v1/projects/p/attestors?attestorId=n";
    let answer = daemon.client.post(create, &attestor_body("n", &keys)).await;
    assert!(answer.refused(400, "INVALID_ARGUMENT").contains("1000"));
    daemon.client.post(create, &attestor_body("n", &keys[1..])).await.ok();
}

#[tokio::test]
async fn two_hundred_attestors_are_the_limit_of_a_project() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let mut body = attestor_body("n", &[]);
    for number in 0..200 {
        body["name"] = json!(format!("projects/p/attestors/a{number:03}"));
        client.post(&format!("/v1/projects/p/attestors?attestorId=a{number:03}"), &body).await.ok();
    }
    body["name"] = json!("projects/p/attestors/more");
    let answer = client.post("/v1/projects/p/attestors?attestorId=more", &body).await;
    answer.refused(429, "RESOURCE_EXHAUSTED");

    for size in [7, 100, 1_000] {
        let listed = client.list("/v1/projects/p/attestors", "attestors", size).await;
        let names: Vec<_> =
            listed.iter().map(|one| one["name"].as_str().expect("a name")).collect();
        let expected: Vec<_> = (0..200).map(|n| format!("projects/p/attestors/a{n:03}")).collect();
        assert_eq!(names, expected, "pages of {size}");
    }
}

#[tokio::test]
async fn pages_cannot_be_mixed_up() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    for id in ["a", "b", "c"] {
        attestor(client, id, &[]).await;
    }
    let page = client.get("/v1/projects/p/attestors?pageSize=1").await.ok();
    let token = page["nextPageToken"].as_str().expect("there is more");
    let other = client.get(&format!("/v1/projects/q/attestors?pageSize=1&pageToken={token}")).await;
    assert!(other.refused(400, "INVALID_ARGUMENT").contains("pageToken"));
    for (query, says) in
        [("pageToken=x", "pageToken"), ("pageSize=-1", "pageSize"), ("pageSize=many", "pageSize")]
    {
        let answer = client.get(&format!("/v1/projects/p/attestors?{query}")).await;
        let message = answer.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(client.get("/v1/projects/empty/attestors").await.ok(), json!({}));
}

#[tokio::test]
async fn a_note_is_created_once_and_read() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let got = client.get("/v1/projects/p/notes/n").await.ok();
    assert_eq!((&got["name"], &got["kind"]), (&json!("projects/p/notes/n"), &json!("ATTESTATION")));
    assert_eq!(got["attestation"]["hint"]["humanReadableName"], "n");
    let body = json!({"attestation": {"hint": {"humanReadableName": "again"}}});
    client.post("/v1/projects/p/notes?noteId=n", &body).await.refused(409, "ALREADY_EXISTS");
    client.get("/v1/projects/p/notes/none").await.refused(404, "NOT_FOUND");
    client.post("/v1/projects/p/notes?noteId=m", &json!({})).await.refused(400, "INVALID_ARGUMENT");
}

/// An occurrence of `note` for an image, told apart by its signature.
fn filed(note: &str, image: &str, mark: &str) -> Value {
    occurrence(note, image, &payload(image), KEY_ID, mark.as_bytes())
}

#[tokio::test]
async fn an_occurrence_lives_from_create_to_delete() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let body = filed("n", &image("x"), "mark");
    let created = client.post("/v1/projects/p/occurrences", &body).await.ok();
    let name = created["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("projects/p/occurrences/"), "{name}");
    let got = client.get(&format!("/v1/{name}")).await.ok();
    assert_eq!(got, created);
    for member in ["resourceUri", "noteName", "attestation"] {
        assert_eq!(got[member], body[member]);
    }
    assert_eq!(got["kind"], "ATTESTATION");
    assert!(got["createTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{got:#}");

    // Google's tools know this answer: the same attestation exists.
    let again = client.post("/v1/projects/p/occurrences", &body).await;
    let message = again.refused(409, "ALREADY_EXISTS");
    let id = name.rsplit('/').next().expect("an id");
    assert!(message.contains("occurrence ID") && message.contains(id), "{message}");

    client.delete(&format!("/v1/{name}")).await.ok();
    client.get(&format!("/v1/{name}")).await.refused(404, "NOT_FOUND");
    client.delete(&format!("/v1/{name}")).await.refused(404, "NOT_FOUND");
    client.post("/v1/projects/p/occurrences", &body).await.ok();
}

#[tokio::test]
async fn an_occurrence_that_cannot_be_is_refused_with_the_path_of_its_fault() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = filed("n", &image("x"), "mark");
        change(&mut body);
        body
    };
    let many = vec![json!({"publicKeyId": "k", "signature": "AAAA"}); 1_001];
    let long = "A".repeat(100_000);
    for (body, path) in [
        (
            with(&|o| o["attestation"]["serializedPayload"] = json!("***")),
            "attestation.serializedPayload",
        ),
        (
            with(&|o| o["attestation"]["serializedPayload"] = json!(long)),
            "attestation.serializedPayload",
        ),
        (with(&|o| o["attestation"]["signatures"] = json!([])), "attestation"),
        (with(&|o| o["attestation"]["signatures"] = json!(many)), "attestation"),
        (
            with(&|o| o["attestation"]["signatures"][0]["signature"] = json!("?")),
            "attestation.signatures[0].signature",
        ),
        (with(&|o| o["resourceUri"] = json!("")), "resourceUri"),
        (with(&|o| o["resourceUri"] = json!("a b")), "resourceUri"),
        (with(&|o| o["noteName"] = json!("n")), "noteName"),
        (with(&|o| o["kind"] = json!("BUILD")), "kind"),
        (with(&|o| o["vulnerability"] = json!({})), "attestation"),
        (with(&|o| o["attestation"] = Value::Null), "body"),
    ] {
        let answer = client.post("/v1/projects/p/occurrences", &body).await;
        let message = answer.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(path), "{path}: {message}");
    }
    let unknown = with(&|o| o["noteName"] = json!("projects/p/notes/none"));
    let answer = client.post("/v1/projects/p/occurrences", &unknown).await;
    assert!(answer.refused(404, "NOT_FOUND").contains("projects/p/notes/none"));
}

#[tokio::test]
async fn a_batch_is_created_whole_or_not_at_all() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let path = "/v1/projects/p/occurrences:batchCreate";
    let batch = |marks: &[&str]| {
        let one = |mark: &&str| filed("n", &image(mark), mark);
        json!({"occurrences": marks.iter().map(one).collect::<Vec<_>>()})
    };
    let created = client.post(path, &batch(&["1", "2", "3"])).await.ok();
    assert_eq!(created["occurrences"].as_array().map(Vec::len), Some(3));
    assert_eq!(created["occurrences"][1]["resourceUri"], format!("https://{}", image("2")));

    client.post(path, &batch(&["4", "2", "5"])).await.refused(409, "ALREADY_EXISTS");
    client.post(path, &batch(&["6", "6"])).await.refused(409, "ALREADY_EXISTS");
    let mut bad = batch(&["7", "8"]);
    bad["occurrences"][1]["noteName"] = json!("projects/p/notes/none");
    client.post(path, &bad).await.refused(404, "NOT_FOUND");
    bad["occurrences"][1]["noteName"] = json!("none");
    let message = client.post(path, &bad).await.refused(400, "INVALID_ARGUMENT");
    assert!(message.contains("occurrences[1].noteName"), "{message}");
    client.post(path, &json!({"occurrences": []})).await.refused(400, "INVALID_ARGUMENT");
    assert_eq!(resources(client, "").await, sorted(["1", "2", "3"].map(image)));

    let most: Vec<_> = (0..1_001).map(|n| filed("n", &image(&format!("b{n}")), "m")).collect();
    let answer = client.post(path, &json!({"occurrences": most})).await;
    assert!(answer.refused(400, "INVALID_ARGUMENT").contains("1000"));
    client.post(path, &json!({"occurrences": most[1..]})).await.ok();
    let listed = client.list("/v1/projects/p/occurrences", "occurrences", 300).await;
    assert_eq!(listed.len(), 1_003);
}

/// The images of the occurrences that a filter finds, sorted, over pages of two.
async fn resources(client: &Client, filter: &str) -> Vec<String> {
    let path = format!("/v1/projects/p/occurrences?filter={}", encoded(filter));
    let listed = client.list(&path, "occurrences", 2).await;
    sorted(listed.iter().map(|one| {
        let uri = one["resourceUri"].as_str().expect("a URI");
        uri.trim_start_matches("https://").to_owned()
    }))
}

fn sorted(images: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut images: Vec<_> = images.into_iter().collect();
    images.sort();
    images
}

#[tokio::test]
async fn occurrences_are_found_by_googles_filters() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    for id in ["n", "m"] {
        note(client, id).await;
    }
    let [a, b, c] = ["a", "b", "c"].map(image);
    for (note, image) in [("n", &a), ("n", &b), ("m", &c)] {
        client.post("/v1/projects/p/occurrences", &filed(note, image, "mark")).await.ok();
    }
    let build = json!({
        "resourceUri": format!("https://{a}x"), "noteName": "projects/p/notes/builds", "build": {},
    });
    let kind = json!({"build": {"builderVersion": "1"}});
    client.post("/v1/projects/p/notes?noteId=builds", &kind).await.ok();
    client.post("/v1/projects/p/occurrences", &build).await.ok();

    let by_digest = format!("has_suffix(resourceUrl, \"{}\")", digest("b"));
    for (filter, expected) in [
        (r#"kind="ATTESTATION""#.to_owned(), vec![&a, &b, &c]),
        (by_digest.clone(), vec![&b]),
        (format!(r#"{by_digest} AND kind="ATTESTATION""#), vec![&b]),
        (format!(r#"kind="BUILD" AND {by_digest}"#), vec![]),
        (format!("resourceUrl=\"https://{c}\""), vec![&c]),
        (format!("resourceUrl=\"{c}\" AND kind=\"ATTESTATION\""), vec![&c]),
        (r#"noteProjectId="p" AND noteId="m""#.to_owned(), vec![&c]),
        (r#"resourceUrl="https://none.example/x""#.to_owned(), vec![]),
    ] {
        let expected = sorted(expected.into_iter().cloned());
        assert_eq!(resources(client, &filter).await, expected, "{filter}");
    }
    let all = client.list("/v1/projects/p/occurrences", "occurrences", 3).await;
    assert_eq!(all.len(), 4);
    let of_note = client.list("/v1/projects/p/notes/n/occurrences", "occurrences", 1).await;
    assert_eq!(of_note.len(), 2);
    let filter = encoded(&by_digest);
    let path = format!("/v1/projects/p/notes/m/occurrences?filter={filter}");
    assert_eq!(client.get(&path).await.ok(), json!({}));
    client.get("/v1/projects/p/notes/none/occurrences").await.refused(404, "NOT_FOUND");

    for filter in [
        "kind=",
        "kind!=\"BUILD\"",
        "resourceUrl=\"x",
        "color=\"red\"",
        "kind=\"A\" OR kind=\"B\"",
        "contains(resourceUrl, \"x\")",
        "noteId=\"n\"",
    ] {
        let path = format!("/v1/projects/p/occurrences?filter={}", encoded(filter));
        client.get(&path).await.refused(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn projects_do_not_see_each_other() {
    let world = World::new().await;
    let client = world.client();
    world.attest(&image("x")).await;
    for (path, member) in
        [("/v1/projects/q/attestors", "attestors"), ("/v1/projects/q/occurrences", "occurrences")]
    {
        assert!(client.list(path, member, 100).await.is_empty(), "{path}");
    }
    client.get("/v1/projects/q/attestors/build").await.refused(404, "NOT_FOUND");
    client.get("/v1/projects/q/notes/build").await.refused(404, "NOT_FOUND");
    // Evidence filed by another project under the note counts: it is the key that vouches.
    let other = image("filed elsewhere");
    let bytes = payload(&other);
    let elsewhere = occurrence("build", &other, &bytes, KEY_ID, &world.key.sign(&bytes));
    client.post("/v1/projects/ci/occurrences", &elsewhere).await.ok();
    let decision = hallmark_tests::project::decide(client, &[&other]).await;
    hallmark_tests::project::assert_allowed(&decision, "ATTESTED");
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_refused_in_googles_form() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    client.get("/v2/projects/p/policy").await.refused(404, "NOT_FOUND");
    client.get("/v1/projects/p/attestors/a/b").await.refused(404, "NOT_FOUND");
    client.delete("/v1/projects/p/policy").await.refused(405, "UNIMPLEMENTED");
    client.get("/v1/decisions").await.refused(405, "UNIMPLEMENTED");
    client.get("/v1/projects/a%20b/policy").await.refused(400, "INVALID_ARGUMENT");
    client.get("/v1/projects/..%2Fx/policy").await.refused(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn the_system_policy_is_shown() {
    let (_dir, daemon) = empty();
    let policy = daemon.client.get("/v1/locations/global/policy").await.ok();
    assert_eq!(policy["name"], "locations/global/policy");
    let patterns = policy["admissionWhitelistPatterns"].as_array().expect("patterns");
    assert!(patterns.contains(&json!({"namePattern": "registry.k8s.io/**"})), "{patterns:?}");
}
