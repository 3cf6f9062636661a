//! Verdicts about OpenPGP signatures, held against Sequoia's `sqv` over every combination of a
//! certificate's history, the date of a signature and its hash. Where the two differ the table says
//! why; a difference that no row explains fails, and so does a row that explains none.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::gpg::{DAY, Gpg, MADE, RevocationReason};
use hallmark_tests::keys::write;
use hallmark_tests::project::{image, note, payload as payload_of};
use serde_json::{Value, json};

/// The history of a certificate between its making and the look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum History {
    Plain,
    Expired,
    Renewed,
    /// Renewed, and no self-signature but the last is left.
    OnlyRenewed,
    Superseded,
    Retired,
    Compromised,
    RevokedWithoutReason,
    SubkeyPlain,
    SubkeyExpired,
    SubkeySuperseded,
    SubkeyCompromised,
    PrimaryOfSubkeyExpired,
    BoundBySha1In2024,
    BoundBySha1In2020,
}

use History::*;

const HISTORIES: [History; 15] = [
    Plain,
    Expired,
    Renewed,
    OnlyRenewed,
    Superseded,
    Retired,
    Compromised,
    RevokedWithoutReason,
    SubkeyPlain,
    SubkeyExpired,
    SubkeySuperseded,
    SubkeyCompromised,
    PrimaryOfSubkeyExpired,
    BoundBySha1In2024,
    BoundBySha1In2020,
];

/// When a signature says that it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    Early,
    /// After the key expired or was revoked, and before it was renewed.
    AfterItsEnd,
    /// After it was renewed.
    Late,
    InTheFuture,
}

use When::*;

const WHENS: [When; 4] = [Early, AfterItsEnd, Late, InTheFuture];

impl When {
    fn at(self) -> i64 {
        match self {
            Early => MADE + 10 * DAY,
            AfterItsEnd => END + 10 * DAY,
            Late => END + 100 * DAY,
            InTheFuture => 4_000_000_000,
        }
    }
}

/// When keys expire or are revoked, and a little later renewed.
const END: i64 = MADE + 20 * DAY;

const HASHES: [&str; 5] = ["SHA256", "SHA512", "SHA224", "SHA1", "RIPEMD160"];

/// A signature, with when and over which hash it was made.
type Made = (When, &'static str, Vec<u8>);

/// The certificate that signs, the date of the signature, and its hash.
type Case = (History, When, &'static str);

/// True if ours accepts and Sequoia's does not, false for the reverse; the cases that it covers;
/// and the reason why that is right.
type Difference = (bool, fn(&Case) -> bool, &'static str);

const DIFFERENCES: [Difference; 4] = [
    (
        false,
        |(history, when, _)| {
            matches!(history, Expired | SubkeyExpired | PrimaryOfSubkeyExpired) && *when == Early
        },
        "a key must be valid at the decision, too: a signature's date is the word of whoever holds \
         the key. `expired_key = accept_if_signed_before` is Sequoia's way",
    ),
    (
        false,
        |(history, when, _)| {
            matches!(history, Superseded | Retired | SubkeySuperseded) && *when == Early
        },
        "nobody vouches for a signature being older than the revocation. `soft_revoked_key = \
         accept_if_signed_before` is Sequoia's way",
    ),
    (
        true,
        |(history, when, _)| *history == Renewed && *when == AfterItsEnd,
        "the latest self-signature governs: its owner renewed a key that had lapsed, and a thief \
         would not date a signature into the gap",
    ),
    (
        false,
        |(_, _, hash)| *hash == "SHA224",
        "no algorithm of an attestor's keys has a hash shorter than SHA-256",
    ),
];

struct Oracle {
    gpg: Gpg,
    daemon: Daemon,
    dir: tempfile::TempDir,
}

#[tokio::test]
async fn verdicts_are_sequoias_but_where_the_table_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "a").await;
    let oracle = Oracle { gpg: Gpg::new(), daemon, dir };
    let (mut unexplained, mut used, mut agreed) = (Vec::new(), BTreeSet::new(), [0, 0]);
    for history in HISTORIES {
        let (certificate, signatures) = oracle.certificate(history);
        let id = oracle.trust(&format!("{history:?}").to_lowercase(), &certificate).await;
        for (when, hash, signature) in signatures {
            let case = (history, when, hash);
            let ours = oracle.ours(&id, &signature).await;
            let theirs = oracle.theirs(&certificate, &signature);
            let accepts = ours == "VERIFIED";
            if accepts == theirs {
                agreed[usize::from(accepts)] += 1;
                continue;
            }
            let explains = |(ours, covers, _): &Difference| *ours == accepts && covers(&case);
            match DIFFERENCES.iter().position(explains) {
                Some(row) => drop(used.insert(row)),
                None => unexplained.push(format!("{case:?}: ours {ours}, theirs {theirs}")),
            }
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let idle: Vec<_> = (0..DIFFERENCES.len()).filter(|row| !used.contains(row)).collect();
    assert_eq!(idle, Vec::<usize>::new(), "rows that explain nothing");
    // Neither side may have said one thing throughout.
    assert!(agreed[0] > 50 && agreed[1] > 10, "{agreed:?}");
}

impl Oracle {
    /// A certificate after its history, and what its key signed before it: each detached.
    fn certificate(&self, history: History) -> (String, Vec<Made>) {
        let gpg = &self.gpg;
        let subkey = matches!(
            history,
            SubkeyPlain
                | SubkeyExpired
                | SubkeySuperseded
                | SubkeyCompromised
                | PrimaryOfSubkeyExpired
        );
        let sha1 = ["--cert-digest-algo", "SHA1"];
        let primary = match history {
            BoundBySha1In2024 => gpg.key_at(MADE, "ed25519", "cert,sign", &sha1),
            BoundBySha1In2020 => gpg.key_at(1_580_000_000, "ed25519", "cert,sign", &sha1),
            _ => gpg.key("ed25519"),
        };
        let signer = if subkey { gpg.subkey(MADE, &primary, "ed25519") } else { primary.clone() };
        let payload = payload_of(&image("oracle"));
        let mut signatures = Vec::new();
        for when in WHENS {
            for hash in HASHES {
                let form = ["--digest-algo", hash, "--detach-sign"];
                signatures.push((when, hash, gpg.sign(&signer, when.at(), &form, &payload)));
            }
        }
        match history {
            Plain | SubkeyPlain | BoundBySha1In2024 | BoundBySha1In2020 => {}
            Expired | PrimaryOfSubkeyExpired => gpg.expire(MADE + DAY, &primary, "", "2024-06-21"),
            Renewed | OnlyRenewed => {
                gpg.expire(MADE + DAY, &primary, "", "2024-06-21");
                let lapsed = gpg.export(&primary);
                // Puts a self-signature in the place of the one before.
                gpg.expire(END + 50 * DAY, &primary, "", "never");
                gpg.run(END + 50 * DAY, &["--import"], lapsed.as_bytes());
            }
            Superseded => gpg.revoke(END, &primary, RevocationReason::Superseded),
            Retired => gpg.revoke(END, &primary, RevocationReason::Retired),
            Compromised => gpg.revoke(END, &primary, RevocationReason::Compromised),
            RevokedWithoutReason => gpg.revoke(END, &primary, RevocationReason::None),
            SubkeyExpired => gpg.expire(MADE + DAY, &primary, &signer, "2024-06-21"),
            SubkeySuperseded => gpg.revoke_subkey(END, &primary, RevocationReason::Superseded),
            SubkeyCompromised => gpg.revoke_subkey(END, &primary, RevocationReason::Compromised),
        }
        let certificate = match history {
            OnlyRenewed => gpg.export_minimal(&primary),
            _ => gpg.export(&primary),
        };
        (certificate, signatures)
    }

    /// An attestor that trusts the certificate; the id of its key, or why it was refused.
    async fn trust(&self, attestor: &str, certificate: &str) -> Result<Trusted, String> {
        let body = json!({"userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a",
            "publicKeys": [{"asciiArmoredPgpPublicKey": certificate}],
        }});
        let create = format!("/v1/projects/p/attestors?attestorId={attestor}");
        let answer = self.client().post(&create, &body).await;
        if answer.status != 200 {
            return Err(answer.refused(400, "INVALID_ARGUMENT"));
        }
        let key = &answer.json["userOwnedGrafeasNote"]["publicKeys"][0]["id"];
        let key = key.as_str().expect("an id").to_owned();
        Ok(Trusted { attestor: attestor.to_owned(), key })
    }

    /// `VERIFIED`, or why not.
    async fn ours(&self, trusted: &Result<Trusted, String>, signature: &[u8]) -> String {
        let Trusted { attestor, key } = match trusted {
            Ok(trusted) => trusted,
            Err(refused) => return refused.clone(),
        };
        let image = image("oracle");
        let body = json!({
            "occurrenceNote": "projects/p/notes/a",
            "occurrenceResourceUri": format!("https://{image}"),
            "attestation": {
                "serializedPayload": STANDARD.encode(payload_of(&image)),
                "signatures": [{"publicKeyId": key, "signature": STANDARD.encode(signature)}],
            },
        });
        let path = format!("/v1/projects/p/attestors/{attestor}:validateAttestationOccurrence");
        let answer: Value = self.client().post(&path, &body).await.ok();
        match answer["result"].as_str() {
            Some("VERIFIED") => "VERIFIED".to_owned(),
            _ => answer["denialReason"].to_string(),
        }
    }

    fn theirs(&self, certificate: &str, signature: &[u8]) -> bool {
        let dir = self.dir.path();
        let keyring = write(dir, "certificate.asc", certificate.as_bytes());
        let signature = write(dir, "signature", signature);
        let payload = write(dir, "payload", &payload_of(&image("oracle")));
        let sqv = Command::new("sqv")
            .arg("--keyring")
            .args([&keyring, &signature, &payload])
            .output()
            .expect("install sqv: tests/tools.sh");
        sqv.status.success()
    }

    fn client(&self) -> &Client {
        &self.daemon.client
    }
}

/// An attestor, and what its key goes by.
struct Trusted {
    attestor: String,
    key: String,
}
