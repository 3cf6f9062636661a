//! The certificates that `bootstrap.sh` makes with OpenSSL.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::tree::{deploy, documents, find, kustomized, printed, run, text};

fn bootstrap(dir: &Path, project: &str, cluster: &str) -> std::process::Output {
    let script = deploy("kubernetes/certificates/bootstrap.sh");
    run(Command::new(script).args([project, cluster]).arg(dir))
}

/// Every certificate of cluster `europe-west2.prod`.
pub(crate) fn made(dir: &Path) {
    let output = bootstrap(dir, "my-app-prod", "europe-west2.prod");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn openssl(dir: &Path, args: &[&str]) -> String {
    printed(Command::new("openssl").args(args).current_dir(dir))
}

fn file(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).expect(name)
}

#[test]
fn every_certificate_is_good_for_one_thing() {
    let dir = tempfile::tempdir().expect("a folder");
    made(dir.path());
    for (name, purpose, other) in [
        ("tls", "sslserver", "sslclient"),
        ("kube-apiserver", "sslclient", "sslserver"),
        ("prometheus", "sslclient", "sslserver"),
    ] {
        let certificate = format!("{name}.crt");
        let verify = |purpose: &str| {
            let args = ["verify", "-CAfile", "ca.crt", "-purpose", purpose, &certificate];
            run(Command::new("openssl").args(args).current_dir(dir.path())).status.success()
        };
        assert!(verify(purpose) && !verify(other), "{name}");
    }
    let host = ["verify", "-CAfile", "ca.crt", "-verify_hostname", "hallmark.hallmark-system.svc"];
    openssl(dir.path(), &[&host[..], &["tls.crt"]].concat());
    let subject = openssl(dir.path(), &["x509", "-in", "kube-apiserver.crt", "-noout", "-subject"]);
    let bound = super::tree::read("kubernetes/base/config/auth.toml");
    assert!(subject.trim().ends_with("kube-apiserver"), "{subject}");
    assert!(bound.contains("\"mtls:cn:kube-apiserver\""), "{bound}");
}

#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    made(dir.path());
    for name in
        ["ca.key", "tls.key", "kube-apiserver.key", "secrets.yaml", "apiserver/kubeconfig.yaml"]
    {
        let mode = std::fs::metadata(dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn made_again_the_ca_stays_and_the_rest_is_new() {
    let dir = tempfile::tempdir().expect("a folder");
    made(dir.path());
    let before = (file(dir.path(), "ca.crt"), file(dir.path(), "tls.crt"));
    made(dir.path());
    assert_eq!(file(dir.path(), "ca.crt"), before.0);
    assert_ne!(file(dir.path(), "tls.crt"), before.1);
}

#[test]
fn what_is_to_be_applied_holds_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().canonicalize().expect("exists");
    made(&path);
    let encoded = |name: &str| openssl(&path, &["base64", "-A", "-in", name]);
    let secrets = documents(&file(&path, "secrets.yaml"));
    for (secret, name) in [("hallmark-tls", "tls"), ("hallmark-prometheus", "prometheus")] {
        let secret = find(&secrets, "Secret", secret);
        assert_eq!(secret["metadata"]["namespace"], "hallmark-system");
        assert_eq!(text(&secret["data"]["tls.crt"]), encoded(&format!("{name}.crt")));
        assert_eq!(text(&secret["data"]["tls.key"]), encoded(&format!("{name}.key")));
        assert_eq!(text(&secret["data"]["ca.crt"]), encoded("ca.crt"));
    }
    let gate = kustomized(&path.join("webhook"));
    let gate = find(&gate, "ValidatingWebhookConfiguration", "hallmark");
    for webhook in gate["webhooks"].as_array().expect("webhooks") {
        assert_eq!(text(&webhook["clientConfig"]["caBundle"]), encoded("ca.crt"));
        let path = "/k8s/projects/my-app-prod/clusters/europe-west2.prod/admission";
        assert_eq!(webhook["clientConfig"]["service"]["path"], path);
    }
    let kubeconfig: Vec<Value> = documents(&file(&path, "apiserver/kubeconfig.yaml"));
    let user = &kubeconfig[0]["users"][0];
    // The API server looks for NAME.NAMESPACE.svc of the webhook's service.
    assert_eq!(user["name"], "hallmark.hallmark-system.svc");
    assert_eq!(text(&user["user"]["client-certificate-data"]), encoded("kube-apiserver.crt"));
    let admission = documents(&file(&path, "apiserver/admission.yaml"));
    assert_eq!(admission[0]["plugins"][0]["name"], "ValidatingAdmissionWebhook");
}

#[test]
fn names_that_would_not_make_a_path_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for (project, cluster) in
        [("My App", "l.c"), ("p/../q", "l.c"), ("p", "cluster"), ("p", "a.b/c")]
    {
        let output = bootstrap(dir.path(), project, cluster);
        assert!(!output.status.success(), "{project} {cluster}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
}
