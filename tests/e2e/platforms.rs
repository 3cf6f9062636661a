//! Platform policies: kept for both platforms, evaluated for pods.

use hallmark_tests::audit::records;
use hallmark_tests::client::Client;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{KEY_ID, REPOSITORY, World, image};
use serde_json::{Value, json};

const POLICIES: &str = "/v1/projects/p/platforms/gke/policies";

/// A policy whose default check set asks for the key of the world and a directory, and whose
/// namespace `closed` is closed.
pub(crate) fn policy(world: &World, projects: &[&str]) -> Value {
    let key = json!({
        "keyId": KEY_ID,
        "publicKeyPem": world.key.public_pem,
        "signatureAlgorithm": "ECDSA_P256_SHA256",
    });
    let attested = json!({
        "displayName": "attested",
        "simpleSigningAttestationCheck": {
            "containerAnalysisAttestationProjects": projects,
            "attestationAuthenticators": [{"pkixPublicKeySet": {"pkixPublicKeys": [key]}}],
        },
    });
    let (directory, _) = REPOSITORY.rsplit_once('/').expect("a directory");
    let ours =
        json!({"trustedDirectoryCheck": {"trustedDirPatterns": [format!("{directory}/**")]}});
    json!({"gkePolicy": {
        "imageAllowlist": {"allowPattern": ["registry.k8s.io/pause"]},
        "checkSets": [
            {
                "displayName": "closed",
                "scope": {"kubernetesNamespace": "closed"},
                "checks": [{"alwaysDeny": true}],
            },
            {"displayName": "default", "checks": [attested, ours]},
        ],
    }})
}

pub(crate) fn pod(namespace: &str, images: &[&str]) -> Value {
    let containers: Vec<_> = images.iter().map(|image| json!({"image": image})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"containers": containers},
    })
}

pub(crate) async fn create(client: &Client, id: &str, policy: &Value) -> Value {
    client.post(&format!("{POLICIES}?policyId={id}"), policy).await.ok()
}

async fn evaluate(client: &Client, id: &str, resource: &Value) -> Value {
    let body = json!({"resource": resource});
    client.post(&format!("{POLICIES}/{id}:evaluate"), &body).await.ok()
}

fn checks(answer: &Value, image: usize) -> &Value {
    &answer["results"][0]["imageResults"][image]["checkSetResult"]["checkResults"]["results"]
}

#[tokio::test]
async fn a_pod_conforms_where_every_check_of_its_check_set_does() {
    let world = World::new().await;
    let client = world.client();
    create(client, "ours", &policy(&world, &["projects/p"])).await;
    let attested = image("attested");
    world.attest(&attested).await;

    let both = pod("shop", &[&attested, "registry.k8s.io/pause"]);
    let conformant = evaluate(client, "ours", &both).await;
    assert_eq!(conformant["verdict"], "CONFORMANT", "{conformant:#}");
    assert_eq!(checks(&conformant, 0)[0]["type"], "SimpleSigningAttestationCheck");
    let exempt = &conformant["results"][0]["imageResults"][1]["allowlistResult"];
    assert_eq!(exempt["matchedPattern"], "registry.k8s.io/pause");

    let plain = evaluate(client, "ours", &pod("shop", &[&image("plain")])).await;
    assert_eq!(plain["verdict"], "NON_CONFORMANT");
    let verdict = |check: usize| &checks(&plain, 0)[check]["evaluationResult"]["verdict"];
    assert_eq!((verdict(0), verdict(1)), (&json!("NON_CONFORMANT"), &json!("CONFORMANT")));

    let closed = evaluate(client, "ours", &pod("closed", &[&attested])).await;
    assert_eq!(closed["verdict"], "NON_CONFORMANT");
    assert_eq!(checks(&closed, 0)[0]["type"], "AlwaysDeny");

    let path = format!("{POLICIES}/ours:evaluate?$alt=json;enum-encoding=int");
    let body = json!({"resource": pod("shop", &[&attested])});
    assert_eq!(client.post(&path, &body).await.ok()["verdict"], 1);
}

#[tokio::test]
async fn only_attestations_of_the_projects_named_and_by_the_key_given_count() {
    let world = World::new().await;
    let client = world.client();
    let attested = image("attested");
    let occurrence = world.attest(&attested).await;
    let deployment = json!({
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"image": attested}]}}},
    });
    create(client, "here", &policy(&world, &["projects/p"])).await;
    create(client, "elsewhere", &policy(&world, &["projects/q"])).await;
    let mut stranger = policy(&world, &["projects/p"]);
    let key = "/gkePolicy/checkSets/1/checks/0/simpleSigningAttestationCheck\
               /attestationAuthenticators/0/pkixPublicKeySet/pkixPublicKeys/0/publicKeyPem";
    let pem = Key::generate("ECDSA_P256_SHA256").public_pem;
    *stranger.pointer_mut(key).expect("a key") = pem.into();
    create(client, "stranger", &stranger).await;
    for (id, verdict) in
        [("here", "CONFORMANT"), ("elsewhere", "NON_CONFORMANT"), ("stranger", "NON_CONFORMANT")]
    {
        assert_eq!(evaluate(client, id, &deployment).await["verdict"], verdict, "{id}");
    }
    client.delete(&format!("/v1/{occurrence}")).await.ok();
    assert_eq!(evaluate(client, "here", &deployment).await["verdict"], "NON_CONFORMANT");
}

#[tokio::test]
async fn checks_that_are_not_evaluated_never_conform() {
    let world = World::new().await;
    let check = json!({"imageFreshnessCheck": {"maxUploadAgeDays": 30}});
    let fresh = json!({"gkePolicy": {"checkSets": [{"checks": [check]}]}});
    let made = create(world.client(), "fresh", &fresh).await;
    let kept = &made["gkePolicy"]["checkSets"][0]["checks"][0]["imageFreshnessCheck"];
    assert_eq!(kept["maxUploadAgeDays"], 30);
    let answer = evaluate(world.client(), "fresh", &pod("shop", &[&image("any")])).await;
    assert_eq!(answer["verdict"], "NON_CONFORMANT");
    let explanation = checks(&answer, 0)[0]["explanation"].as_str().unwrap_or_default();
    assert!(explanation.contains("not evaluated"), "{explanation}");
}

#[tokio::test]
async fn a_platform_policy_lives_from_create_to_delete_and_across_a_restart() {
    let world = World::new().await;
    let client = world.client();
    let platforms = client.get("/v1/projects/p/platforms").await.ok();
    assert_eq!(platforms["platforms"], json!([{"platformId": "cloudRun"}, {"platformId": "gke"}]));
    let made = create(client, "a", &policy(&world, &["projects/p"])).await;
    assert_eq!(made["name"], "projects/p/platforms/gke/policies/a");
    for id in ["b", "c"] {
        create(client, id, &policy(&world, &["projects/p"])).await;
    }
    let again = client.post(&format!("{POLICIES}?policyId=a"), &made).await;
    again.refused(409, "ALREADY_EXISTS");
    assert_eq!(client.list(POLICIES, "platformPolicies", 2).await.len(), 3);
    let path = format!("{POLICIES}/a");
    let replaced = client.put(&path, &made).await.ok();
    assert_ne!(replaced["etag"], made["etag"]);
    client.put(&path, &made).await.refused(409, "ABORTED");
    client.delete(&format!("{path}?etag=stale")).await.refused(409, "ABORTED");
    client
        .put(&format!("{POLICIES}/none"), &json!({"gkePolicy": {}}))
        .await
        .refused(404, "NOT_FOUND");
    let daemon = world.daemon;
    daemon.stop();
    let daemon = hallmark_tests::daemon::Daemon::start(world.dir.path());
    assert_eq!(daemon.client.get(&path).await.ok(), replaced);
    daemon.client.delete(&path).await.ok();
    daemon.client.get(&path).await.refused(404, "NOT_FOUND");
    daemon.client.delete(&path).await.refused(404, "NOT_FOUND");
}

/// As any other resource does: a project that holds nothing is denied everything.
#[tokio::test]
async fn a_platform_policy_alone_makes_a_project_known() {
    let world = World::new().await;
    let client = world.client();
    let decide = || async {
        let asked = json!({"project": "q", "images": [image("web")]});
        let decision = client.post("/v1/decisions", &asked).await.ok();
        decision["images"][0]["reason"].as_str().expect("a reason").to_owned()
    };
    assert_eq!(decide().await, "PROJECT_UNKNOWN");
    let policies = POLICIES.replace("/p/", "/q/");
    client.post(&format!("{policies}?policyId=a"), &json!({"gkePolicy": {}})).await.ok();
    assert_eq!(decide().await, "POLICY_NOT_WRITTEN");
    client.delete(&format!("{policies}/a")).await.ok();
    assert_eq!(decide().await, "PROJECT_UNKNOWN");
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_with_its_whole_path() {
    let world = World::new().await;
    let mut broken = policy(&world, &["projects/p"]);
    let key = "/gkePolicy/checkSets/1/checks/0/simpleSigningAttestationCheck\
               /attestationAuthenticators/0/pkixPublicKeySet/pkixPublicKeys/0";
    let member = broken.pointer_mut(&format!("{key}/publicKeyPem")).expect("a key");
    *member = json!("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    let answer = world.client().post(&format!("{POLICIES}?policyId=x"), &broken).await;
    answer.refused(400, "INVALID_ARGUMENT");
    let field = &answer.json["error"]["details"][0]["fieldViolations"][0]["field"];
    let path = "gkePolicy.checkSets[1].checks[0].simpleSigningAttestationCheck.\
                attestationAuthenticators[0].pkixPublicKeySet.pkixPublicKeys[0]";
    assert_eq!(field, path, "{}", answer.text);
}

#[tokio::test]
async fn every_refusal_of_a_platform_policy_says_why() {
    let world = World::new().await;
    let client = world.client();
    let cloud_run = json!({"cloudRunPolicy": {"rule": {
        "evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
    }}});
    let cloud_run_policies = POLICIES.replace("gke", "cloudRun");
    client.post(&format!("{cloud_run_policies}?policyId=r"), &cloud_run).await.ok();
    let body = json!({"resource": pod("shop", &["a"])});
    let answer = client.post(&format!("{cloud_run_policies}/r:evaluate"), &body).await;
    assert!(answer.refused(400, "INVALID_ARGUMENT").contains("policies for gke are evaluated"));
    create(client, "open", &json!({"gkePolicy": {}})).await;
    let evaluate = format!("{POLICIES}/open:evaluate");
    for (path, body, says) in [
        (format!("{POLICIES}?policyId=x"), cloud_run.clone(), "set gkePolicy"),
        (POLICIES.to_owned(), json!({"gkePolicy": {}}), "`policyId` is required"),
        (format!("{}?policyId=x", POLICIES.replace("gke", "vm")), json!({}), "gke"),
        (evaluate.clone(), json!({}), "resource"),
        (evaluate.clone(), json!({"resource": {"kind": "Node"}}), "kind `Node` has no pods"),
        (
            evaluate,
            json!({"resource": {}, "attestationMode": "GENERATE_DEPLOY"}),
            "leave attestationMode",
        ),
    ] {
        let message = client.post(&path, &body).await.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(says), "{message}");
    }
}

/// Every answer is one record for each pod; the second is found, not worked out; all are counted.
#[tokio::test]
async fn answers_for_pods_are_recorded_cached_and_counted() {
    let world = World::new().await;
    let client = world.client();
    create(client, "ours", &policy(&world, &["projects/p"])).await;
    let attested = image("attested");
    world.attest(&attested).await;
    let pods = [pod("shop", &[&attested]), pod("closed", &[&attested])];
    let list = json!({"kind": "List", "items": pods});
    let metric = async |series: &str| {
        let text = client.get("/metrics").await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).to_owned()
    };
    for time in 1..=2_usize {
        let answer = evaluate(client, "ours", &list).await;
        let lines = records(world.dir.path());
        let lines: Vec<_> = lines.iter().filter(|line| line["type"] == "conformance").collect();
        assert_eq!(lines.len(), 2 * time);
        for (line, pod) in lines[2 * time - 2..].iter().zip(answer["results"].as_array().unwrap()) {
            assert_eq!(line["pod"], *pod);
            assert_eq!(line["policy"], "projects/p/platforms/gke/policies/ours");
            assert_eq!(line["api"], "binaryauthorization");
            assert_eq!(line["door"], line["api"], "its old name");
            assert!(line["generation"].is_u64(), "{line:#}");
        }
        for (outcome, count) in [("miss", 1), ("hit", time - 1)] {
            let series = "hallmark_cache_requests_total{cache=\"conformance\",outcome=\"";
            assert_eq!(metric(&format!("{series}{outcome}\"}}")).await, count.to_string());
        }
        for verdict in ["CONFORMANT", "NON_CONFORMANT"] {
            let series = format!("hallmark_pods_evaluated_total{{verdict=\"{verdict}\"}}");
            assert_eq!(metric(&series).await, time.to_string());
        }
    }
}
