//! The daemon does all that the manifests ask of it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use hallmark_tests::daemon::Daemon;
use hallmark_tests::project::{World, image};
use serde_json::{Value, json};

use super::certificates::made;
use super::tree::{base, find, items, kustomized, text, workload};

#[tokio::test]
async fn probes_and_webhooks_ask_for_paths_that_are_there() {
    let world = World::new().await;
    let documents = base(&[]);
    let container = &workload(&documents)["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = text(&container[probe]["httpGet"]["path"]);
        assert_eq!(world.client().get(path).await.status, 200, "{path}");
    }
    let gate = kustomized(&super::tree::deploy("kubernetes/webhook"));
    for webhook in items(&gate[0]["webhooks"]) {
        let path = text(&webhook["clientConfig"]["service"]["path"]);
        let answer = world.client().post(path, &json!({})).await;
        assert!(![404, 405].contains(&answer.status), "{path}: {}", answer.text);
        let wrong = path.replace("/admission", "/admit");
        assert_eq!(world.client().post(&wrong, &json!({})).await.status, 404);
    }
}

/// The daemon as a pod runs it: its files, its certificates, and who may ask it for what.
#[tokio::test]
async fn with_these_files_everybody_gets_what_is_theirs_and_no_more() {
    let dir = tempfile::tempdir().expect("a folder");
    made(&dir.path().join("certs"));
    let daemon = start(dir.path());
    let asks = |who: Option<&str>, request: &str| ask(dir.path(), &daemon, who, request);
    let review = review();
    let other_cluster = post("my-project", "l.c", &review);
    let review = post("my-project", "my-location.my-cluster", &review);
    let answer = asks(Some("kube-apiserver"), &review);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body: Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    assert_eq!(body["response"]["allowed"], true, "{body}");
    assert_eq!(body["response"]["auditAnnotations"]["dry-run"], "true", "{body}");
    let metrics = get("/metrics");
    for (who, request, code) in [
        (Some("kube-apiserver"), &post("other-project", "my-location.my-cluster", &json!({})), 403),
        (Some("kube-apiserver"), &other_cluster, 403),
        (Some("kube-apiserver"), &metrics, 403),
        (Some("prometheus"), &review, 403),
        (Some("prometheus"), &metrics, 200),
        (None, &review, 401),
        (None, &metrics, 401),
        (None, &get("/readyz"), 200),
        (None, &get("/livez"), 200),
    ] {
        let answer = asks(who, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{who:?} {request}\n{answer}");
    }
}

/// Starts it with the base's configuration, whose folders are put below `dir`.
fn start(dir: &Path) -> Daemon {
    let documents = base(&[]);
    let config = &find(&documents, "ConfigMap", "hallmark-config")["data"];
    let resources = &find(&documents, "ConfigMap", "hallmark-resources")["data"];
    let state = dir.join("state/audit");
    let project = dir.join("resources/projects/my-project");
    std::fs::create_dir_all(&state).expect("makes a folder");
    std::fs::create_dir_all(&project).expect("makes a folder");
    for (from, to) in [("tls.crt", "tls.crt"), ("tls.key", "tls.key"), ("ca.crt", "ca.crt")] {
        std::fs::copy(dir.join("certs").join(from), dir.join(to)).expect("copies");
    }
    let here = dir.to_string_lossy();
    let toml = text(&config["hallmark.toml"])
        .replace("/etc/hallmark/tls", &here)
        .replace("/etc/hallmark/config", &here)
        .replace("/etc/hallmark/resources", &format!("{here}/resources"))
        .replace("/var/lib/hallmark/audit", &state.to_string_lossy())
        .replace("0.0.0.0:8080", "127.0.0.1:0");
    for (path, content) in [
        (dir.join("hallmark.toml"), toml.as_str()),
        (dir.join("auth.toml"), text(&config["auth.toml"])),
        (project.join("policy.yaml"), text(&resources["my-project__policy.yaml"])),
    ] {
        std::fs::write(path, content).expect("writes");
    }
    Daemon::start_with(dir, &["--config", &dir.join("hallmark.toml").to_string_lossy()])
}

/// Asks by OpenSSL, under the name that the API server uses, and with a certificate.
fn ask(dir: &Path, daemon: &Daemon, who: Option<&str>, request: &str) -> String {
    let address = daemon.client.endpoint.split("//").nth(1).expect("an address");
    let certs = dir.join("certs");
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-verify_return_error", "-connect", address]);
    openssl.args(["-verify_hostname", "hallmark.hallmark-system.svc", "-CAfile", "ca.crt"]);
    if let Some(who) = who {
        openssl.args(["-cert", &format!("{who}.crt"), "-key", &format!("{who}.key")]);
    }
    openssl.current_dir(certs).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = openssl.spawn().expect("openssl runs");
    let mut stdin = running.stdin.take().expect("a pipe");
    stdin.write_all(request.as_bytes()).expect("writes");
    let output = running.wait_with_output().expect("openssl ends");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: hallmark\r\nConnection: close\r\n\r\n")
}

fn post(project: &str, cluster: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /k8s/projects/{project}/clusters/{cluster}/admission HTTP/1.1\r\nHost: hallmark\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A pod of an image that nobody attested.
fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "web", "namespace": "shop", "operation": "CREATE", "dryRun": false,
            "userInfo": {"username": "alice"},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"containers": [{"name": "web", "image": image("plain")}]},
            },
            "oldObject": null,
        },
    })
}
