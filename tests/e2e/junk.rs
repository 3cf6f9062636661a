//! Junk beside good attestations: it denies nothing, costs its writer a refusal, and does not make
//! decisions large.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::audit::last_record;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, World, assert_allowed, assert_denied, attestor_body, decide, file, image, occurrence,
    payload, policy, put_policy,
};
use http::Method;
use serde_json::{Value, json};

/// Signatures that anybody who may attach can file for one note and digest.
const SIGNATURES_MAX: usize = 1_000;

/// An attestation of `image` with so many signatures that nobody made, under one id.
fn junk(image: &str, key_id: &str, count: usize) -> Value {
    let mut junk = occurrence("build", image, &payload(image), key_id, b"junk");
    let signature = junk["attestation"]["signatures"][0].clone();
    junk["attestation"]["signatures"] = vec![signature; count].into();
    junk
}

/// The good attestation of `image` by `key`, filed for `tag` of it.
fn good(world: &World, image: &str, tag: &str) -> Value {
    let payload = payload(image);
    let tagged = image.replacen('@', &format!(":{tag}@"), 1);
    occurrence("build", &tagged, &payload, KEY_ID, &world.key.sign(&payload))
}

async fn refused_for_limit(client: &Client, occurrence: &Value) -> String {
    let answer = client.post("/v1/projects/p/occurrences", occurrence).await;
    let error = answer.refused(429, "RESOURCE_EXHAUSTED");
    assert!(error.contains("the limit is 1000"), "{error}");
    error
}

#[tokio::test]
async fn junk_keeps_no_good_attestation_out_whatever_id_it_names() {
    let world = World::new().await;
    let client = world.client();
    let upper = KEY_ID.to_uppercase();
    for (name, id) in [("unknown", "https://nobody"), ("known", KEY_ID), ("upper", &upper)] {
        let image = image(name);
        file(client, &junk(&image, id, SIGNATURES_MAX)).await;
        assert_denied(&decide(client, &[&image]).await, "NOT_ATTESTED");
        let error = refused_for_limit(client, &junk(&image, "https://one-more", 1)).await;
        assert!(error.contains("signatures of sha256:"), "{error}");
        world.attest(&image).await;
        assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    }
}

#[tokio::test]
async fn a_good_attestation_stays_good_when_junk_comes_after_it() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("before"));
    world.attest(&image).await;
    for number in 0..SIGNATURES_MAX - 1 {
        if number % 333 == 0 {
            file(client, &junk(&image, &format!("https://junk/{number}"), 333)).await;
        }
    }
    // A good signature is not counted: there is room for one more.
    file(client, &junk(&image, "https://junk/last", 1)).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    refused_for_limit(client, &junk(&image, KEY_ID, 1)).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

/// Whoever may write into a project may make notes elsewhere, as many as they like.
#[tokio::test]
async fn junk_under_many_notes_of_a_project_keeps_nothing_out() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("notes"));
    for note in 0..5 {
        let note = format!("n{note}");
        hallmark_tests::project::note(client, &note).await;
        let mut junk = junk(&image, KEY_ID, SIGNATURES_MAX);
        junk["noteName"] = json!(format!("projects/p/notes/{note}"));
        let answer = client.post("/v1/projects/p/occurrences", &junk).await;
        if note != "n4" {
            answer.ok();
            continue;
        }
        let error = answer.refused(429, "RESOURCE_EXHAUSTED");
        assert!(error.contains("in projects/p") && error.contains("limit is 4000"), "{error}");
    }
    world.attest(&image).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

#[tokio::test]
async fn many_good_attestations_of_one_digest_go_on_allowing() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("tags"));
    let all: Vec<_> = (0..1_000).map(|tag| good(&world, &image, &tag.to_string())).collect();
    let path = "/v1/projects/p/occurrences:batchCreate";
    client.post(path, &json!({"occurrences": all})).await.ok();
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    // The signature is that of the others: one more is taken for it, no variant beyond.
    file(client, &good(&world, &image, "1000")).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    refused_for_limit(client, &good(&world, &image, "1001")).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

/// A key that fills its own reserve takes nothing from the key of another attestor of the note.
#[tokio::test]
async fn variants_of_what_is_good_keep_no_other_key_out() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("two keys"));
    let other = Key::generate("ECDSA_P384_SHA384");
    let second = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/build",
        "publicKeys": [{"id": "https://k/other", "pkixPublicKey": {
            "publicKeyPem": other.public_pem, "signatureAlgorithm": "ECDSA_P384_SHA384",
        }}],
    }});
    client.post("/v1/projects/p/attestors?attestorId=second", &second).await.ok();
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["build", "second"])).await;

    let all: Vec<_> = (0..1_000).map(|tag| good(&world, &image, &tag.to_string())).collect();
    let path = "/v1/projects/p/occurrences:batchCreate";
    client.post(path, &json!({"occurrences": all})).await.ok();
    file(client, &good(&world, &image, "1000")).await;
    assert_denied(&decide(client, &[&image]).await, "NOT_ATTESTED");
    let payload = payload(&image);
    let signature = other.sign(&payload);
    file(client, &occurrence("build", &image, &payload, "https://k/other", &signature)).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

#[tokio::test]
async fn a_change_that_would_pass_a_limit_is_refused() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("patched"));
    file(client, &junk(&image, KEY_ID, SIGNATURES_MAX - 1)).await;
    let name = file(client, &junk(&image, "https://small", 1)).await;
    let larger = junk(&image, "https://large", 2)["attestation"].clone();
    let path = format!("/v1/{name}?updateMask=attestation");
    let body = json!({"attestation": larger}).to_string();
    let answer = client.call(Method::PATCH, &path, "application/json", body.into()).await;
    answer.refused(429, "RESOURCE_EXHAUSTED");
    world.attest(&image).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

#[tokio::test]
async fn a_key_id_has_an_end() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("ids"));
    file(client, &junk(&image, &"k".repeat(2_048), 1)).await;
    let long = junk(&image, &"k".repeat(2_049), 1);
    let error = client.post("/v1/projects/p/occurrences", &long).await;
    let error = error.refused(400, "INVALID_ARGUMENT");
    assert!(error.contains("attestation.signatures[0].publicKeyId: 2049 bytes"), "{error}");
    let path = "/v1/projects/p/occurrences:batchCreate";
    client.post(path, &json!({"occurrences": [long]})).await.refused(400, "INVALID_ARGUMENT");
    let validated = json!({
        "attestation": long["attestation"],
        "occurrenceNote": "projects/p/notes/build",
        "occurrenceResourceUri": image,
    });
    let path = "/v1/projects/p/attestors/build:validateAttestationOccurrence";
    client.post(path, &validated).await.refused(400, "INVALID_ARGUMENT");
}

/// One attestation of the most signatures with the longest ids, and many tags of its digest.
#[tokio::test]
async fn an_explanation_is_bounded_and_counts_what_it_leaves_out() {
    let world = World::new().await;
    let (client, one) = (world.client(), image("explained"));
    file(client, &junk(&one, &"\u{1}".repeat(140), SIGNATURES_MAX)).await;
    let answer = client.post("/v1/decisions", &json!({"project": "p", "images": [one]})).await;
    let built = &answer.ok()["images"][0]["attestors"][0];
    assert_eq!(built["trials"].as_array().map(Vec::len), Some(10));
    assert_eq!(built["otherOutcomes"], json!({"KEY_ID_UNKNOWN": 990}));

    let tags: Vec<_> = (0..300).map(|tag| one.replacen('@', &format!(":{tag}@"), 1)).collect();
    let answer = client.post("/v1/decisions", &json!({"project": "p", "images": tags})).await;
    assert!(answer.text.len() < 2 << 20, "{} bytes", answer.text.len());
    let decision = answer.ok();
    let last = &decision["images"][299]["attestors"][0];
    assert_eq!(last["trials"], json!([]));
    assert_eq!(last["otherOutcomes"], json!({"KEY_ID_UNKNOWN": 1000}));
    let log = last_record(world.dir.path());
    assert_eq!(log["decision"], decision);
}

/// An attestation that is not stored is held to the same limits and examined as one that is.
#[tokio::test]
async fn a_good_signature_is_found_at_the_end_of_an_attestation_that_is_not_stored() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("unstored"));
    let mut candidate = junk(&image, KEY_ID, SIGNATURES_MAX)["attestation"].clone();
    let signature = STANDARD.encode(world.key.sign(&payload(&image)));
    candidate["signatures"][SIGNATURES_MAX - 1]["signature"] = json!(signature);
    let body = json!({
        "attestation": candidate,
        "occurrenceNote": "projects/p/notes/build",
        "occurrenceResourceUri": image,
    });
    let path = "/v1/projects/p/attestors/build:validateAttestationOccurrence";
    assert_eq!(client.post(path, &body).await.ok()["result"], "VERIFIED");
}

/// Files are their owner's, and have no limits on how many there are.
#[tokio::test]
async fn junk_in_files_hides_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::shared("ECDSA_P256_SHA256");
    let root = dir.path().join("config/projects/p");
    let put = |path: &str, value: &Value| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
        std::fs::write(path, value.to_string()).expect("writes");
    };
    put("notes/build.json", &json!({"attestation": {"hint": {"humanReadableName": "build"}}}));
    put("attestors/build.json", &attestor_body("build", &[(KEY_ID, &key)]));
    put("policy.json", &policy("REQUIRE_ATTESTATION", &["build"]));
    let image = image("files");
    for number in 0..3 {
        put(&format!("occurrences/junk-{number}.json"), &junk(&image, KEY_ID, SIGNATURES_MAX));
    }
    let payload = payload(&image);
    put("occurrences/z.json", &occurrence("build", &image, &payload, KEY_ID, &key.sign(&payload)));
    let daemon = Daemon::start_on_files(dir.path());
    assert_allowed(&decide(&daemon.client, &[&image]).await, "ATTESTED");
}
