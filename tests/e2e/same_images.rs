//! One reader of Kubernetes objects: the admission door, `:evaluate` and `validate-running` name the
//! same images of the same objects.

use std::collections::BTreeSet;
use std::path::Path;

use hallmark_tests::admission::creation;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, hallmark};
use hallmark_tests::keys::write;
use hallmark_tests::project::policy;
use serde_json::{Value, json};

const POLICIES: &str = "/v1/projects/p/platforms/gke/policies";

/// As group, kind, and the way to the template.
const KINDS: [(&str, &str, &[&str]); 9] = [
    ("", "Pod", &[]),
    ("", "PodTemplate", &["template"]),
    ("", "ReplicationController", &["spec", "template"]),
    ("apps", "DaemonSet", &["spec", "template"]),
    ("apps", "Deployment", &["spec", "template"]),
    ("apps", "ReplicaSet", &["spec", "template"]),
    ("apps", "StatefulSet", &["spec", "template"]),
    ("batch", "Job", &["spec", "template"]),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

/// Specifications of pods, and the images that they start.
fn specs() -> [(Value, &'static [&'static str]); 4] {
    [
        (json!({"containers": [{"name": "a", "image": "r.example/a"}]}), &["r.example/a"]),
        (
            json!({
                "containers": [{"name": "a", "image": "r.example/a"}, {"name": "b", "image": "r.example/a"}],
                "volumes": [{"name": "s", "secret": {}}, {"name": "m", "image": {"reference": "r.example/model"}}],
            }),
            &["r.example/a", "r.example/model"],
        ),
        (
            json!({
                "initContainers": [{"name": "i", "image": "r.example/init"}],
                "containers": [{"name": "a", "image": "r.example/a"}],
                "ephemeralContainers": [{"name": "e", "image": "r.example/debug"}],
            }),
            &["r.example/a", "r.example/debug", "r.example/init"],
        ),
        (
            json!({"volumes": [{"name": "m", "image": {"reference": "r.example/only"}}]}),
            &["r.example/only"],
        ),
    ]
}

fn object(group: &str, kind: &str, way: &[&str], spec: &Value) -> Value {
    let template = json!({"spec": spec});
    let mut object = way.iter().rev().fold(template, |inner, name| json!({*name: inner}));
    object["apiVersion"] =
        json!(if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") });
    object["kind"] = json!(kind);
    object["metadata"] = json!({"name": "n", "namespace": "shop"});
    object
}

fn set<'a>(images: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    images.map(|image| image.as_str().expect("an image").to_owned()).collect()
}

async fn by_admission(client: &Client, object: &Value) -> BTreeSet<String> {
    let review = creation(object);
    let path = "/k8s/projects/p/clusters/l.c/admission";
    let status = client.post(path, &review).await.ok()["response"]["status"].take();
    let causes = status["details"]["causes"].as_array().expect("causes");
    let image = |cause: &Value| {
        let reason = cause["reason"].as_str().expect("a reason");
        reason.split('\'').nth(1).expect("an image").to_owned()
    };
    causes.iter().map(image).collect()
}

async fn by_evaluate(client: &Client, object: &Value) -> BTreeSet<String> {
    let answer =
        client.post(&format!("{POLICIES}/no:evaluate"), &json!({"resource": object})).await;
    let results = answer.ok()["results"].take();
    let pods = results.as_array().expect("pods").iter();
    set(pods
        .flat_map(|pod| pod["imageResults"].as_array().expect("images"))
        .map(|one| &one["imageUri"]))
}

fn by_validate_running(dir: &Path, daemon: &Daemon, list: &Value) -> BTreeSet<String> {
    let file = write(dir, "pods.json", list.to_string().as_bytes());
    let file = file.display().to_string();
    let args = ["validate-running", &file, "--project", "p", "--format", "json"];
    let output = hallmark(&daemon.client, &args);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let workloads = report["workloads"].as_array().expect("workloads").iter();
    set(workloads
        .flat_map(|one| one["images"].as_array().expect("images"))
        .map(|one| &one["image"]))
}

#[tokio::test]
async fn every_caller_names_the_same_images() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start_configured(dir.path(), "kubernetes.workloads = 'deny'");
    let client = &daemon.client;
    client.put("/v1/projects/p/policy", &policy("ALWAYS_DENY", &[])).await.ok();
    let no = json!({"gkePolicy": {"checkSets": [{"checks": [{"alwaysDeny": true}]}]}});
    client.post(&format!("{POLICIES}?policyId=no"), &no).await.ok();
    for (spec, images) in specs() {
        let images: BTreeSet<_> = images.iter().map(|image| (*image).to_owned()).collect();
        for (group, kind, way) in KINDS {
            let object = object(group, kind, way, &spec);
            let list = json!({"apiVersion": "v1", "kind": "List", "items": [object]});
            assert_eq!(by_admission(client, &object).await, images, "{object}");
            assert_eq!(by_evaluate(client, &object).await, images, "{object}");
            assert_eq!(by_evaluate(client, &list).await, images, "{object}");
            if kind == "Pod" {
                assert_eq!(by_validate_running(dir.path(), &daemon, &list), images, "{object}");
            }
        }
    }
}

/// OpenShift leaves the image of a workload blank until its trigger fills it in.
#[tokio::test]
async fn a_workload_may_leave_its_image_blank_and_a_pod_may_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start_configured(dir.path(), "kubernetes.workloads = 'deny'");
    let client = &daemon.client;
    client.put("/v1/projects/p/policy", &policy("ALWAYS_DENY", &[])).await.ok();
    let no = json!({"gkePolicy": {"checkSets": [{"checks": [{"alwaysDeny": true}]}]}});
    client.post(&format!("{POLICIES}?policyId=no"), &no).await.ok();
    for image in [json!(" "), json!(""), Value::Null] {
        let blank = json!({"containers": [{"name": "a", "image": image}]});
        for (group, kind, way) in KINDS {
            let object = object(group, kind, way, &blank);
            let review = creation(&object);
            let path = "/k8s/projects/p/clusters/l.c/admission";
            let response = client.post(path, &review).await.ok()["response"].take();
            assert_eq!(response["allowed"], json!(kind != "Pod"), "{kind} {response}");
            // Of no image everything would be true.
            let body = json!({"resource": object});
            let evaluated = client.post(&format!("{POLICIES}/no:evaluate"), &body).await;
            match kind {
                "Pod" => assert_eq!(evaluated.ok()["verdict"], "NON_CONFORMANT"),
                _ => drop(evaluated.refused(400, "INVALID_ARGUMENT")),
            }
        }
    }
}
