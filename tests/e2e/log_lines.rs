//! The operational log: what comes from outside can neither forge a line nor move a terminal's
//! cursor, by whichever door it comes.

use hallmark_tests::daemon::{Daemon, eventually};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{attestor, image, occurrence, payload, policy, put_policy};
use serde_json::json;

/// A line of its own, an erased screen, a title, a reversed extension, a hidden join.
const EVIL: &str = "x\n2026-11-30T00:00:00Z ERROR forged\r\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}1m\u{202e}gpj\u{200b}\u{2028}y";

/// True if nothing in a log moves, hides or breaks a line, and no line is forged.
fn is_plain(log: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
    };
    let forged = log.lines().any(|line| line.starts_with("2026-11-30T00:00:00Z ERROR forged"));
    !forged && !log.chars().any(|c| c != '\n' && hidden(c))
}

#[tokio::test]
async fn what_comes_from_outside_is_escaped_in_text_and_json() {
    for format in ["text", "json"] {
        let dir = tempfile::tempdir().expect("a directory");
        // A file whose name the key source tells when it cannot read it.
        let keys = dir.path().join("keys");
        std::fs::create_dir(&keys).expect("creates");
        write(&keys, EVIL, b"no key");
        let toml = format!(
            "[[plugins]]\nname = 'pkix'\nconfig = {{ sources = [{{ path = '{}' }}] }}\n",
            keys.display()
        );
        let config = write(dir.path(), "hallmark.toml", toml.as_bytes());
        let data = dir.path().join("data");
        let daemon = Daemon::start_with(
            dir.path(),
            &[
                "--data-dir",
                &data.to_string_lossy(),
                "--config",
                &config.to_string_lossy(),
                "--log",
                "debug",
                "--log-format",
                format,
            ],
        );
        let client = &daemon.client;
        let key = Key::shared("ECDSA_P256_SHA256");
        attestor(client, "a", &[("acme:k", &key)]).await;
        put_policy(client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
        // An image reference, a key id and a user's name, refused or not.
        let payload = payload(&image("i"));
        let signed =
            occurrence("a", &image("i"), &payload, &format!("acme:{EVIL}"), &key.sign(&payload));
        client.post("/v1/projects/p/occurrences", &signed).await;
        for image in [format!("registry.example.com/{EVIL}"), image("i")] {
            client.post("/v1/decisions", &json!({"project": "p", "images": [image]})).await;
        }
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "operation": "CREATE", "userInfo": {"username": EVIL}, "namespace": "n",
                "object": {"spec": {"containers": [{"image": format!("r.example.com/{EVIL}")}]}},
            },
        });
        client.post("/k8s/projects/p/clusters/l.c/admission", &review).await;
        let said = eventually("the bad file to be named", || async {
            let log = daemon.log();
            log.contains("a key is not used").then_some(log)
        })
        .await;
        assert!(said.contains("forged"), "{format}: the name of the file is told\n{said}");
        assert!(is_plain(&said), "{format}:\n{said}");
        if format == "json" {
            for line in said.lines() {
                serde_json::from_str::<serde_json::Value>(line).expect(line);
            }
        }
    }
}

/// A name of a resource file, in a reload that fails and in a start that fails.
#[tokio::test]
async fn names_of_files_are_escaped_when_a_reload_or_a_start_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    let project = dir.path().join("config/projects/p");
    std::fs::create_dir_all(project.join("attestors")).expect("creates");
    write(&project, "policy.yaml", b"defaultAdmissionRule: {evaluationMode: ALWAYS_DENY, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n");
    let daemon = Daemon::start_on_files(dir.path());
    write(&project.join("attestors"), &format!("{EVIL}.yaml"), b"nonsense: [");
    let said = eventually("the reload to fail", || async {
        let log = daemon.log();
        log.contains("not reloaded").then_some(log)
    })
    .await;
    assert!(is_plain(&said), "{said}");
    drop(daemon);
    let config = dir.path().join("config");
    let audit = dir.path().join("audit2");
    let arguments =
        ["--config-dir", &config.to_string_lossy(), "--audit-dir", &audit.to_string_lossy()];
    let refused = Daemon::try_start(dir.path(), &arguments).expect_err("does not start");
    assert!(is_plain(&refused), "{refused}");
}
