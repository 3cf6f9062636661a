//! The answers to a Kubernetes API server: to every recorded call as `tests/data/admission` says,
//! to calls of versions yet to come, and to objects that would rather not be judged.

use std::time::{Duration, Instant};

use hallmark_tests::admission::{CLUSTER, creation, folder, pod, post, recorded, review, update};
use hallmark_tests::audit::{last_record, records};
use hallmark_tests::project::{World, digest, dry_run, image, policy, put_policy, rule};
use serde_json::{Value, json};

/// A daemon under the policies of the expectations, the digest that is attested there attested.
async fn expecting(toml: &str) -> (World, Value) {
    let world = World::configured(toml).await;
    let expected = recorded("expectations.json");
    let attested = expected["attestedDigest"].as_str().expect("a digest");
    world.attest(&format!("registry.example.com/mesh/proxy@{attested}")).await;
    (world, expected)
}

async fn under(world: &World, expected: &Value, policy: &str) {
    let mut written = expected["policies"][policy].clone();
    written["name"] = json!("projects/p/policy");
    put_policy(world.client(), &written).await;
}

fn calls(expected: &Value) -> impl Iterator<Item = (&String, &Value)> {
    expected["calls"].as_object().expect("calls").iter()
}

/// The meaning of an answer, in the words of the expectations.
fn word(door: &str, answer: &Value) -> &'static str {
    let status = if door == "admission" { &answer["response"] } else { &answer["status"] };
    let notes = &status["auditAnnotations"];
    let warned = !status["warnings"].is_null();
    match (status["allowed"].as_bool(), notes["dry-run"].as_str(), warned) {
        (Some(false), None, false) => "deny",
        (Some(true), Some("true"), _) => "dry run",
        (Some(true), None, true) => "warn",
        (Some(true), None, false) => "allow",
        _ => panic!("neither allowed nor denied: {answer:#}"),
    }
}

#[tokio::test]
async fn every_recorded_call_is_answered_as_expected() {
    let (world, expected) = expecting("").await;
    let names: Vec<_> = calls(&expected).map(|(name, _)| name.clone()).collect();
    let mut files: Vec<_> = std::fs::read_dir(folder()).expect("lists").collect();
    files.retain(|file| file.as_ref().expect("a file").file_name() != "expectations.json");
    assert_eq!((names.len(), files.len()), (77, 77));
    for policy in expected["policies"].as_object().expect("policies").keys() {
        under(&world, &expected, policy).await;
        for (name, call) in calls(&expected) {
            let body = recorded(name);
            let door = call["door"].as_str().expect("a door");
            let before = records(world.dir.path()).len();
            let answer = post(world.client(), door, &body).await.ok();
            assert_eq!(
                word(door, &answer),
                call["answers"][policy],
                "{name} under {policy}: {answer:#}"
            );
            let recorded = records(world.dir.path()).split_off(before);
            assert_reviewed(name, policy, call, &body, &recorded);
        }
    }
}

/// The record names the images, and whose they are; what starts none has no record.
fn assert_reviewed(name: &str, policy: &str, call: &Value, body: &Value, recorded: &[Value]) {
    if call["reviewed"] == "nothing" {
        assert!(recorded.is_empty(), "{name}: {recorded:#?}");
        return;
    }
    let [record] = recorded else { panic!("{name}: {} records", recorded.len()) };
    let decided = record["decision"]["images"].as_array().expect("images");
    let images: Vec<_> = decided.iter().map(|image| image["image"].clone()).collect();
    assert_eq!(Value::from(images), call["images"], "{name}");
    assert_eq!(record["cluster"], CLUSTER, "{name}");
    for member in ["namespace", "serviceAccount"] {
        assert_eq!(record[member], call[member], "{name}");
    }
    assert_eq!(record["review"]["user"]["username"], call["user"], "{name}");
    for (member, sent) in [("uid", "uid"), ("operation", "operation"), ("dryRun", "dryRun")] {
        assert_eq!(record["review"][member], body["request"][sent], "{name}");
    }
    if policy == "attested" {
        let denied = decided.iter().filter(|image| image["allowed"] == false);
        let denied: Vec<_> = denied.map(|image| image["image"].clone()).collect();
        assert_eq!(denied.is_empty(), call["notAttested"].is_null(), "{name}: {denied:?}");
        assert!(denied.is_empty() || Value::from(denied) == call["notAttested"], "{name}");
    }
}

/// Members that no version has yet, everywhere, and versions of objects that are yet to come.
#[tokio::test]
async fn bodies_of_versions_yet_to_come_are_answered_alike() {
    let (world, expected) = expecting("").await;
    under(&world, &expected, "attested").await;
    for (name, call) in calls(&expected) {
        let door = call["door"].as_str().expect("a door");
        let mut body = recorded(name);
        let kind = body["request"]["kind"].clone();
        add_unknown_members(&mut body);
        if door == "admission" {
            body["request"]["kind"] = kind;
            body["request"]["kind"]["version"] = json!("v7");
        }
        let answer = post(world.client(), door, &body).await.ok();
        assert_eq!(word(door, &answer), call["answers"]["attested"], "{name}: {answer:#}");
    }
}

fn add_unknown_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(add_unknown_members);
            // Labels and annotations are maps of strings in every version.
            if members.values().any(|value| !value.is_string()) {
                members.insert("yetUnknown".to_owned(), json!({"a": [1, null, {"b": "c"}]}));
                members.insert("imagePolicy".to_owned(), json!("allow"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(add_unknown_members),
        _ => {}
    }
}

#[tokio::test]
async fn workloads_are_denied_or_ignored_where_the_operator_says_so() {
    for (mode, words) in [("deny", ["deny", "dry run", "allow"]), ("ignore", ["allow"; 3])] {
        let (world, expected) = expecting(&format!("kubernetes.workloads = '{mode}'")).await;
        for (policy, word_expected) in ["none", "trial", "all"].iter().zip(words) {
            under(&world, &expected, policy).await;
            for (name, call) in calls(&expected).filter(|(_, call)| call["reviewed"] == "workload")
            {
                let answer = post(world.client(), "admission", &recorded(name)).await.ok();
                assert_eq!(word("admission", &answer), word_expected, "{name} {mode} {call}");
                let status = &answer["response"]["status"];
                if word_expected == "deny" {
                    assert_eq!(status["reason"], "VIOLATES_POLICY");
                    let field = status["details"]["causes"][0]["field"].as_str().expect("a field");
                    assert!(field.contains("emplate.spec.containers[0].image"), "{field}");
                }
            }
        }
    }
}

/// Whatever kind a body claims to be of, it is not waved through.
#[tokio::test]
async fn unknown_kinds_are_denied_unless_configured() {
    for (toml, allowed) in [("", false), ("kubernetes.unknown_kinds = 'allow'", true)] {
        let (world, expected) = expecting(toml).await;
        under(&world, &expected, "all").await;
        for (name, call) in calls(&expected) {
            let mut body = recorded(name);
            let starts =
                ["CREATE", "UPDATE"].map(|operation| body["request"]["operation"] == operation);
            if call["door"] != "admission" || starts == [false, false] {
                continue;
            }
            for (group, kind) in
                [("acme.example.com", "Pod"), ("", "PodGroup"), ("apps", "Rollout")]
            {
                body["request"]["kind"] = json!({"group": group, "version": "v1", "kind": kind});
                body["request"]["object"]["kind"] = json!(kind);
                let response = review(world.client(), &body).await;
                assert_eq!(response["allowed"], allowed, "{name} {group}/{kind}: {response:#}");
                let message = response["status"]["message"].as_str().unwrap_or_default();
                assert_eq!(message.contains(kind), !allowed, "{message}");
            }
        }
    }
}

/// Nothing that an object says of itself changes the verdict, break-glass aside.
#[tokio::test]
async fn an_object_cannot_talk_its_way_out() {
    let world = World::new().await;
    let plain = pod(&[&image("plain")]);
    let with = |path: &str, value: Value| {
        let mut review = creation(&plain);
        *pointer(&mut review, path) = value;
        review
    };
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1",
        "controller": true, "blockOwnerDeletion": true}]);
    let verdict = json!({"imagepolicywebhook.image-policy.k8s.io/break-glass": "true",
        "image-policy.k8s.io/break-glass": "true", "imagepolicywebhook.image-policy.k8s.io/dry-run":
        "true", "hallmark/allowed": "true", "alpha.image-policy.k8s.io/break-glass": "TRUE"});
    let labels = json!({"image-policy.k8s.io/break-glass": "yes",
        "alpha.image-policy.k8s.io/break-glass": "true", "control-plane": "true"});
    let object = |member: &str| format!("/request/object/{member}");
    for talk in [
        creation(&plain),
        with(&object("metadata/ownerReferences"), owner),
        with(&object("metadata/deletionTimestamp"), json!("2026-01-01T00:00:00Z")),
        with(&object("metadata/annotations"), verdict),
        with(&object("metadata/labels"), labels),
        with(&object("metadata/namespace"), json!("kube-system")),
        with(&object("metadata/generateName"), json!("web-")),
        with(&object("spec/replicas"), json!(0)),
        with(&object("spec/nodeName"), json!("node-1")),
        with(&object("spec/imagePullSecrets"), json!([{"name": "s"}])),
        with(&object("status"), json!({"phase": "Succeeded"})),
        with("/request/dryRun", json!(true)),
        with("/request/name", json!("")),
        with(
            "/request/userInfo",
            json!({"username": "system:admin", "groups": ["system:masters"]}),
        ),
        with("/request/oldObject", plain.clone()),
        with("/request/options", json!({"dryRun": ["All"]})),
        with("/request/requestKind", json!({"group": "", "version": "v1", "kind": "Binding"})),
    ] {
        let response = review(world.client(), &talk).await;
        assert_eq!(response["allowed"], false, "{talk:#}");
        assert_eq!(response["status"]["reason"], "VIOLATES_POLICY", "{talk:#}");
    }
}

/// The member of this path, made where it is not there.
fn pointer<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('/').skip(1).fold(value, |value, member| &mut value[member])
}

/// The namespace is that of the request, the service account that of the pod.
#[tokio::test]
async fn rules_apply_to_whoever_runs_the_pod() {
    let world = World::new().await;
    let mut strict = policy("ALWAYS_DENY", &[]);
    strict["kubernetesServiceAccountAdmissionRules"] = json!({
        "shop:web": rule("ALWAYS_ALLOW", &[]),
        "kube-system:web": rule("ALWAYS_DENY", &[]),
    });
    put_policy(world.client(), &strict).await;
    let mut object = pod(&[&image("plain")]);
    for (name, deprecated, allowed) in [
        (json!("web"), Value::Null, true),
        (Value::Null, json!("web"), true),
        (json!("web"), json!("other"), true),
        (json!("other"), json!("web"), false),
        (Value::Null, Value::Null, false),
        (json!(""), json!("web"), true),
    ] {
        object["metadata"]["namespace"] = json!("kube-system");
        object["spec"]["serviceAccountName"] = name;
        object["spec"]["serviceAccount"] = deprecated;
        let response = review(world.client(), &creation(&object)).await;
        assert_eq!(response["allowed"], allowed, "{object:#}");
    }
    let mut nowhere = creation(&pod(&[&image("plain")]));
    nowhere["request"]["namespace"] = Value::Null;
    let response = review(world.client(), &nowhere).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(400)));
}

#[tokio::test]
async fn a_denial_says_what_the_reference_says() {
    let world = World::new().await;
    let (plain, tag) = (image("plain"), "registry.example.com/shop/web:1");
    let mut object = pod(&[&plain, tag, &plain]);
    object["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}, {"name": "m", "image":
        {"reference": "registry.example.com/models:1", "pullPolicy": "Always"}}]);
    let response = review(world.client(), &creation(&object)).await;
    let status = &response["status"];
    assert_eq!((&status["status"], &status["code"]), (&json!("Failure"), &json!(400)));
    assert_eq!(status["reason"], "VIOLATES_POLICY");
    let message = status["message"].as_str().expect("a message");
    assert!(message.starts_with(&format!(
        "Image {plain} denied by Binary Authorization default admission rule. Image {plain} denied by \
         attestor projects/p/attestors/build: No attestations found that were valid and signed by a \
         key trusted by the attestor"
    )), "{message}");
    assert_eq!(
        (&status["details"]["kind"], &status["details"]["name"]),
        (&json!("Pod"), &json!("web"))
    );
    let causes = status["details"]["causes"].as_array().expect("causes");
    let fields: Vec<_> =
        causes.iter().map(|cause| cause["field"].as_str().expect("a field")).collect();
    assert_eq!(
        fields,
        ["spec.containers[0].image", "spec.containers[1].image", "spec.volumes[1].image.reference"]
    );
    assert_eq!(
        causes[1]["reason"],
        format!(
            "'{tag}' : Image {tag} denied by attestor projects/p/attestors/build: Expected digest with \
         sha256 scheme, but got tag or malformed digest\n"
        )
    );
    put_policy(world.client(), &policy("ALWAYS_DENY", &[])).await;
    let response = review(world.client(), &creation(&pod(&[tag]))).await;
    let cause = &response["status"]["details"]["causes"][0]["reason"];
    assert_eq!(*cause, format!("'{tag}' : Denied by an ALWAYS_DENY admission rule\n"));
    assert_eq!(response["warnings"], Value::Null);
}

#[tokio::test]
async fn break_glass_and_dry_run_are_allowed_noted_and_told() {
    let world = World::new().await;
    let plain = image("plain");
    for (member, key) in [
        ("labels", "image-policy.k8s.io/break-glass"),
        ("annotations", "alpha.image-policy.k8s.io/break-glass"),
    ] {
        let mut object = pod(&[&plain]);
        object["metadata"][member] = json!({key: "true", "other": "false"});
        let response = review(world.client(), &creation(&object)).await;
        assert_eq!(response["allowed"], true);
        let notes = &response["auditAnnotations"];
        assert_eq!(notes["break-glass"], "true");
        let overridden = notes["overridden-verification-result"].as_str().expect("a result");
        assert!(overridden.starts_with(&format!("'{plain}' : Image {plain} denied by attestor")));
        assert!(response["warnings"][0].as_str().expect("a warning").contains("break-glass"));
        assert_eq!(last_record(world.dir.path())["decision"]["breakGlass"], true);
    }
    let mut trial = policy("ALWAYS_DENY", &[]);
    trial["defaultAdmissionRule"] = dry_run(rule("REQUIRE_ATTESTATION", &["build"]));
    put_policy(world.client(), &trial).await;
    let long = |n: u32| format!("r.example.com/{}@{}", "x".repeat(200), digest(&n.to_string()));
    let long: Vec<_> = (0..30).map(long).collect();
    let many: Vec<_> = long.iter().map(String::as_str).collect();
    let response = review(world.client(), &creation(&pod(&many))).await;
    assert_eq!(
        (&response["allowed"], &response["auditAnnotations"]["dry-run"]),
        (&json!(true), &json!("true"))
    );
    let warnings = response["warnings"].as_array().expect("warnings");
    assert!(warnings[0].as_str().expect("text").contains("dry run"), "{warnings:?}");
    let lengths: Vec<_> =
        warnings.iter().map(|one| one.as_str().expect("text").chars().count()).collect();
    assert!(lengths.iter().all(|&length| length <= 256), "{lengths:?}");
    assert!(lengths.iter().sum::<usize>() <= 4_096, "{lengths:?}");
    world.attest(&plain).await;
    let response = review(world.client(), &creation(&pod(&[&plain]))).await;
    assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &Value::Null));
    assert_eq!(response["auditAnnotations"], Value::Null, "it conforms: {response:#}");
}

/// Only what an update adds or changes is judged.
#[tokio::test]
async fn what_runs_already_keeps_running() {
    let world = World::new().await;
    let (bad, attested, other) = (image("bad"), image("attested"), image("other"));
    world.attest(&attested).await;
    let old = pod(&[&bad, &attested]);
    let mut relabelled = old.clone();
    relabelled["metadata"]["labels"] = json!({"tier": "front"});
    let mut debugged = old.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": other}]);
    let mut debugged_with_bad = old.clone();
    debugged_with_bad["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": bad}]);
    let mut moved = old.clone();
    moved["spec"]["serviceAccountName"] = json!("other");
    for (new, allowed) in [
        (&relabelled, true),
        (&pod(&[&bad, &bad]), false),
        (&pod(&[&attested, &attested]), true),
        (&pod(&[&other, &attested]), false),
        (&debugged, false),
        // It is bad in another place as well.
        (&debugged_with_bad, false),
        // Another rule may govern it.
        (&moved, false),
    ] {
        let response = review(world.client(), &update(&old, new)).await;
        assert_eq!(response["allowed"], allowed, "{new:#}");
    }
    let mut unknown_before = update(&old, &old);
    unknown_before["request"]["oldObject"] = Value::Null;
    assert_eq!(review(world.client(), &unknown_before).await["allowed"], false);
}

/// Every list that holds images, and every form that a list without any may take.
#[tokio::test]
async fn an_image_is_found_wherever_it_is() {
    let world = World::new().await;
    let (attested, bad) = (image("attested"), image("bad"));
    world.attest(&attested).await;
    let good = pod(&[&attested]);
    assert_eq!(review(world.client(), &creation(&good)).await["allowed"], true);
    for (list, item) in [
        ("containers", json!({"name": "x", "image": bad})),
        ("initContainers", json!({"name": "x", "image": bad, "restartPolicy": "Always"})),
        ("ephemeralContainers", json!({"name": "x", "image": bad, "targetContainerName": "c0"})),
        ("volumes", json!({"name": "x", "image": {"reference": bad}})),
        ("containers", json!({"name": "x"})),
        ("containers", json!({"name": "x", "image": ""})),
        ("volumes", json!({"name": "x", "image": {}})),
    ] {
        let mut object = good.clone();
        match object["spec"][list].as_array_mut() {
            Some(items) => items.push(item.clone()),
            None => object["spec"][list] = json!([item]),
        }
        let response = review(world.client(), &creation(&object)).await;
        assert_eq!(response["allowed"], false, "{list} {item}");
    }
    let mut empty = good.clone();
    for list in ["initContainers", "ephemeralContainers", "volumes"] {
        empty["spec"][list] = Value::Null;
    }
    empty["metadata"]["labels"] = Value::Null;
    assert_eq!(review(world.client(), &creation(&empty)).await["allowed"], true);
}

#[tokio::test]
async fn what_cannot_be_understood_is_not_allowed() {
    let world = World::new().await;
    put_policy(world.client(), &policy("ALWAYS_ALLOW", &[])).await;
    let good = creation(&pod(&[&image("any")]));
    assert_eq!(review(world.client(), &good).await["allowed"], true);
    let changed = |path: &str, value: Value| {
        let mut review = good.clone();
        *pointer(&mut review, path) = value;
        review
    };
    // No answer could reach the one who asks: an error.
    for (body, says) in [
        (json!([]), "invalid type: sequence"),
        (json!({}), "missing field"),
        (changed("/apiVersion", json!("admission.k8s.io/v1alpha1")), "admissionReviewVersions"),
        (changed("/apiVersion", json!("admission.k8s.io/v2")), "admission.k8s.io/v1 is reviewed"),
        (changed("/kind", json!("ImageReview")), "ImageReview"),
        (changed("/request", Value::Null), "no `request`"),
        (changed("/request/uid", json!("")), "uid"),
        (changed("/request/uid", json!("u".repeat(1_000))), "uid"),
        (changed("/request/uid", json!(7)), "invalid type"),
        (changed("/request/kind", json!("Pod")), "invalid type"),
    ] {
        let refused = post(world.client(), "admission", &body).await;
        let message = refused.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(says), "{says}: {message}");
    }
    // An answer can: a denial.
    for body in [
        changed("/request/operation", json!("PATCH")),
        changed("/request/object", Value::Null),
        changed("/request/object", json!("pod")),
        changed("/request/object/kind", json!("ConfigMap")),
        changed("/request/object/spec", Value::Null),
        changed("/request/object/spec/containers", json!({})),
        changed("/request/object/spec/containers", json!([])),
        changed("/request/object/spec/containers", json!([{"image": 7}])),
        changed("/request/object/spec/volumes", json!([{"image": "x"}])),
        changed("/request/object/spec/serviceAccountName", json!(["a"])),
        changed(
            "/request/object/metadata/labels",
            json!({"image-policy.k8s.io/break-glass": true}),
        ),
    ] {
        let response = review(world.client(), &body).await;
        assert_eq!(response["allowed"], false, "{body:#}");
        let status = &response["status"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(400), &json!("BadRequest")),
            "{body:#}"
        );
    }
    for timeout in ["", "ten", "-1s", "10"] {
        let path = format!("/k8s/projects/p/clusters/l.c/admission?timeout={timeout}");
        let message = world.client().post(&path, &good).await.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains("`timeout`"), "{message}");
    }
}

/// A review that comes to nothing in time is denied in time, and the next is answered as ever.
#[tokio::test]
async fn the_answer_is_in_time_and_late_means_deny() {
    let world = World::new().await;
    let attested = image("attested");
    world.attest(&attested).await;
    let body = creation(&pod(&[&attested]));
    let path = "/k8s/projects/p/clusters/l.c/admission?timeout=";
    // No time at all.
    let response = world.client().post(&format!("{path}0s"), &body).await.ok()["response"].take();
    assert_eq!(
        (&response["allowed"], &response["status"]["reason"]),
        (&json!(false), &json!("UNDETERMINED"))
    );
    assert_eq!(response["status"]["details"]["retryAfterSeconds"], 1);
    // Time enough.
    let response = world.client().post(&format!("{path}30s"), &body).await.ok()["response"].take();
    assert_eq!(response["allowed"], true, "{response:#}");
}

/// More signatures than the verifier takes: each review is answered in time, and if denied, as not
/// determined.
#[tokio::test]
async fn ten_times_the_load_is_answered_in_time() {
    let world = World::configured("verifier.queue_checks = 4\nverifier.batch_checks = 1").await;
    let images: Vec<_> = (0..200).map(|n| image(&format!("load {n}"))).collect();
    for image in &images {
        world.attest(image).await;
    }
    let mut asked = Vec::new();
    for image in &images {
        let (client, body) = (world.client().clone(), creation(&pod(&[image])));
        asked.push(tokio::spawn(async move {
            let started = Instant::now();
            (review(&client, &body).await, started.elapsed())
        }));
    }
    for asked in asked {
        let (response, elapsed) = asked.await.expect("an answer");
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
        let undetermined = response["status"]["reason"] == "UNDETERMINED";
        assert!(response["allowed"] == true || undetermined, "{response:#}");
    }
    // By itself it recovers.
    for image in &images {
        assert_eq!(review(world.client(), &creation(&pod(&[image]))).await["allowed"], true);
    }
}
