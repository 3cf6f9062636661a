//! Keys that change at their source while decisions are asked for: a JSON Web Key Set in a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, eventually};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{
    assert_allowed, assert_denied, attest, decide, image, note, outcome, policy, put_policy,
};
use serde_json::{Value, json};

const P256: &str = "ECDSA_P256_SHA256";

/// A daemon whose attestor `a` trusts every key of one set.
struct Set {
    dir: tempfile::TempDir,
    daemon: Daemon,
}

impl Set {
    /// `options` are those of the plugin beside its configuration.
    async fn new(keys: &[(&str, &Key)], refresh_secs: u32, options: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        write_set(dir.path(), keys);
        let path = dir.path().join("keys.json").display().to_string();
        let toml = format!(
            "[[plugins]]\nname = 'pkix'\n{options}\n\
             config = {{ refresh_secs = {refresh_secs}, sources = [{{ path = '{path}' }}] }}"
        );
        let daemon = Daemon::start_configured(dir.path(), &toml);
        note(&daemon.client, "a").await;
        let body = json!({"userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a", "publicKeys": [{"id": format!("file://{path}")}],
        }});
        daemon.client.post("/v1/projects/p/attestors?attestorId=a", &body).await.ok();
        put_policy(&daemon.client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
        Self { dir, daemon }
    }

    fn client(&self) -> &Client {
        &self.daemon.client
    }

    fn replace(&self, keys: &[(&str, &Key)]) {
        write_set(self.dir.path(), keys);
    }

    /// An image with an attestation by this key.
    async fn signed(&self, kid: &str, key: &Key) -> String {
        let image = image(kid);
        let id = format!("file://{}/keys.json#{kid}", self.dir.path().display());
        attest(self.client(), "a", &image, &id, key).await;
        image
    }

    /// The number at the end of the one line of this plugin that begins so.
    async fn metric(&self, name: &str) -> f64 {
        let text = self.client().get("/metrics").await.text;
        let mut ours = text.lines().filter(|line| line.contains("plugin=\"pkix\""));
        let line = ours.find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
    }

    /// Waits until other keys than `before` are in force.
    async fn generation_after(&self, before: &Value) {
        eventually("another generation", || async {
            let decision = decide(self.client(), &[&image("nothing")]).await;
            (decision["generation"] != *before).then_some(())
        })
        .await;
    }

    async fn generation(&self) -> Value {
        decide(self.client(), &[&image("nothing")]).await["generation"].clone()
    }
}

/// Written aside and moved, as whoever publishes keys does it.
fn write_set(dir: &std::path::Path, keys: &[(&str, &Key)]) {
    let keys: Vec<_> = keys.iter().map(|(kid, key)| jwk(kid, key)).collect();
    let text = json!({"keys": keys}).to_string();
    let aside = write(dir, "aside.json", text.as_bytes());
    std::fs::rename(aside, dir.join("keys.json")).expect("moves");
}

fn jwk(kid: &str, key: &Key) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let public = key.write(dir.path(), "key").1.display().to_string();
    let args = ["pkey", "-pubin", "-in", &public, "-outform", "DER"];
    let der = hallmark_tests::keys::openssl(&args);
    let (x, y) = der[der.len() - 64..].split_at(32);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": x, "y": y})
}

/// Asks for decisions on an image without a pause, until stopped.
struct Hammer {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Hammer {
    fn start(daemon: &Daemon, image: &str) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let hit = || {
            let client = Client::new(daemon.client.address());
            let (image, stop, asked) = (image.to_owned(), Arc::clone(&stop), Arc::clone(&asked));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    assert_allowed(&decide(&client, &[&image]).await, "ATTESTED");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let tasks = (0..4).map(|_| hit()).collect();
        Self { stop, asked, tasks }
    }

    /// Stops the callers; answers the number of decisions that they asked for, each of which was an
    /// allow.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("every decision allows");
        }
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_rotation_under_load_denies_nothing_and_the_revoked_key_at_once() {
    let (old, new) = (Key::generate(P256), Key::generate(P256));
    let set = Set::new(&[("old", &old)], 1, "").await;
    let (by_old, by_new) = (set.signed("old", &old).await, set.signed("new", &new).await);
    assert_allowed(&decide(set.client(), &[&by_old]).await, "ATTESTED");
    assert_denied(&decide(set.client(), &[&by_new]).await, "NOT_ATTESTED");

    let before = set.generation().await;
    let hammer = Hammer::start(&set.daemon, &by_old);
    set.replace(&[("old", &old), ("new", &new)]);
    set.generation_after(&before).await;
    let overlap = Hammer::start(&set.daemon, &by_new);
    assert_allowed(&decide(set.client(), &[&by_old, &by_new]).await, "ATTESTED");
    assert!(hammer.stop().await > 50);

    let before = set.generation().await;
    set.replace(&[("new", &new)]);
    set.generation_after(&before).await;
    let revoked = decide(set.client(), &[&by_old]).await;
    assert_denied(&revoked, "NOT_ATTESTED");
    assert_eq!(outcome(&revoked), "KEY_ID_UNKNOWN");
    assert!(overlap.stop().await > 10);
}

/// Same id, other key: the log and a metric say so.
#[tokio::test]
async fn a_key_that_takes_the_id_of_another_is_told() {
    let (old, new) = (Key::generate(P256), Key::generate(P256));
    let set = Set::new(&[("k", &old)], 1, "").await;
    let signed = set.signed("k", &new).await;
    assert_denied(&decide(set.client(), &[&signed]).await, "NOT_ATTESTED");
    assert_eq!(set.metric("hallmark_plugin_key_rotations_total").await, 0.0);
    let before = set.generation().await;
    set.replace(&[("k", &new)]);
    set.generation_after(&before).await;
    assert_allowed(&decide(set.client(), &[&signed]).await, "ATTESTED");
    assert_eq!(set.metric("hallmark_plugin_key_rotations_total").await, 1.0);
    assert!(set.daemon.log().contains("another key goes by this id"), "{}", set.daemon.log());
}

/// The set is looked at once a day: only the unknown key can be the reason.
#[tokio::test]
async fn a_signature_by_an_unknown_key_has_the_source_asked_again() {
    let (old, new) = (Key::generate(P256), Key::generate(P256));
    let set = Set::new(&[("old", &old)], 86_400, "unknown_key_refresh_secs = 1").await;
    let (by_old, by_new) = (set.signed("old", &old).await, set.signed("new", &new).await);
    set.replace(&[("old", &old), ("new", &new)]);
    assert_allowed(&decide(set.client(), &[&by_old]).await, "ATTESTED");
    assert_denied(&decide(set.client(), &[&by_new]).await, "NOT_ATTESTED");
    eventually("the new key", || async {
        let decision = decide(set.client(), &[&by_new]).await;
        (decision["allowed"] == json!(true)).then_some(())
    })
    .await;
    let asked = "hallmark_plugin_key_refreshes_total{cause=\"unknown_key\"";
    assert_eq!(set.metric(asked).await, 1.0);
}

#[tokio::test]
async fn an_unknown_key_is_no_reason_where_that_is_switched_off() {
    let (old, new) = (Key::generate(P256), Key::generate(P256));
    let set = Set::new(&[("old", &old)], 86_400, "unknown_key_refresh_secs = 0").await;
    let by_new = set.signed("new", &new).await;
    set.replace(&[("old", &old), ("new", &new)]);
    for _ in 0..100 {
        assert_denied(&decide(set.client(), &[&by_new]).await, "NOT_ATTESTED");
    }
    let asked = "hallmark_plugin_key_refreshes_total{cause=\"unknown_key\"";
    assert_eq!(set.metric(asked).await, 0.0);
}

#[tokio::test]
async fn keys_of_a_source_that_is_down_end_with_the_grace() {
    let key = Key::generate(P256);
    let set = Set::new(&[("k", &key)], 1, "stale_grace_secs = 1").await;
    let signed = set.signed("k", &key).await;
    assert_allowed(&decide(set.client(), &[&signed]).await, "ATTESTED");
    std::fs::remove_file(set.dir.path().join("keys.json")).expect("removes");
    eventually("the end of the grace", || async {
        let decision = decide(set.client(), &[&signed]).await;
        (decision["allowed"] == json!(false)).then_some(())
    })
    .await;
    let denied = decide(set.client(), &[&signed]).await;
    assert_denied(&denied, "UNDETERMINED");
    let attestor = &denied["images"][0]["attestors"][0];
    assert_eq!(attestor["reason"], "KEYS_UNAVAILABLE");
    let text = denied.to_string();
    assert!(text.contains("its last keys are more than 1 s out of date"), "{text}");
    assert_eq!(set.metric("hallmark_plugin_keys_withdrawn").await, 1.0);
    assert!(set.metric("hallmark_plugin_keys_overdue_seconds").await >= 1.0);

    set.replace(&[("k", &key)]);
    eventually("the keys", || async {
        let decision = decide(set.client(), &[&signed]).await;
        (decision["allowed"] == json!(true)).then_some(())
    })
    .await;
    assert_eq!(set.metric("hallmark_plugin_keys_withdrawn").await, 0.0);
}

#[tokio::test]
async fn a_set_becomes_empty_only_where_it_may() {
    let key = Key::generate(P256);
    let set = Set::new(&[("k", &key)], 1, "").await;
    let signed = set.signed("k", &key).await;
    set.replace(&[]);
    eventually("the fault", || async {
        let errors = set.metric("hallmark_plugin_errors_total{call=\"snapshot\"").await;
        (errors > 0.0).then_some(())
    })
    .await;
    assert_allowed(&decide(set.client(), &[&signed]).await, "ATTESTED");

    let set = Set::new(&[("k", &key)], 1, "allow_empty = true").await;
    let signed = set.signed("k", &key).await;
    assert_allowed(&decide(set.client(), &[&signed]).await, "ATTESTED");
    set.replace(&[]);
    eventually("no key", || async {
        let decision = decide(set.client(), &[&signed]).await;
        (decision["allowed"] == json!(false)).then_some(())
    })
    .await;
}
