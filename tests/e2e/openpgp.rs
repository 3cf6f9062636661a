//! Attestors with OpenPGP keys, and attestations signed by GnuPG in every form that it knows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, eventually, hallmark};
use hallmark_tests::gpg::{DAY, Gpg, MADE, RevocationReason};
use hallmark_tests::keys::write;
use hallmark_tests::project::{
    assert_allowed, assert_denied, decide, digest, file, flipped, image, note, occurrence, outcome,
    payload as payload_of, policy, put_policy,
};
use serde_json::{Value, json};

/// The names of the kinds of key in `gpg --quick-gen-key`, and the algorithm that each signs with.
const KINDS: [(&str, &str); 7] = [
    ("rsa2048", "RSA_SIGN_PKCS1_2048_SHA512"),
    ("rsa3072", "RSA_SIGN_PKCS1_3072_SHA512"),
    ("rsa4096", "RSA_SIGN_PKCS1_4096_SHA512"),
    ("nistp256", "ECDSA_P256_SHA256"),
    ("nistp384", "ECDSA_P384_SHA384"),
    ("nistp521", "ECDSA_P521_SHA512"),
    ("ed25519", "ED25519"),
];

/// Forms of a signature that attest.
const FORMS: [&[&str]; 7] = [
    &["--armor", "--sign"],
    &["--armor", "--sign", "--compress-algo", "zlib"],
    &["--armor", "--sign", "--compress-algo", "bzip2"],
    &["--armor", "--sign", "--compress-algo", "none"],
    &["--sign"],
    &["--armor", "--detach-sign"],
    &["--detach-sign"],
];

/// A daemon whose policy wants attestor `a`.
struct World {
    gpg: Gpg,
    daemon: Daemon,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = Daemon::start_configured(dir.path(), toml);
        let client = &daemon.client;
        note(client, "a").await;
        let empty = json!({"userOwnedGrafeasNote": {"noteReference": "projects/p/notes/a"}});
        client.post("/v1/projects/p/attestors?attestorId=a", &empty).await.ok();
        put_policy(client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
        Self { gpg: Gpg::new(), daemon, _dir: dir }
    }

    fn client(&self) -> &Client {
        &self.daemon.client
    }

    /// Makes the attestor trust the certificate as it is now.
    async fn trust(&self, fingerprint: &str) -> Value {
        trust(self.client(), &self.gpg.export(fingerprint)).await
    }

    /// The decision on an image whose payload `sign` signed, filed under `key_id`.
    async fn signed(&self, seed: &str, key_id: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> Value {
        let image = image(seed);
        let payload = payload_of(&image);
        let signature = sign(&payload);
        file(self.client(), &occurrence("a", &image, &payload, key_id, &signature)).await;
        decide(self.client(), &[&image]).await
    }
}

async fn trust(client: &Client, armored: &str) -> Value {
    let attestor = json!({
        "name": "projects/p/attestors/a",
        "userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a",
            "publicKeys": [{"asciiArmoredPgpPublicKey": armored}],
        },
    });
    client.put("/v1/projects/p/attestors/a", &attestor).await.ok()
}

fn trial(decision: &Value) -> &Value {
    &decision["images"][0]["attestors"][0]["trials"][0]
}

fn detail(decision: &Value) -> &str {
    trial(decision)["detail"].as_str().unwrap_or_default()
}

fn assert_outcome(decision: &Value, expected: &str) {
    assert_denied(decision, "NOT_ATTESTED");
    assert_eq!(outcome(decision), expected, "{decision:#}");
}

#[tokio::test]
async fn every_kind_of_key_attests_in_every_form_and_a_flipped_bit_denies() {
    let world = World::new("").await;
    for (kind, algorithm) in KINDS {
        let key = world.gpg.key(kind);
        let attestor = world.trust(&key).await;
        // Google's service names the key by its fingerprint, whatever was asked for.
        let id = &attestor["userOwnedGrafeasNote"]["publicKeys"][0]["id"];
        assert_eq!(id, key.as_str(), "{attestor:#}");
        for form in FORMS {
            let seed = format!("{kind} {form:?}");
            let sign = |payload: &[u8]| world.gpg.sign(&key, MADE + DAY, form, payload);
            let decision = world.signed(&seed, &key, sign).await;
            assert_allowed(&decision, "ATTESTED");
            let trial = trial(&decision);
            assert_eq!(trial["algorithm"], algorithm, "{decision:#}");
            assert_eq!(trial["signedBy"], key.as_str(), "{decision:#}");
            assert_eq!(trial["signedAt"], "2024-06-02T00:00:00Z", "{decision:#}");
        }
        for place in 0..4 {
            let seed = format!("{kind} flipped {place}");
            let decision = world
                .signed(&seed, &key, |payload| {
                    let whole = world.gpg.sign(&key, MADE + DAY, &["--detach-sign"], payload);
                    // In its creation time, and in the numbers at its end.
                    let bits = [15 * 8, whole.len() * 8 - 1, whole.len() * 8 - 90, 4 * 8 + 7];
                    flipped(&whole, bits[place])
                })
                .await;
            assert_denied(&decision, "NOT_ATTESTED");
        }
        let decision = world
            .signed(&format!("{kind} another payload"), &key, |payload| {
                let other = flipped(payload, payload.len() * 4);
                world.gpg.sign(&key, MADE + DAY, &["--detach-sign"], &other)
            })
            .await;
        assert_outcome(&decision, "BAD_SIGNATURE");
    }
}

#[tokio::test]
async fn a_form_that_is_refused_says_so() {
    let world = World::new("").await;
    let key = world.gpg.key("ed25519");
    world.trust(&key).await;
    let signed = |arguments: &'static [&'static str]| {
        let sign = |payload: &[u8]| world.gpg.sign(&key, MADE + DAY, arguments, payload);
        let seed = arguments.join(" ");
        let key = &key;
        let world = &world;
        async move { world.signed(&seed, key, sign).await }
    };
    let cleartext = signed(&["--clearsign"]).await;
    assert_outcome(&cleartext, "SIGNATURE_MALFORMED");
    assert!(detail(&cleartext).contains("cleartext"), "{cleartext:#}");
    let text = signed(&["--armor", "--textmode", "--detach-sign"]).await;
    assert_outcome(&text, "SIGNATURE_MALFORMED");
    assert!(detail(&text).contains("--textmode"), "{text:#}");
    for hash in ["SHA1", "RIPEMD160", "SHA224"] {
        let sign = |payload: &[u8]| {
            let arguments = ["--digest-algo", hash, "--armor", "--sign"];
            world.gpg.sign(&key, MADE + DAY, &arguments, payload)
        };
        let weak = world.signed(hash, &key, sign).await;
        assert_outcome(&weak, "SIGNATURE_REFUSED");
        assert_eq!(trial(&weak)["signedBy"], key.as_str(), "{weak:#}");
        assert!(detail(&weak).contains(hash), "{weak:#}");
    }
    let zeros = vec![0; 2 << 20];
    let bomb = |_: &[u8]| world.gpg.sign(&key, MADE + DAY, &["--sign"], &zeros);
    let bomb = world.signed("bomb", &key, bomb).await;
    assert_outcome(&bomb, "SIGNATURE_MALFORMED");
    assert!(detail(&bomb).contains("when decompressed"), "{bomb:#}");
    let garbage = world.signed("garbage", &key, |_| b"no signature".to_vec()).await;
    assert_outcome(&garbage, "SIGNATURE_MALFORMED");
    let armored_key = world.gpg.export(&key);
    let a_key = world.signed("a key", &key, |_| armored_key.clone().into_bytes()).await;
    assert_outcome(&a_key, "SIGNATURE_MALFORMED");
}

#[tokio::test]
async fn the_literal_must_be_the_payload() {
    let world = World::new("").await;
    let key = world.gpg.key("nistp256");
    world.trust(&key).await;
    let other = payload_of(&image("other"));
    let sign = |_: &[u8]| world.gpg.sign(&key, MADE + DAY, &["--armor", "--sign"], &other);
    let decision = world.signed("this", &key, sign).await;
    assert_outcome(&decision, "PAYLOAD_DIFFERS");
    let empty = |_: &[u8]| world.gpg.sign(&key, MADE + DAY, &["--armor", "--sign"], b"");
    let decision = world.signed("empty", &key, empty).await;
    assert_outcome(&decision, "SIGNATURE_MALFORMED");
    // A good signature, filed where the policy looks for another image.
    let copied = image("copied");
    let signature = world.gpg.sign(&key, MADE + DAY, &["--armor", "--sign"], &other);
    file(world.client(), &occurrence("a", &copied, &other, &key, &signature)).await;
    let decision = decide(world.client(), &[&copied]).await;
    assert_outcome(&decision, "DIGEST_MISMATCH");
    assert_eq!(detail(&decision), format!("signed {}", digest("other")));
}

#[tokio::test]
async fn a_subkey_signs_for_its_certificate() {
    let world = World::new("").await;
    let gpg = &world.gpg;
    for kind in ["rsa2048", "nistp256/ecdsa", "ed25519"] {
        let primary = gpg.key_at(MADE, "ed25519", "cert", &[]);
        let refused = trust_refused(&world, &gpg.export(&primary)).await;
        assert!(refused.contains("no key of it can sign"), "{refused}");
        let subkey = gpg.subkey(MADE, &primary, kind);
        world.trust(&primary).await;
        let sign = |payload: &[u8]| gpg.sign(&subkey, MADE + DAY, &["--armor", "--sign"], payload);
        for id in [&primary, &subkey] {
            let decision = world.signed(&format!("{kind} {id}"), id, sign).await;
            assert_allowed(&decision, "ATTESTED");
            assert_eq!(trial(&decision)["signedBy"], subkey.as_str(), "{decision:#}");
        }
        let stranger = gpg.key("ed25519");
        let sign =
            |payload: &[u8]| gpg.sign(&stranger, MADE + DAY, &["--armor", "--sign"], payload);
        let decision = world.signed(&format!("{kind} stranger"), &primary, sign).await;
        assert_outcome(&decision, "SIGNING_KEY_UNKNOWN");
        assert_eq!(trial(&decision)["signedBy"], stranger.as_str(), "{decision:#}");
        let decision = world.signed(&format!("{kind} unknown"), &stranger, sign).await;
        assert_outcome(&decision, "KEY_ID_UNKNOWN");
    }
}

async fn trust_refused(world: &World, armored: &str) -> String {
    let attestor = json!({
        "name": "projects/p/attestors/a",
        "userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a",
            "publicKeys": [{"asciiArmoredPgpPublicKey": armored}],
        },
    });
    let answer = world.client().put("/v1/projects/p/attestors/a", &attestor).await;
    answer.refused(400, "INVALID_ARGUMENT")
}

/// An event that ends a key.
struct End {
    name: &'static str,
    end: fn(&Gpg, i64, &str),
    outcome: &'static str,
    /// True if the options let a signature from before it count.
    can_be_outlived: bool,
    said: &'static str,
}

const END: i64 = MADE + 20 * DAY;

const ENDS: [End; 5] = [
    End {
        name: "expired",
        end: |gpg, _, key| gpg.expire(MADE + DAY, key, "", "2024-06-21"),
        outcome: "KEY_EXPIRED",
        can_be_outlived: true,
        said: "valid until 2024-06-",
    },
    End {
        name: "superseded",
        end: |gpg, end, key| gpg.revoke(end, key, RevocationReason::Superseded),
        outcome: "KEY_REVOKED",
        can_be_outlived: true,
        said: "revoked at 2024-06-21",
    },
    End {
        name: "retired",
        end: |gpg, end, key| gpg.revoke(end, key, RevocationReason::Retired),
        outcome: "KEY_REVOKED",
        can_be_outlived: true,
        said: "revoked at 2024-06-21",
    },
    End {
        name: "compromised",
        end: |gpg, end, key| gpg.revoke(end, key, RevocationReason::Compromised),
        outcome: "KEY_REVOKED",
        can_be_outlived: false,
        said: "revoked as compromised",
    },
    End {
        name: "no reason",
        end: |gpg, end, key| gpg.revoke(end, key, RevocationReason::None),
        outcome: "KEY_REVOKED",
        can_be_outlived: false,
        said: "revoked as compromised",
    },
];

/// Signatures from before and from after, strictly and with the options that let the older count.
#[tokio::test]
async fn a_key_that_has_ended_denies_with_the_date() {
    let lenient = "[[plugins]]\nname = 'pgp'\nconfig = { \
                   expired_key = 'accept_if_signed_before', \
                   soft_revoked_key = 'accept_if_signed_before' }\n";
    let (strict, lenient) = (World::new("").await, World::new(lenient).await);
    let gpg = &strict.gpg;
    let form = ["--armor", "--sign"];
    for End { name, end, outcome, can_be_outlived, said } in ENDS {
        let key = gpg.key("ed25519");
        let seeds = ["before", "after"].map(|when| format!("{name} {when}"));
        let [before, after] = [(0, END - 5 * DAY), (1, END + 5 * DAY)]
            .map(|(nth, at)| gpg.sign(&key, at, &form, &payload_of(&image(&seeds[nth]))));
        strict.trust(&key).await;
        let good = format!("{name} good");
        let sign = |payload: &[u8]| gpg.sign(&key, END - 5 * DAY, &form, payload);
        assert_allowed(&strict.signed(&good, &key, sign).await, "ATTESTED");
        end(gpg, END, &key);
        for (world, outlives) in [(&strict, false), (&lenient, can_be_outlived)] {
            trust(world.client(), &gpg.export(&key)).await;
            let [older, later] = [(0, &before), (1, &after)]
                .map(|(nth, blob)| world.signed(&seeds[nth], &key, |_| blob.clone()));
            let (older, later) = (older.await, later.await);
            match outlives {
                true => assert_allowed(&older, "ATTESTED"),
                false => assert_outcome(&older, outcome),
            }
            assert_outcome(&later, outcome);
            assert!(detail(&later).starts_with(said), "{name}: {later:#}");
        }
        // An image that was attested before is denied from the next decision on.
        let good = decide(strict.client(), &[&image(&good)]).await;
        assert_outcome(&good, outcome);
        assert!(detail(&good).starts_with(said), "{name}: {good:#}");
    }
}

/// Keys of a keyring file, named by their fingerprint or by the file.
#[tokio::test]
async fn a_keyring_is_a_source_of_keys() {
    let keyring = tempfile::tempdir().expect("a directory");
    let path = keyring.path().join("release.asc");
    let gpg = Gpg::new();
    let (key, other) = (gpg.key("ed25519"), gpg.key("nistp256"));
    std::fs::write(&path, gpg.export(&key)).expect("writes");
    let toml = format!(
        "[[plugins]]\nname = 'pgp'\nconfig = {{ refresh_secs = 1, keyrings = [{{ path = '{}' }}] }}",
        path.display()
    );
    let world = World::new(&toml).await;
    for id in [format!("openpgp4fpr:{key}"), format!("openpgp://{}", path.display())] {
        let attestor = json!({
            "name": "projects/p/attestors/a",
            "userOwnedGrafeasNote": {
                "noteReference": "projects/p/notes/a", "publicKeys": [{"id": id}],
            },
        });
        world.client().put("/v1/projects/p/attestors/a", &attestor).await.ok();
        let sign = |payload: &[u8]| gpg.sign(&key, MADE + DAY, &["--armor", "--sign"], payload);
        assert_allowed(&world.signed(&id, &key, sign).await, "ATTESTED");
    }
    let sign = |payload: &[u8]| gpg.sign(&other, MADE + DAY, &["--armor", "--sign"], payload);
    assert_outcome(&world.signed("other", &other, sign).await, "KEY_ID_UNKNOWN");

    // A revoked key is out as soon as the keyring says so.
    gpg.revoke(MADE + 2 * DAY, &key, RevocationReason::Compromised);
    let aside = keyring.path().join("aside");
    std::fs::write(&aside, gpg.export(&key)).expect("writes");
    std::fs::rename(&aside, &path).expect("moves");
    let attested = image(&format!("openpgp4fpr:{key}"));
    let denied = eventually("the revocation", || async {
        let decision = decide(world.client(), &[&attested]).await;
        (decision["allowed"] == json!(false)).then_some(decision)
    });
    assert_outcome(&denied.await, "KEY_REVOKED");
}

/// `hallmark attestations sign-and-create` with a secret key file, and `create` with a signature
/// that gpg made: as with Google's tool.
#[tokio::test]
async fn the_command_line_signs_and_files() {
    let world = World::new("").await;
    let dir = tempfile::tempdir().expect("a directory");
    for kind in ["ed25519", "nistp256", "nistp384", "rsa2048"] {
        let key = world.gpg.key(kind);
        world.trust(&key).await;
        let secret = world.gpg.run(MADE, &["--armor", "--export-secret-keys", &key], b"");
        let secret = write(dir.path(), "secret.asc", &secret);
        let signed = image(&format!("{kind} signed"));
        let output = hallmark(
            world.client(),
            &[
                "attestations",
                "sign-and-create",
                "--artifact-url",
                &signed,
                "--attestor",
                "a",
                "--key",
                &secret.to_string_lossy(),
            ],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let decision = decide(world.client(), &[&signed]).await;
        assert_allowed(&decision, "ATTESTED");
        assert_eq!(trial(&decision)["keyId"], key.as_str(), "{decision:#}");

        let filed = image(&format!("{kind} filed"));
        let blob = world.gpg.sign(&key, MADE + DAY, &["--armor", "--sign"], &payload_of(&filed));
        let blob = write(dir.path(), "signature.asc", &blob);
        let output = hallmark(
            world.client(),
            &[
                "attestations",
                "create",
                "--artifact-url",
                &filed,
                "--attestor",
                "a",
                "--signature-file",
                &blob.to_string_lossy(),
                "--public-key-id",
                &key,
            ],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_allowed(&decide(world.client(), &[&filed]).await, "ATTESTED");
    }
}

/// Secret keys as gpg exports them, with a signing subkey and a passphrase or none. What the command
/// line files is held against `gpg --verify`, too.
#[tokio::test]
async fn the_command_line_signs_with_subkeys_and_passphrases() {
    let world = World::new("").await;
    let dir = tempfile::tempdir().expect("a directory");
    let right = write(dir.path(), "right", b"correct horse\n");
    let wrong = write(dir.path(), "wrong", b"battery staple\n");
    for (kind, passphrase) in [
        ("rsa3072", ""),
        ("rsa4096", ""),
        ("rsa3072", "correct horse"),
        ("ed25519", "correct horse"),
    ] {
        let options = ["--passphrase", passphrase];
        let primary = world.gpg.key_at(MADE, kind, "cert", &options);
        let add = ["--quick-add-key", primary.as_str(), kind, "sign", "never"];
        world.gpg.run(MADE, &[&options[..], &add].concat(), b"");
        let subkey = world.gpg.fingerprints(&primary).pop().expect("a subkey");
        world.trust(&primary).await;
        let export = ["--armor", "--export-secret-keys", primary.as_str()];
        let secret = world.gpg.run(MADE, &[&options[..], &export].concat(), b"");
        let secret = write(dir.path(), "secret.asc", &secret);
        let sign = |image: &str, passphrase_file: &[&std::path::Path]| {
            let secret = secret.to_string_lossy();
            let mut arguments = vec!["attestations", "sign-and-create", "--artifact-url", image];
            arguments.extend(["--attestor", "a", "--key", &secret]);
            for file in passphrase_file {
                arguments.extend(["--passphrase-file", file.to_str().expect("UTF-8")]);
            }
            let output = hallmark(world.client(), &arguments);
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let signed = image(&format!("{kind} {passphrase}"));
        if !passphrase.is_empty() {
            for files in [&[wrong.as_path()][..], &[]] {
                let (filed, said) = sign(&signed, files);
                assert!(!filed && said.contains("the passphrase does not unlock it"), "{said}");
                assert!(!said.contains("staple") && !said.contains("horse"), "{said}");
            }
        }
        let files = [right.as_path()];
        let (filed, said) = sign(&signed, if passphrase.is_empty() { &[] } else { &files });
        assert!(filed, "{kind}: {said}");
        let decision = decide(world.client(), &[&signed]).await;
        assert_allowed(&decision, "ATTESTED");
        assert_eq!(trial(&decision)["signedBy"], subkey.as_str(), "{decision:#}");

        let filed = occurrence_on(world.client(), &signed).await;
        let blob = &filed["attestation"]["signatures"][0]["signature"];
        let blob = STANDARD.decode(blob.as_str().expect("a signature")).expect("base64");
        assert_gpg_accepts_only(&world.gpg, &blob, &payload_of(&signed));
    }
}

async fn occurrence_on(client: &Client, image: &str) -> Value {
    let listed = client.get("/v1/projects/p/occurrences").await.ok();
    let occurrences = listed["occurrences"].as_array().expect("occurrences");
    let found = occurrences.iter().find(|one| one["resourceUri"] == image);
    found.unwrap_or_else(|| panic!("none on {image}: {listed:#}")).clone()
}

/// gpg verifies the armored message and gets the payload out of it, and not with a bit of the
/// signature flipped.
fn assert_gpg_accepts_only(gpg: &Gpg, armored: &[u8], payload: &[u8]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let at = i64::try_from(now.expect("after 1970").as_secs()).expect("fits") + 60;
    assert_eq!(gpg.run(at, &["--decrypt"], armored), payload);
    let binary = gpg.run(at, &["--dearmor"], armored);
    let verified = gpg.try_run(at, &["--verify"], &binary);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let refused = gpg.try_run(at, &["--verify"], &flipped(&binary, binary.len() * 8 - 90));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("BAD signature"), "{said}");
}
