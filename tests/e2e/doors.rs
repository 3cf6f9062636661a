//! The same policy gives the same verdict, whichever way it is asked, however often, under whatever
//! load; and what many ask at once is worked out once.

use std::sync::Arc;

use hallmark_tests::admission::{CLUSTER, creation, pod, post, review};
use hallmark_tests::client::Client;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, REPOSITORY, World, ask, attestor, digest, dry_run, file, image, occurrence, payload,
    policy, put_policy, rule,
};
use serde_json::{Value, json};

/// The answer of one door: if it lets the image in, and the text if it does not.
#[derive(Debug, PartialEq)]
struct Said {
    allowed: bool,
    why: String,
}

/// Who asks for what.
#[derive(Clone, Debug)]
struct Question {
    namespace: &'static str,
    account: &'static str,
    break_glass: bool,
    image: String,
}

impl Question {
    fn request(&self) -> Value {
        json!({"project": "p", "cluster": CLUSTER, "namespace": self.namespace,
            "serviceAccount": self.account, "images": [self.image], "breakGlass": self.break_glass})
    }

    async fn by_decisions(&self, client: &Client) -> Said {
        Said::decided(&ask(client, &self.request()).await.ok())
    }

    async fn by_stream(&self, client: &Client) -> Said {
        Said::decided(&client.stream(&[self.request()]).await[0])
    }

    async fn by_admission(&self, client: &Client) -> Said {
        let mut object = pod(&[&self.image]);
        object["spec"]["serviceAccountName"] = json!(self.account);
        if self.break_glass {
            object["metadata"]["labels"] = json!({"image-policy.k8s.io/break-glass": "true"});
        }
        let mut body = creation(&object);
        body["request"]["namespace"] = json!(self.namespace);
        let response = review(client, &body).await;
        Said::new(&response["allowed"], &response["status"]["message"])
    }

    async fn by_image_review(&self, client: &Client) -> Said {
        let mut body = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
            "spec": {"containers": [{"image": self.image}], "namespace": self.namespace}});
        if self.break_glass {
            let key = "alpha.image-policy.k8s.io/break-glass";
            body["spec"]["annotations"] = json!({key: "true"});
        }
        let status = post(client, "imagereview", &body).await.ok()["status"].take();
        Said::new(&status["allowed"], &status["reason"])
    }

    async fn by_gatekeeper(&self, client: &Client) -> Said {
        let item = gatekeeper(client, &[&self.image]).await["items"][0].take();
        assert_eq!(item["key"], self.image);
        Said::new(&json!(item["value"]["allowed"] == true), &item["error"])
    }
}

impl Said {
    fn new(allowed: &Value, why: &Value) -> Self {
        let why = why.as_str().unwrap_or_default();
        let why = why.split(". (").next().unwrap_or_default().to_owned();
        Self { allowed: allowed.as_bool().expect("a verdict"), why }
    }

    fn decided(decision: &Value) -> Self {
        let message = if decision["allowed"] == true {
            &Value::Null
        } else {
            &decision["images"][0]["message"]
        };
        Self::new(&decision["allowed"], message)
    }
}

async fn gatekeeper(client: &Client, images: &[&str]) -> Value {
    let body = json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest",
        "request": {"keys": images}});
    let path = format!("/gatekeeper/projects/p/clusters/{CLUSTER}/validate");
    let mut answer = client.post(&path, &body).await.ok();
    assert_eq!(answer["apiVersion"], "externaldata.gatekeeper.sh/v1beta1");
    assert_eq!(answer["kind"], "ProviderResponse");
    assert_eq!(answer["response"]["idempotent"], true);
    assert_eq!(answer["response"]["systemError"], Value::Null);
    answer["response"].take()
}

/// Rules of every kind, in every mode.
fn policies() -> Vec<Value> {
    let specific = |member: &str, key: &str, rule: Value| {
        let mut policy = policy("REQUIRE_ATTESTATION", &["build"]);
        policy["admissionWhitelistPatterns"] =
            json!([{"namePattern": "registry.example.com/base/*"}]);
        policy[member] = json!({key: rule});
        policy
    };
    let mut system = policy("ALWAYS_DENY", &[]);
    system["globalPolicyEvaluationMode"] = json!("ENABLE");
    let mut trial = policy("ALWAYS_ALLOW", &[]);
    trial["defaultAdmissionRule"] = dry_run(rule("REQUIRE_ATTESTATION", &["build"]));
    vec![
        policy("ALWAYS_ALLOW", &[]),
        policy("ALWAYS_DENY", &[]),
        policy("REQUIRE_ATTESTATION", &["build"]),
        policy("REQUIRE_ATTESTATION", &["build", "qa"]),
        system,
        trial,
        specific("clusterAdmissionRules", CLUSTER, rule("ALWAYS_DENY", &[])),
        specific("clusterAdmissionRules", "l.other", rule("ALWAYS_DENY", &[])),
        specific("kubernetesNamespaceAdmissionRules", "shop", rule("ALWAYS_ALLOW", &[])),
        specific("kubernetesNamespaceAdmissionRules", "shop", dry_run(rule("ALWAYS_DENY", &[]))),
        specific("kubernetesServiceAccountAdmissionRules", "shop:web", rule("ALWAYS_ALLOW", &[])),
    ]
}

fn questions() -> Vec<Question> {
    let images = ["attested", "forged", "plain"].map(image).into_iter().chain([
        format!("{REPOSITORY}:latest"),
        format!("{REPOSITORY}:v1@{}", digest("attested")),
        "registry.example.com/base/debian:12".to_owned(),
        "registry.k8s.io/pause:3.10".to_owned(),
        "NOT AN IMAGE".to_owned(),
        format!("{REPOSITORY}@sha256:abc"),
    ]);
    let mut questions = Vec::new();
    for image in images {
        for (namespace, account) in [("shop", "web"), ("shop", "default"), ("lab", "web")] {
            for break_glass in [false, true] {
                questions.push(Question { namespace, account, break_glass, image: image.clone() });
            }
        }
    }
    questions
}

async fn furnished() -> World {
    let world = World::new().await;
    attestor(world.client(), "qa", &[("https://k/qa", &Key::shared("ED25519"))]).await;
    world.attest(&image("attested")).await;
    let (forged, bytes) = (image("forged"), payload(&image("forged")));
    let mut signature = world.key.sign(&bytes);
    *signature.last_mut().expect("not empty") ^= 1;
    file(world.client(), &occurrence("build", &forged, &bytes, KEY_ID, &signature)).await;
    world
}

/// A door that does not carry something is asked only where that changes nothing.
#[tokio::test]
async fn every_door_gives_the_same_verdict() {
    let world = furnished().await;
    let client = world.client();
    let mut seen = [0, 0];
    for policy in policies() {
        put_policy(client, &policy).await;
        let by = |member: &str| !policy[member].is_null();
        for question in questions() {
            let said = question.by_decisions(client).await;
            seen[usize::from(said.allowed)] += 1;
            let asked = || format!("{question:?} under {policy:#}");
            assert_eq!(question.by_stream(client).await, said, "{}", asked());
            assert_eq!(question.by_admission(client).await, said, "{}", asked());
            if !by("kubernetesServiceAccountAdmissionRules") {
                assert_eq!(question.by_image_review(client).await, said, "{}", asked());
                if !by("kubernetesNamespaceAdmissionRules") && !question.break_glass {
                    assert_eq!(question.by_gatekeeper(client).await, said, "{}", asked());
                }
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

/// A denial names the facts that its door cannot carry, if they may have mattered.
#[tokio::test]
async fn a_denial_says_what_its_door_cannot_carry() {
    let world = furnished().await;
    let mut strict = policy("ALWAYS_DENY", &[]);
    strict["kubernetesServiceAccountAdmissionRules"] =
        json!({"shop:web": rule("ALWAYS_ALLOW", &[])});
    put_policy(world.client(), &strict).await;
    let body = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"containers": [{"image": "nginx"}], "namespace": "shop"}});
    let status = post(world.client(), "imagereview", &body).await.ok()["status"].take();
    assert_eq!(status["allowed"], false);
    assert!(
        status["reason"].as_str().expect("a reason").contains("no service account"),
        "{status}"
    );
    let item = gatekeeper(world.client(), &["nginx"]).await["items"][0].take();
    assert!(
        item["error"].as_str().expect("an error").contains("neither namespace nor service"),
        "{item}"
    );
    assert_eq!(item["value"], Value::Null);
}

/// Images that arrive together are judged each for itself.
#[tokio::test]
async fn gatekeeper_is_answered_key_by_key() {
    let world = furnished().await;
    let keys = [&*image("plain"), &image("attested"), "nginx", &image("attested")];
    let response = gatekeeper(world.client(), &keys).await;
    let items = response["items"].as_array().expect("items");
    let answered: Vec<_> = items.iter().map(|item| item["key"].as_str().expect("a key")).collect();
    assert_eq!(answered, keys);
    let allowed: Vec<_> = items.iter().map(|item| item["error"].is_null()).collect();
    assert_eq!(allowed, [false, true, false, true]);
    assert_eq!(items[1]["value"], json!({"allowed": true, "reason": "ATTESTED", "dryRun": false}));
    assert!(gatekeeper(world.client(), &[]).await["items"].as_array().expect("items").is_empty());
    let path = "/gatekeeper/projects/p/clusters/l.c/validate";
    let body = |version: &str, kind: &str, keys: Value| {
        json!({"kind": kind, "request": {"keys": keys},
        "apiVersion": format!("externaldata.gatekeeper.sh/{version}")})
    };
    for wrong in [
        body("v1alpha1", "ProviderRequest", json!([])),
        body("v1beta1", "ProviderResponse", json!([])),
        body("v1beta1", "ProviderRequest", json!(vec!["nginx"; 1_001])),
        body("v1beta1", "ProviderRequest", json!([7])),
    ] {
        world.client().post(path, &wrong).await.refused(400, "INVALID_ARGUMENT");
    }
    let path = format!("/k8s/projects/p/clusters/{CLUSTER}/imagereview");
    let review = |spec: Value| {
        json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1",
        "kind": "ImageReview", "spec": spec})
    };
    for wrong in [
        json!({"apiVersion": "imagepolicy.k8s.io/v1", "kind": "ImageReview", "spec": {}}),
        review(Value::Null),
        review(json!({"containers": [], "namespace": "shop"})),
        review(json!({"containers": [{"image": "nginx"}]})),
        review(json!({"containers": [{"image": "nginx"}], "namespace": ""})),
    ] {
        world.client().post(&path, &wrong).await.refused(400, "INVALID_ARGUMENT");
    }
}

/// The same request a thousand times, through every door at once, has one verdict.
#[tokio::test(flavor = "multi_thread")]
async fn one_question_has_one_verdict() {
    let world = Arc::new(furnished().await);
    for (seed, allowed) in [("attested", true), ("forged", false)] {
        let asking: Vec<_> = (0..10)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let question = Question {
                        namespace: "shop",
                        account: "web",
                        break_glass: false,
                        image: image(seed),
                    };
                    let mut said = Vec::new();
                    for _ in 0..20 {
                        said.push(question.by_decisions(world.client()).await);
                        said.push(question.by_stream(world.client()).await);
                        said.push(question.by_admission(world.client()).await);
                        said.push(question.by_image_review(world.client()).await);
                        said.push(question.by_gatekeeper(world.client()).await);
                        // Meanwhile other work keeps the verifier and the caches busy.
                        world.client().get("/metrics").await;
                    }
                    said
                })
            })
            .collect();
        let mut all = Vec::new();
        for asked in asking {
            all.extend(asked.await.expect("answers"));
        }
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().all(|said| *said == all[0] && said.allowed == allowed), "{:?}", all[0]);
    }
}

/// A rollout of thirty pods of one new image: each of its signatures is verified once, when it is
/// filed or when it is first asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_one_new_image_verifies_each_signature_once() {
    let world = Arc::new(World::new().await);
    let new = image("new");
    let before = verifications(world.client()).await;
    for _ in 0..3 {
        world.attest(&new).await;
    }
    let burst: Vec<_> = (0..30)
        .map(|n| {
            let (world, new) = (Arc::clone(&world), new.clone());
            tokio::spawn(async move {
                let mut object = pod(&[&new]);
                object["metadata"]["name"] = json!(format!("web-{n}"));
                review(world.client(), &creation(&object)).await
            })
        })
        .collect();
    for one in burst {
        assert_eq!(one.await.expect("an answer")["allowed"], true);
    }
    let verified = verifications(world.client()).await - before;
    assert_eq!(verified, 3.0, "each of the three signatures once");
}

/// Signatures that were verified, good and bad.
async fn verifications(client: &Client) -> f64 {
    let text = client.get("/metrics").await.text;
    let lines = text.lines().filter(|line| line.starts_with("hallmark_verifications_total{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
