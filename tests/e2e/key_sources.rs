//! Keys that are not written into an attestor but come from a source: files that a plugin watches
//! over. What changes there changes the answers, without a restart.

use std::path::{Path, PathBuf};

use hallmark_tests::daemon::{Daemon, eventually};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{
    assert_allowed, assert_denied, attest, decide, image, note, outcome, policy, put_policy,
};
use serde_json::json;

/// A daemon with a directory of keys, and attestor `a` that trusts one of them by its URI.
struct Source {
    dir: tempfile::TempDir,
    daemon: Daemon,
}

impl Source {
    /// `keys` are files and what is in them; the attestor trusts the one with `id`.
    async fn new(keys: &[(&str, &str)], id: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let source = dir.path().join("keys");
        std::fs::create_dir(&source).expect("creates");
        for (name, text) in keys {
            write(&source, name, text.as_bytes());
        }
        let toml = format!(
            "[[plugins]]\nname = 'pkix'\n\
             config = {{ refresh_secs = 1, sources = [{{ path = '{}' }}] }}",
            source.display()
        );
        let daemon = Daemon::start_configured(dir.path(), &toml);
        let this = Self { dir, daemon };
        note(&this.daemon.client, "a").await;
        let body = json!({"userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a", "publicKeys": [{"id": this.id(id)}],
        }});
        let create = "/v1/projects/p/attestors?attestorId=a";
        this.daemon.client.post(create, &body).await.ok();
        put_policy(&this.daemon.client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("keys").join(name)
    }

    fn id(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    /// Replaces a file at once.
    fn replace(&self, name: &str, text: &str) {
        let aside = write(self.dir.path(), "aside", text.as_bytes());
        std::fs::rename(aside, self.path(name)).expect("moves");
    }

    async fn attest(&self, image: &str, id: &str, key: &Key) {
        attest(&self.daemon.client, "a", image, &self.id(id), key).await;
    }

    async fn until_allowed_is(&self, image: &str, allowed: bool) {
        eventually("the other key", || async {
            let decision = decide(&self.daemon.client, &[image]).await;
            (decision["allowed"] == json!(allowed)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_key_replaced_at_its_source_is_trusted_and_the_old_one_is_not() {
    let (old, new) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
    let source = Source::new(&[("release.pem", &old.public_pem)], "release.pem").await;
    let (by_old, by_new) = (image("by old"), image("by new"));
    source.attest(&by_old, "release.pem", &old).await;
    source.attest(&by_new, "release.pem", &new).await;
    let client = &source.daemon.client;
    assert_allowed(&decide(client, &[&by_old]).await, "ATTESTED");
    let denied = decide(client, &[&by_new]).await;
    assert_denied(&denied, "NOT_ATTESTED");
    assert_eq!(outcome(&denied), "BAD_SIGNATURE");

    source.replace("release.pem", &new.public_pem);
    source.until_allowed_is(&by_new, true).await;
    assert_denied(&decide(client, &[&by_old]).await, "NOT_ATTESTED");
}

/// All or nothing: what cannot be read takes no key away and adds none.
#[tokio::test]
async fn a_source_that_breaks_keeps_its_last_good_keys() {
    let key = Key::generate("ECDSA_P256_SHA256");
    let source = Source::new(&[("release.pem", &key.public_pem)], "release.pem").await;
    let attested = image("attested");
    source.attest(&attested, "release.pem", &key).await;
    write(&source.dir.path().join("keys"), "broken.pem", b"-----BEGIN PUBLIC KEY-----\nno\n");
    let client = &source.daemon.client;
    eventually("the fault", || async {
        let metrics = client.get("/metrics").await.text;
        let errors =
            metrics.lines().filter(|line| line.starts_with("hallmark_plugin_errors_total{"));
        let mut counts = errors.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        counts.any(|count| count > 0.0).then_some(())
    })
    .await;
    assert_allowed(&decide(client, &[&attested]).await, "ATTESTED");
    assert!(source.daemon.log().contains("broken.pem"), "{}", source.daemon.log());
}

/// A certificate lends its key its time of validity.
#[tokio::test]
async fn a_key_is_trusted_for_as_long_as_its_certificate_is_valid() {
    let key = Key::shared("ECDSA_P256_SHA256");
    let dir = tempfile::tempdir().expect("a directory");
    let (private, _) = key.write(dir.path(), "key");
    let expired = certificate(&private, "20200101000000Z", "20210101000000Z");
    let valid = certificate(&private, "20200101000000Z", "21000101000000Z");
    let early = certificate(&private, "20990101000000Z", "21000101000000Z");
    let source = Source::new(&[("c.pem", &valid)], "c.pem").await;
    let attested = image("attested");
    source.attest(&attested, "c.pem", &key).await;
    let client = &source.daemon.client;
    assert_allowed(&decide(client, &[&attested]).await, "ATTESTED");
    for (certificate, why) in [(expired, "KEY_EXPIRED"), (early, "KEY_NOT_YET_VALID")] {
        source.replace("c.pem", &certificate);
        eventually(why, || async {
            let decision = decide(client, &[&attested]).await;
            (outcome(&decision) == why && decision["allowed"] == json!(false)).then_some(())
        })
        .await;
    }
    source.replace("c.pem", &valid);
    source.until_allowed_is(&attested, true).await;
}

/// A certificate of a key, made by OpenSSL as a certificate authority makes it.
fn certificate(private: &Path, not_before: &str, not_after: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let config = "[ca]\ndefault_ca = d\n[d]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
                  default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n\
                  [req]\ndistinguished_name = n\n[n]\n";
    write(dir.path(), "ca.cnf", config.as_bytes());
    write(dir.path(), "index", b"");
    write(dir.path(), "serial", b"01\n");
    let private = private.to_string_lossy();
    let run = |args: &[&str]| {
        let mut openssl = std::process::Command::new("openssl");
        let output = openssl.args(args).current_dir(dir.path()).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["req", "-new", "-config", "ca.cnf", "-key", &private, "-subj", "/CN=k", "-out", "csr"]);
    run(&[
        "ca",
        "-batch",
        "-notext",
        "-config",
        "ca.cnf",
        "-selfsign",
        "-keyfile",
        &private,
        "-in",
        "csr",
        "-out",
        "cert.pem",
        "-startdate",
        not_before,
        "-enddate",
        not_after,
    ]);
    std::fs::read_to_string(dir.path().join("cert.pem")).expect("made")
}
