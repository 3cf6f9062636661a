//! Images that are allowed, images that are denied, and the reasons that the answer gives.

use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, REPOSITORY, World, ask, assert_allowed, assert_denied, attest, attestor, decide,
    digest, dry_run, file, image, note, occurrence, outcome, payload, policy, put_attestor,
    put_policy, reason, rule,
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_allowlisted_image_is_allowed_tag_and_all() {
    let world = World::new().await;
    let mut strict = policy("ALWAYS_DENY", &[]);
    strict["admissionWhitelistPatterns"] = json!([
        {"namePattern": "registry.example.com/base/*"},
        {"namePattern": "registry.example.com/tools/**"},
        {"namePattern": "registry.example.com/one"},
    ]);
    put_policy(world.client(), &strict).await;
    for image in [
        "registry.example.com/base/debian:12",
        &format!("registry.example.com/base/debian@{}", digest("d")),
        "registry.example.com/tools/a/b/c:1",
        "registry.example.com/one",
    ] {
        let decision = decide(world.client(), &[image]).await;
        assert_allowed(&decision, "ALLOWLISTED");
        assert_eq!(decision["images"][0]["rule"], Value::Null, "no rule is asked");
    }
    for image in [
        "registry.example.com/base/a/b:12",
        "registry.example.com/based:12",
        "registry.example.com/one-more",
        "registry.example.com/one:tagged",
        "mirror.example.com/registry.example.com/base/debian:12",
    ] {
        assert_denied(&decide(world.client(), &[image]).await, "ALWAYS_DENY");
    }
}

#[tokio::test]
async fn the_system_policy_is_asked_only_where_the_policy_says_so() {
    let world = World::new().await;
    let pause = "registry.k8s.io/pause:3.10";
    for (mode, why) in [
        ("ENABLE", "SYSTEM_POLICY_ALLOWLISTED"),
        ("DISABLE", "ALWAYS_DENY"),
        ("GLOBAL_POLICY_EVALUATION_MODE_UNSPECIFIED", "ALWAYS_DENY"),
    ] {
        let mut policy = policy("ALWAYS_DENY", &[]);
        policy["globalPolicyEvaluationMode"] = json!(mode);
        put_policy(world.client(), &policy).await;
        let decision = decide(world.client(), &[pause]).await;
        assert_eq!((reason(&decision), &decision["allowed"]), (why, &json!(mode == "ENABLE")));
    }
}

#[tokio::test]
async fn a_tag_or_a_malformed_digest_is_denied_with_googles_sentence() {
    let world = World::new().await;
    for image in [
        format!("{REPOSITORY}:latest"),
        REPOSITORY.to_owned(),
        format!("{REPOSITORY}@sha256:abc"),
        format!("{REPOSITORY}@sha512:{}", "a".repeat(128)),
    ] {
        let decision = decide(world.client(), &[&image]).await;
        assert_denied(&decision, "DIGEST_REQUIRED");
        let message = decision["images"][0]["message"].as_str().expect("a message");
        let google = "Expected digest with sha256 scheme, but got tag or malformed digest";
        assert!(message.contains(google), "{message}");
        assert!(message.contains("projects/p/attestors/build"), "{message}");
    }
    for image in ["", "UPPER/case", "a b", "registry/../x"] {
        let decision = decide(world.client(), &[image]).await;
        assert_denied(&decision, "IMAGE_MALFORMED");
    }
}

#[tokio::test]
async fn a_tag_beside_the_digest_changes_nothing() {
    let world = World::new().await;
    world.attest(&image("tagged")).await;
    let tagged = format!("{REPOSITORY}:v1@{}", digest("tagged"));
    assert_allowed(&decide(world.client(), &[&tagged]).await, "ATTESTED");
}

#[tokio::test]
async fn always_allow_and_always_deny_do_as_they_say() {
    let world = World::new().await;
    for (mode, allowed) in [("ALWAYS_ALLOW", true), ("ALWAYS_DENY", false)] {
        put_policy(world.client(), &policy(mode, &[])).await;
        for image in [image("any"), format!("{REPOSITORY}:latest")] {
            let decision = decide(world.client(), &[&image]).await;
            assert_eq!((reason(&decision), &decision["allowed"]), (mode, &json!(allowed)));
            assert_eq!(decision["images"][0]["rule"], "default admission rule");
        }
    }
}

/// AND over attestors, OR over the keys and the attestations of each.
#[tokio::test]
async fn every_attestor_must_attest_and_any_of_its_keys_may() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("several"));
    let (first, second) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ED25519"));
    attestor(client, "qa", &[("https://k/1", &first), ("https://k/2", &second)]).await;
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["build", "qa"])).await;
    let satisfied = |decision: &Value| -> Vec<bool> {
        let attestors = decision["images"][0]["attestors"].as_array().expect("attestors");
        attestors.iter().map(|attestor| attestor["satisfied"] == json!(true)).collect()
    };

    let decision = decide(client, &[&image]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    assert_eq!(satisfied(&decision), [false, false]);

    world.attest(&image).await;
    let decision = decide(client, &[&image]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    assert_eq!(satisfied(&decision), [true, false]);

    // A wrong one first; it does not stand in the way of a right one.
    attest(client, "qa", &image, "https://k/1", &Key::generate("ECDSA_P256_SHA256")).await;
    assert_denied(&decide(client, &[&image]).await, "NOT_ATTESTED");
    attest(client, "qa", &image, "https://k/2", &second).await;
    let decision = decide(client, &[&image]).await;
    assert_allowed(&decision, "ATTESTED");
    assert_eq!(satisfied(&decision), [true, true]);
}

#[tokio::test]
async fn a_signature_by_the_key_of_another_attestor_does_not_count() {
    let world = World::new().await;
    let (client, image, other) = (world.client(), image("crossed"), Key::generate("ED25519"));
    attestor(client, "qa", &[(KEY_ID, &other)]).await;
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["qa"])).await;
    attest(client, "qa", &image, KEY_ID, &world.key).await;
    let decision = decide(client, &[&image]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    assert_eq!(outcome(&decision), "BAD_SIGNATURE");
}

#[tokio::test]
async fn one_denied_image_denies_the_request_and_each_has_its_own_reason() {
    let world = World::new().await;
    let (attested, plain) = (image("attested"), image("plain"));
    let tag = format!("{REPOSITORY}:latest");
    world.attest(&attested).await;
    let decision = decide(world.client(), &[&attested, &plain, &tag, &attested]).await;
    assert_eq!(decision["allowed"], false, "{decision:#}");
    let images = decision["images"].as_array().expect("images");
    let seen: Vec<_> = images.iter().map(|image| (&image["image"], &image["reason"])).collect();
    let expected = [
        (json!(attested), json!("ATTESTED")),
        (json!(plain), json!("NOT_ATTESTED")),
        (json!(tag), json!("DIGEST_REQUIRED")),
        (json!(attested), json!("ATTESTED")),
    ];
    assert_eq!(seen, expected.iter().map(|(image, why)| (image, why)).collect::<Vec<_>>());
    assert_allowed(&decide(world.client(), &[&attested, &attested]).await, "ATTESTED");
}

#[tokio::test]
async fn a_thousand_images_are_decided_in_one_request() {
    let world = World::new().await;
    let attested = image("attested");
    world.attest(&attested).await;
    let images: Vec<_> = (0..999).map(|n| image(&format!("plain {n}"))).collect();
    let mut images: Vec<_> = images.iter().map(String::as_str).collect();
    images.push(&attested);
    let decision = decide(world.client(), &images).await;
    let answers = decision["images"].as_array().expect("images");
    let allowed = answers.iter().filter(|image| image["allowed"] == json!(true)).count();
    assert_eq!((answers.len(), allowed, &decision["allowed"]), (1_000, 1, &json!(false)));
}

#[tokio::test]
async fn dry_run_lifts_enforcement_and_not_the_verdict() {
    let world = World::new().await;
    let rule = dry_run(rule("REQUIRE_ATTESTATION", &["build"]));
    put_policy(world.client(), &json!({"defaultAdmissionRule": rule})).await;
    let decision = decide(world.client(), &[&image("plain")]).await;
    assert_allowed(&decision, "NOT_ATTESTED");
    assert_eq!(decision["dryRun"], true, "{decision:#}");
    assert_eq!(decision["enforced"], false, "{decision:#}");
    assert_eq!(decision["images"][0]["allowed"], false, "{decision:#}");
}

#[tokio::test]
async fn break_glass_lifts_enforcement_and_not_the_verdict() {
    let world = World::new().await;
    let request = json!({"project": "p", "images": [image("plain")], "breakGlass": true});
    let decision = ask(world.client(), &request).await.ok();
    assert_allowed(&decision, "NOT_ATTESTED");
    assert_eq!(decision["breakGlass"], true, "{decision:#}");
    assert_eq!(decision["enforced"], false, "{decision:#}");
    assert_eq!(decision["images"][0]["allowed"], false, "{decision:#}");
    assert_denied(&decide(world.client(), &[&image("plain")]).await, "NOT_ATTESTED");
}

#[tokio::test]
async fn the_specific_rule_that_matches_governs_alone() {
    let world = World::new().await;
    let (client, plain) = (world.client(), image("plain"));
    let identity = "example.com/ns/shop/sa/web";
    for (map, key, matching, missing, word) in [
        (
            "clusterAdmissionRules",
            "europe-west2.prod",
            json!({"cluster": "europe-west2.prod"}),
            json!({"cluster": "europe-west2.prod2"}),
            "cluster admission rule for europe-west2.prod",
        ),
        (
            "kubernetesNamespaceAdmissionRules",
            "shop",
            json!({"namespace": "shop"}),
            json!({"namespace": "shop2"}),
            "namespace admission rule for shop",
        ),
        (
            "kubernetesServiceAccountAdmissionRules",
            "shop:web",
            json!({"namespace": "shop", "serviceAccount": "web"}),
            json!({"namespace": "web", "serviceAccount": "shop"}),
            "service account admission rule for shop:web",
        ),
        (
            "istioServiceIdentityAdmissionRules",
            identity,
            json!({"istioIdentity": format!("spiffe://{identity}")}),
            json!({"istioIdentity": "example.com/ns/shop/sa/other"}),
            "istio service identity admission rule for example.com/ns/shop/sa/web",
        ),
    ] {
        for (default, specific) in
            [("ALWAYS_ALLOW", "ALWAYS_DENY"), ("ALWAYS_DENY", "ALWAYS_ALLOW")]
        {
            let mut policy = policy(default, &[]);
            policy[map] = json!({key: rule(specific, &[])});
            put_policy(client, &policy).await;
            let decision = ask_where(client, &matching, &plain).await;
            assert_eq!(reason(&decision), specific, "{map}");
            assert_eq!(decision["images"][0]["rule"], word);
            let decision = ask_where(client, &missing, &plain).await;
            assert_eq!(reason(&decision), default, "{map}");
            assert_eq!(decision["images"][0]["rule"], "default admission rule");
        }
    }
}

async fn ask_where(client: &Client, place: &Value, image: &str) -> Value {
    let mut request = json!({"project": "p", "images": [image]});
    for (member, value) in place.as_object().expect("an object") {
        request[member] = value.clone();
    }
    ask(client, &request).await.ok()
}

#[tokio::test]
async fn rules_of_two_kinds_in_one_policy_are_refused() {
    let world = World::new().await;
    let mut both = policy("ALWAYS_ALLOW", &[]);
    both["clusterAdmissionRules"] = json!({"l.c": rule("ALWAYS_DENY", &[])});
    both["kubernetesNamespaceAdmissionRules"] = json!({"n": rule("ALWAYS_DENY", &[])});
    let answer = world.client().put("/v1/projects/p/policy", &both).await;
    answer.refused(400, "INVALID_ARGUMENT");
    assert_denied(&decide(world.client(), &[&image("plain")]).await, "NOT_ATTESTED");
}

#[tokio::test]
async fn an_unknown_project_is_denied_and_so_is_one_without_a_policy() {
    let world = World::new().await;
    let of = |project: &str| json!({"project": project, "images": [image("plain")]});
    assert_denied(&ask(world.client(), &of("typo")).await.ok(), "PROJECT_UNKNOWN");
    for (path, body) in one_of_each_kind("fresh") {
        world.client().post(&path, &body).await.ok();
        let decision = ask(world.client(), &of("fresh")).await.ok();
        assert_denied(&decision, "POLICY_NOT_WRITTEN");
        let message = decision["images"][0]["message"].as_str().expect("a message");
        assert!(message.contains("hallmark policy import FILE --project fresh"), "{message}");
    }
    ask(world.client(), &of("not/an/id")).await.refused(400, "INVALID_ARGUMENT");
}

/// Google's behaviour, for those who asked for it in words.
#[tokio::test]
async fn a_project_without_a_policy_allows_if_that_was_asked_for() {
    let world = World::configured("projects.without_policy = 'allow'").await;
    let of = |project: &str| json!({"project": project, "images": [image("plain")]});
    assert_denied(&ask(world.client(), &of("typo")).await.ok(), "PROJECT_UNKNOWN");
    for (path, body) in one_of_each_kind("fresh") {
        world.client().post(&path, &body).await.ok();
        assert_allowed(&ask(world.client(), &of("fresh")).await.ok(), "ALWAYS_ALLOW");
    }
}

/// The requests that create one resource of each kind in a project, its policy aside.
fn one_of_each_kind(project: &str) -> Vec<(String, Value)> {
    let note = json!({"attestation": {"hint": {"humanReadableName": "n"}}});
    let attestor =
        json!({"userOwnedGrafeasNote": {"noteReference": format!("projects/{project}/notes/n")}});
    let created = [
        ("platforms/gke/policies?policyId=a", json!({"gkePolicy": {}})),
        ("notes?noteId=n", note),
        ("attestors?attestorId=a", attestor),
        ("occurrences", occurrence("build", &image("plain"), b"{}", KEY_ID, b"x")),
    ];
    created.map(|(path, body)| (format!("/v1/projects/{project}/{path}"), body)).into()
}

#[tokio::test]
async fn an_attestor_that_is_gone_or_has_no_keys_denies_and_says_which() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("attested"));
    world.attest(&image).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");

    put_attestor(client, "build", &[]).await;
    let decision = decide(client, &[&image]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    assert_eq!(decision["images"][0]["attestors"][0]["reason"], "NO_KEYS", "{decision:#}");

    client.delete("/v1/projects/p/attestors/build").await.ok();
    let decision = decide(client, &[&image]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    let attestor = &decision["images"][0]["attestors"][0];
    assert_eq!(attestor["reason"], "ATTESTOR_UNKNOWN", "{decision:#}");
    assert_eq!(attestor["attestor"], "projects/p/attestors/build");
}

/// Everything that was tried, in the answer: which occurrence, which key, and what failed.
#[tokio::test]
async fn a_denial_names_every_signature_tried() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("tried"));
    let bytes = payload(&image);
    let stranger = Key::generate("ECDSA_P256_SHA256");
    let mut tried = occurrence("build", &image, &bytes, KEY_ID, &stranger.sign(&bytes));
    let unknown = json!({"publicKeyId": "https://keys.example.com/other", "signature": "AAAA"});
    tried["attestation"]["signatures"].as_array_mut().expect("a list").push(unknown);
    let name = file(client, &tried).await;
    let decision = decide(client, &[&image]).await;
    assert_denied(&decision, "NOT_ATTESTED");
    assert_eq!(
        decision["images"][0]["attestors"],
        json!([{
            "attestor": "projects/p/attestors/build",
            "satisfied": false,
            "reason": "NONE_VERIFIED",
            "trials": [
                {"occurrence": name, "signature": 0, "keyId": KEY_ID,
                 "algorithm": "ECDSA_P256_SHA256", "plugin": "pkix", "spkiSha256": world.key.spki_sha256(),
                 "outcome": "BAD_SIGNATURE"},
                {"occurrence": name, "signature": 1, "keyId": "https://keys.example.com/other",
                 "algorithm": null, "outcome": "KEY_ID_UNKNOWN"},
            ],
        }])
    );
    let message = decision["images"][0]["message"].as_str().expect("a message");
    assert!(message.contains(KEY_ID) && message.contains("2 signatures tried"), "{message}");
    let untouched = decide(client, &[&super::decisions::image("never seen")]).await;
    assert_eq!(untouched["images"][0]["attestors"][0]["reason"], "NO_ATTESTATIONS");
}

#[tokio::test]
async fn the_answer_has_the_documented_members() {
    let world = World::new().await;
    let image = image("attested");
    world.attest(&image).await;
    let decision = decide(world.client(), &[&image]).await;
    let members = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(
        members(&decision),
        ["allowed", "breakGlass", "dryRun", "enforced", "generation", "images"]
    );
    assert_eq!(
        members(&decision["images"][0]),
        ["allowed", "attestors", "cached", "digest", "image", "message", "reason", "rule"]
    );
    assert_eq!(decision["images"][0]["digest"], digest("attested"));
    assert!(decision["generation"].as_u64() > Some(0), "{decision:#}");
}

#[tokio::test]
async fn an_answer_given_before_is_cached_and_the_same() {
    let world = World::new().await;
    let attested = image("attested");
    world.attest(&attested).await;
    for (image, why) in [(&attested, "ATTESTED"), (&image("plain"), "NOT_ATTESTED")] {
        let mut first = decide(world.client(), &[image]).await;
        assert_eq!(first["images"][0]["cached"], false, "{first:#}");
        let again = decide(world.client(), &[image]).await;
        assert_eq!(again["images"][0]["cached"], true, "{again:#}");
        assert_eq!(reason(&again), why);
        first["images"][0]["cached"] = json!(true);
        assert_eq!(again, first);
    }
}

/// Decisions outlive every write but those to what they rest on.
#[tokio::test]
async fn a_decision_is_worked_out_again_when_what_it_rests_on_changes_and_not_before() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("attested"));
    world.attest(&image).await;
    let first = decide(client, &[&image]).await;
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["build"])).await;
    let key = Key::shared("ECDSA_P256_SHA256");
    attestor(client, "other", &[(KEY_ID, &key)]).await;
    note(client, "unrelated").await;
    let after = decide(client, &[&image]).await;
    assert_allowed(&after, "ATTESTED");
    assert_eq!(after["images"][0]["cached"], true, "{after:#}");
    assert!(after["generation"].as_u64() > first["generation"].as_u64());

    put_policy(client, &policy("REQUIRE_ATTESTATION", &["build", "other"])).await;
    let stricter = decide(client, &[&image]).await;
    assert_eq!((reason(&stricter), &stricter["allowed"]), ("NOT_ATTESTED", &json!(false)));
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["build"])).await;
    let path = "/v1/projects/p/attestors/build";
    let mut written = client.get(path).await.ok();
    written["userOwnedGrafeasNote"]["publicKeys"] = json!([]);
    assert_eq!(client.put(path, &written).await.status, 200);
    let keyless = decide(client, &[&image]).await;
    assert_eq!(keyless["allowed"], false, "{keyless:#}");
}

#[tokio::test]
async fn a_stream_answers_line_by_line_as_single_requests_do() {
    let world = World::new().await;
    let attested = image("attested");
    world.attest(&attested).await;
    let request = |images: &[&str]| json!({"project": "p", "images": images});
    let mut requests = vec![
        request(&[&attested]),
        request(&[&image("plain")]),
        request(&[&format!("{REPOSITORY}:latest")]),
        request(&[&attested, &image("plain")]),
        json!({"project": "typo", "images": [attested]}),
        json!({"project": "p", "images": [image("plain")], "breakGlass": true}),
    ];
    requests.extend((0..1_000).map(|n| request(&[&image(&format!("many {n}"))])));
    let mut streamed = world.client().stream(&requests).await;
    assert_eq!(streamed.len(), requests.len());
    for (number, (request, streamed)) in requests.iter().zip(&mut streamed).enumerate().take(20) {
        let mut single = ask(world.client(), request).await.ok();
        forget_caching(&mut single);
        forget_caching(streamed);
        assert_eq!(*streamed, single, "line {number}");
    }
}

/// A line that is no request is answered by an error that names it, and the stream goes on.
#[tokio::test]
async fn a_bad_line_spoils_no_other() {
    let world = World::new().await;
    let good = json!({"project": "p", "images": [image("plain")]});
    let answers = world.client().stream(&[good.clone(), json!({"project": "p"}), good]).await;
    assert_eq!(answers.len(), 3, "{answers:#?}");
    assert_eq!(reason(&answers[0]), "NOT_ATTESTED");
    assert_eq!((&answers[1]["line"], &answers[1]["error"]["code"]), (&json!(2), &json!(400)));
    assert_eq!(reason(&answers[2]), "NOT_ATTESTED");
}

fn forget_caching(decision: &mut Value) {
    for image in decision["images"].as_array_mut().expect("images") {
        image["cached"] = Value::Null;
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let world = World::new().await;
    let attested = image("attested");
    world.attest(&attested).await;
    assert_allowed(&decide(world.client(), &[&attested]).await, "ATTESTED");
    let World { dir, daemon, .. } = world;
    daemon.stop();
    let daemon = Daemon::start(dir.path());
    assert_allowed(&decide(&daemon.client, &[&attested]).await, "ATTESTED");
    assert_denied(&decide(&daemon.client, &[&image("plain")]).await, "NOT_ATTESTED");
}
