//! Keys in a PKCS#11 token: attestors that name them by URI, and signatures that the token makes.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    assert_allowed, assert_denied, decide, file, flipped, image, note, occurrence, outcome,
    payload, policy, put_policy,
};
use hallmark_tests::token::{MODULE, PIN, Token};
use serde_json::{Value, json};

use crate::cli::printed;

const P256: &str = "ECDSA_P256_SHA256";
const VERSION: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

/// Label of the key, its algorithm.
const KEYS: [(&str, &str); 4] = [
    ("p256", P256),
    ("p384", "ECDSA_P384_SHA384"),
    ("pss", "RSA_PSS_2048_SHA256"),
    ("pkcs1", "RSA_SIGN_PKCS1_2048_SHA256"),
];

/// A daemon with a token and an attestor `a` that trusts all keys in it.
struct World {
    dir: tempfile::TempDir,
    token: Token,
    daemon: Daemon,
}

/// Lines of the configuration: of the instance, and of what it is told.
#[derive(Clone, Copy, Default)]
struct Options<'a> {
    instance: &'a str,
    told: &'a str,
}

fn uri(label: &str) -> String {
    format!("pkcs11:token=t;object={label}")
}

impl World {
    async fn new(keys: &[(&str, &'static str)]) -> Self {
        Self::with(keys, Options::default(), |_| MODULE.into()).await
    }

    async fn with(
        keys: &[(&str, &'static str)],
        options: Options<'_>,
        module: impl FnOnce(&Token) -> std::path::PathBuf,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let token = Token::new(dir.path());
        for ((label, algorithm), id) in keys.iter().zip(1..) {
            token.import(&Key::shared(algorithm), label, &format!("{id:02}"));
        }
        let configured = configuration(keys, options, &module(&token), &token);
        let daemon = start(dir.path(), &token, &configured);
        note(&daemon.client, "a").await;
        let ids: Vec<_> = keys.iter().map(|(label, _)| json!({"id": uri(label)})).collect();
        let body = json!({"userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a", "publicKeys": ids,
        }});
        daemon.client.post("/v1/projects/p/attestors?attestorId=a", &body).await.ok();
        put_policy(&daemon.client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
        Self { dir, token, daemon }
    }

    fn client(&self) -> &Client {
        &self.daemon.client
    }

    /// `hallmark attestations sign-and-create` with the token.
    fn sign_and_create(&self, image: &str, key: &[&str]) -> Output {
        let place = ["attestations", "sign-and-create", "--attestor", "a", "--artifact-url", image];
        let mut hallmark = Command::new(binary("hallmark"));
        hallmark.args(place).args(key).args(["--format", "json"]);
        hallmark.env("HALLMARK_ENDPOINT", format!("http://{}", self.client().address()));
        hallmark.env("HALLMARK_PROJECT", "p").env("SOFTHSM2_CONF", self.token.conf());
        hallmark.output().expect("hallmark runs")
    }

    fn sign_with_token(&self, image: &str, label: &str, algorithm: &str) -> Value {
        let pin_file = self.token.pin_file().display().to_string();
        let algorithm = algorithm.to_lowercase().replace('_', "-");
        let token = ["--pkcs11-module", MODULE, "--pin-file", &pin_file];
        let key = ["--key", &uri(label), "--algorithm", &algorithm];
        let output = self.sign_and_create(image, &[&token[..], &key].concat());
        assert!(!String::from_utf8_lossy(&output.stderr).contains(PIN));
        serde_json::from_str(&printed(&output, 0)).expect("JSON")
    }

    /// Asks the route of the shape of Cloud KMS for a signature.
    async fn kms_status(&self) -> u16 {
        let body = json!({"digest": {"sha256": STANDARD.encode([7; 32])}});
        self.client().post(&format!("/v1/{VERSION}:asymmetricSign"), &body).await.status
    }

    /// The PIN is in nothing that the daemon says or keeps.
    async fn keeps_the_pin(&self) {
        assert!(!self.daemon.log().contains(PIN), "{}", self.daemon.log());
        assert!(!self.client().get("/metrics").await.text.contains(PIN));
        let mut grep = Command::new("grep");
        let found = grep.args(["-r", "-l", "-F", PIN]).arg(self.dir.path()).output();
        let found = String::from_utf8(found.expect("grep runs").stdout).expect("text");
        let pin_file = self.token.pin_file().display().to_string();
        assert_eq!(found.trim(), pin_file, "the PIN lies elsewhere too");
    }
}

fn configuration(
    keys: &[(&str, &str)],
    options: Options<'_>,
    module: &Path,
    token: &Token,
) -> String {
    let Options { instance, told } = options;
    let key = |(label, algorithm): &(&str, &str)| {
        format!("{{ uri = '{}', algorithm = '{algorithm}' }}", uri(label))
    };
    let keys: Vec<_> = keys.iter().map(key).collect();
    format!(
        "[[plugins]]\nname = 'hsm'\nenvironment = ['SOFTHSM2_CONF']\n\
         secrets = {{ pin = '{}' }}\n{instance}\n\
         [plugins.config]\nmodule = '{}'\npin = {{ secret = 'pin' }}\nrefresh_secs = 1\n{told}\n\
         keys = [{}]\n\
         [[kms_keys]]\nname = '{VERSION}'\nplugin = 'hsm'\nkey = '{}'\nprotection_level = 'hsm'\n",
        token.pin_file().display(),
        module.display(),
        keys.join(", "),
        uri("p256"),
    )
}

fn start(dir: &Path, token: &Token, toml: &str) -> Daemon {
    let config = hallmark_tests::keys::write(dir, "hallmark.toml", toml.as_bytes());
    let mut command = Command::new(binary("hallmark"));
    command.arg("serve").arg("--data-dir").arg(dir.join("data")).arg("--config").arg(config);
    command.env("SOFTHSM2_CONF", token.conf());
    Daemon::spawn(dir, command).unwrap_or_else(|log| panic!("the daemon did not start:\n{log}"))
}

#[tokio::test]
async fn what_the_token_signs_is_allowed_and_a_flipped_bit_is_not() {
    let world = World::new(&KEYS).await;
    for (label, algorithm) in KEYS {
        let signed = image(label);
        assert_denied(&decide(world.client(), &[&signed]).await, "NOT_ATTESTED");
        let filed = world.sign_with_token(&signed, label, algorithm);
        assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");

        let signature = &filed["attestation"]["signatures"][0];
        assert_eq!(signature["publicKeyId"], uri(label));
        let bytes = STANDARD.decode(signature["signature"].as_str().expect("text")).expect("bytes");
        let other = image(&format!("{label} flipped"));
        let bad = flipped(&bytes, bytes.len() * 8 - 1);
        // The payload of another image, and a signature with a bit flipped of the right one.
        let right = payload(&signed);
        file(world.client(), &occurrence("a", &other, &right, &uri(label), &bytes)).await;
        assert_denied(&decide(world.client(), &[&other]).await, "NOT_ATTESTED");
        let other = image(&format!("{label} forged"));
        file(world.client(), &occurrence("a", &other, &payload(&other), &uri(label), &bad)).await;
        let denied = decide(world.client(), &[&other]).await;
        assert_eq!(outcome(&denied), "BAD_SIGNATURE", "{denied:#}");
    }
    world.keeps_the_pin().await;
}

#[tokio::test]
async fn the_route_of_cloud_kms_signs_with_the_token() {
    let world = World::new(&[("p256", P256)]).await;
    let id = format!("//cloudkms.googleapis.com/v1/{VERSION}");
    let key = ["attestors", "public-keys", "add", "--attestor", "a", "--keyversion", VERSION];
    printed(&hallmark_tests::daemon::hallmark(world.client(), &key), 0);
    let signed = image("by kms");
    let output = world.sign_and_create(&signed, &["--keyversion", VERSION]);
    let filed: Value = serde_json::from_str(&printed(&output, 0)).expect("JSON");
    assert_eq!(filed["attestation"]["signatures"][0]["publicKeyId"], id);
    assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");
    let described = world.client().get(&format!("/v1/{VERSION}/publicKey")).await.ok();
    assert_eq!(described["protectionLevel"], "HSM");
    world.keeps_the_pin().await;
}

/// Decisions rest on the public keys, which the daemon holds; signatures need the token.
#[tokio::test]
async fn a_token_that_goes_away_and_comes_back_signs_again() {
    let world = World::new(&[("p256", P256)]).await;
    let signed = image("signed");
    world.sign_with_token(&signed, "p256", P256);
    assert_eq!(world.kms_status().await, 200);
    world.token.plug(false);
    eventually("the token to be missed", || async {
        (world.kms_status().await == 503).then_some(())
    })
    .await;
    assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");
    world.token.plug(true);
    eventually("the token to be back", || async {
        (world.kms_status().await == 200).then_some(())
    })
    .await;
    world.keeps_the_pin().await;
}

#[tokio::test]
async fn the_keys_of_a_token_that_stays_away_end_with_the_grace() {
    let options = Options { instance: "stale_grace_secs = 1", ..Options::default() };
    let world = World::with(&[("p256", P256)], options, |_| MODULE.into()).await;
    let signed = image("signed");
    world.sign_with_token(&signed, "p256", P256);
    assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");
    let becomes = async |allowed: bool| {
        eventually("the other answer", || async {
            let decision = decide(world.client(), &[&signed]).await;
            (decision["allowed"] == json!(allowed)).then_some(decision)
        })
        .await
    };
    world.token.plug(false);
    let denied = becomes(false).await;
    assert_denied(&denied, "UNDETERMINED");
    assert_eq!(denied["images"][0]["attestors"][0]["reason"], "KEYS_UNAVAILABLE");
    world.token.plug(true);
    becomes(true).await;
}

/// Its calls are ended and its process with them; nothing waits for it that need not.
#[tokio::test]
async fn a_token_that_hangs_holds_no_decision() {
    let options = Options { instance: "call_timeout_ms = 1000", ..Options::default() };
    let world = World::with(&[("p256", P256)], options, Token::module_that_hangs).await;
    let signed = image("signed");
    world.sign_with_token(&signed, "p256", P256);
    assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");
    assert_eq!(world.kms_status().await, 200);

    let stuck = world.token.stuck();
    std::fs::write(&stuck, "").expect("writes");
    let (asked, started) = (Client::new(world.client().address()), Instant::now());
    let body = json!({"digest": {"sha256": STANDARD.encode([7; 32])}});
    let path = format!("/v1/{VERSION}:asymmetricSign");
    let signing = tokio::spawn(async move { asked.post(&path, &body).await.status });
    let mut decisions = 0;
    while !signing.is_finished() {
        let one = Instant::now();
        assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");
        assert!(one.elapsed() < Duration::from_millis(800), "{:?}", one.elapsed());
        decisions += 1;
    }
    assert_eq!(signing.await.expect("answers"), 503);
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert!(decisions > 10, "{decisions}");

    std::fs::remove_file(&stuck).expect("removes");
    eventually("the token to work", || async { (world.kms_status().await == 200).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_wrong_pin_is_told_and_not_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = Token::new(dir.path());
    let key = Key::shared(P256);
    token.import(&key, "p256", "01");
    let wrong = "another-pin-that-nobody-prints-0815";
    std::fs::write(token.pin_file(), wrong).expect("writes");
    let keys = [("p256", P256)];
    let daemon = start(
        dir.path(),
        &token,
        &configuration(&keys, Options::default(), Path::new(MODULE), &token),
    );
    let create = "/v1/projects/p/attestors?attestorId=a";
    note(&daemon.client, "a").await;
    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/a", "publicKeys": [{"id": uri("p256")}],
    }});
    let error = daemon.client.post(create, &body).await.refused(503, "UNAVAILABLE");
    eventually("the second attempt", || async {
        daemon.log().contains("refused this PIN before").then_some(())
    })
    .await;
    assert!(daemon.log().contains("the token refuses the PIN"), "{}", daemon.log());
    let metrics = daemon.client.get("/metrics").await.text;
    for text in [&error, &daemon.log(), &metrics] {
        assert!(!text.contains(wrong) && !text.contains(PIN), "{text}");
    }

    // The right one is taken up by itself.
    std::fs::write(token.pin_file(), PIN).expect("writes");
    eventually("the login", || async {
        (daemon.client.post(create, &body).await.status == 200).then_some(())
    })
    .await;
}

/// Asked for, the token verifies: what it cannot is not determined.
#[tokio::test]
async fn a_token_verifies_where_it_is_to() {
    let options = Options { told: "verify = 'token'", ..Options::default() };
    let world = World::with(&KEYS, options, |_| MODULE.into()).await;
    for (label, algorithm) in KEYS {
        let signed = image(label);
        let filed = world.sign_with_token(&signed, label, algorithm);
        assert_allowed(&decide(world.client(), &[&signed]).await, "ATTESTED");
        let signature = filed["attestation"]["signatures"][0]["signature"].as_str().expect("text");
        let bytes = STANDARD.decode(signature).expect("base64");
        let forged = image(&format!("{label} forged"));
        let bad = flipped(&bytes, bytes.len() * 8 - 1);
        let payload = payload(&forged);
        file(world.client(), &occurrence("a", &forged, &payload, &uri(label), &bad)).await;
        assert_eq!(outcome(&decide(world.client(), &[&forged]).await), "BAD_SIGNATURE");
    }
    let later = image("later");
    world.sign_with_token(&later, "p256", P256);
    world.token.plug(false);
    let denied = decide(world.client(), &[&later]).await;
    assert_denied(&denied, "UNDETERMINED");
    assert_eq!(outcome(&denied), "KEY_HOLDER_UNAVAILABLE");
    world.token.plug(true);
    eventually("the token to be back", || async {
        let decision = decide(world.client(), &[&later]).await;
        (decision["allowed"] == json!(true)).then_some(())
    })
    .await;
}
