//! Keys that are not written into an attestor but come from a source: files that a plugin watches
//! over. What changes there changes the answers, without a restart.

use std::path::{Path, PathBuf};

use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::keys::{Key, openssl, write};
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

    /// Waits for what `/readyz` says of the source to be `right`, and answers it.
    async fn until_error(&self, right: impl Fn(Option<&str>) -> bool) -> Option<String> {
        eventually("what is said of the source", || async {
            let ready = self.daemon.client.get("/readyz").await.json;
            let said = ready["pluginErrors"]["pkix"].as_str();
            right(said).then(|| said.map(str::to_owned))
        })
        .await
    }

    /// Breaks the source as a whole, and mends it: `image` is allowed all the while.
    async fn keeps_its_key_while(&self, image: &str, break_it: impl FnOnce(), mend: impl FnOnce()) {
        break_it();
        let said = self.until_error(|said| said.is_some()).await.expect("an error");
        assert!(said.contains("/keys"), "{said}");
        assert_allowed(&decide(&self.daemon.client, &[image]).await, "ATTESTED");
        mend();
        self.until_error(|said| said.is_none()).await;
    }

    /// The output of `hallmark plugins list`.
    fn listed(&self) -> String {
        let config = self.dir.path().join("hallmark.toml");
        let mut list = std::process::Command::new(binary("hallmark"));
        let output = list.args(["plugins", "list", "--config"]).arg(config).output().expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
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

/// A key that is not seen is not gone.
#[tokio::test]
async fn a_source_that_breaks_keeps_its_last_good_keys() {
    let key = Key::generate("ECDSA_P256_SHA256");
    let source = Source::new(&[("release.pem", &key.public_pem)], "release.pem").await;
    let attested = image("attested");
    source.attest(&attested, "release.pem", &key).await;
    let (keys, aside) = (source.dir.path().join("keys"), source.dir.path().join("moved"));
    let (remove, put_back) = (
        || std::fs::rename(&keys, &aside).expect("moves"),
        || std::fs::rename(&aside, &keys).expect("moves"),
    );
    source.keeps_its_key_while(&attested, remove, put_back).await;
    let socket = || {
        remove();
        std::os::unix::net::UnixListener::bind(&keys).expect("binds");
    };
    let no_socket = || {
        std::fs::remove_file(&keys).expect("removes");
        put_back();
    };
    source.keeps_its_key_while(&attested, socket, no_socket).await;
    let hidden = || (0..1_001).map(|n| format!(".{n}"));
    let fill = || hidden().for_each(|name| drop(write(&keys, &name, b"")));
    let empty =
        || hidden().for_each(|name| std::fs::remove_file(keys.join(name)).expect("removes"));
    source.keeps_its_key_while(&attested, fill, empty).await;
    let metrics = source.daemon.client.get("/metrics").await.text;
    let errors = metrics.lines().filter(|line| {
        line.starts_with("hallmark_plugin_errors_total{call=\"snapshot\",plugin=\"pkix\"}")
    });
    let counts: Vec<f64> =
        errors.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert!(counts.iter().any(|count| *count >= 3.0), "{counts:?}");
}

/// A removed key goes, whatever lies beside it; a bad file is named everywhere.
#[tokio::test]
async fn a_bad_file_costs_its_own_key_and_holds_up_no_removal() {
    let (key, other) = (Key::generate("ECDSA_P256_SHA256"), Key::generate("ECDSA_P256_SHA256"));
    let files = [("release.pem", &*key.public_pem), ("other.pem", &other.public_pem)];
    let source = Source::new(&files, "release.pem").await;
    let attested = image("attested");
    source.attest(&attested, "release.pem", &key).await;
    let client = &source.daemon.client;
    assert_allowed(&decide(client, &[&attested]).await, "ATTESTED");
    let rsa_1024 = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let rsa_1024 = write(source.dir.path(), "rsa.pem", &rsa_1024);
    let rsa_1024 = openssl(&["pkey", "-pubout", "-in", &rsa_1024.to_string_lossy()]);
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    let cut = &other.public_pem.as_bytes()[..100];
    for (name, bytes) in [
        ("garbage.pem", &b"garbage"[..]),
        ("cut.pem", cut),
        ("rsa.pem", &rsa_1024),
        ("request.pem", request.as_bytes()),
        ("empty.pem", b""),
        ("keys.jwks", b"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\"}]}"),
    ] {
        write(&source.dir.path().join("keys"), name, bytes);
        std::fs::remove_file(source.path("release.pem")).expect("removes");
        source.until_allowed_is(&attested, false).await;
        let said = source.until_error(|said| said.is_some()).await.expect("an error");
        assert!(said.contains(&source.id(name)), "{said}");
        assert!(source.daemon.log().contains(&source.id(name)), "{}", source.daemon.log());
        let metrics = client.get("/metrics").await.text;
        assert!(metrics.contains("hallmark_plugin_keys_refused{plugin=\"pkix\"} 1"), "{metrics}");
        let errors = "hallmark_plugin_errors_total{call=\"snapshot\",plugin=\"pkix\"} 0";
        assert!(metrics.contains(errors), "{metrics}");
        let listed = source.listed();
        assert!(listed.contains(&source.id(name)), "{listed}");

        std::fs::remove_file(source.path(name)).expect("removes");
        source.replace("release.pem", &key.public_pem);
        source.until_allowed_is(&attested, true).await;
        source.until_error(|said| said.is_none()).await;
    }
    // The key of a file that went bad is gone with it, and comes back with it.
    source.replace("release.pem", "garbage");
    source.until_allowed_is(&attested, false).await;
    source.replace("release.pem", &key.public_pem);
    source.until_allowed_is(&attested, true).await;
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
