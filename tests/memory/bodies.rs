//! Bodies that are made to cost more than they weigh.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hallmark_tests::admission::{creation, pod};
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::gpg::{DAY, Gpg, MADE};
use hallmark_tests::project::{
    REPOSITORY, attestor_body, digest, image, note, occurrence, payload,
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

const MIB: usize = 1 << 20;

/// For all of one kind.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends all of them.
pub(crate) async fn send(daemon: &Daemon, client: &Client, at_once: usize) {
    let project = "/v1/projects/p";
    let decisions = "/v1/decisions".to_owned();
    let occurrences = format!("{project}/occurrences");
    let validate = format!("{project}/attestors/pgp:validateAttestationOccurrence");
    let admission = "/k8s/projects/p/clusters/l.c/admission".to_owned();
    let junk = junk_occurrence("junk", 1_000, 8);
    let large_ids = junk_occurrence("large ids", 3, MIB);
    let kinds: [(&str, String, Bytes); 9] = [
        ("bodies of 4 MiB", decisions.clone(), large()),
        ("deep JSON", decisions.clone(), "[".repeat(4 * MIB - 64).into()),
        ("pods of nothing but containers", admission, containers()),
        ("images by the thousand", decisions.clone(), tags("junk")),
        ("a thousand junk signatures", occurrences.clone(), text(&junk)),
        ("key ids of 1 MiB", occurrences.clone(), text(&large_ids)),
        ("junk that is asked for", decisions.clone(), tags("junk")),
        ("OpenPGP bombs", validate, text(&bombs(client).await)),
        ("deep policies", format!("{project}/policy"), "{\"a\":".repeat(700_000).into()),
    ];
    for (kind, path, body) in kinds {
        let method = if path.ends_with("/policy") { Method::PUT } else { Method::POST };
        all_at_once(client, at_once, &method, &path, &body).await;
        super::say(daemon, &format!("after {at_once} of {kind}"));
    }
}

async fn all_at_once(client: &Client, count: usize, method: &Method, path: &str, body: &Bytes) {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (client, method, path, body) =
            (client.clone(), method.clone(), path.to_owned(), body.clone());
        tasks.spawn(async move {
            // Refused or served, at once or in mid-sentence: what counts is what it costs.
            drop(client.try_call(method, &path, "application/json", body).await);
        });
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    // Those that are not answered by then have cost what they can.
    drop(timeout(PATIENCE, all).await);
}

fn text(body: &Value) -> Bytes {
    body.to_string().into()
}

fn large() -> Bytes {
    let image = "x".repeat(4 * MIB - 100);
    format!(r#"{{"project":"p","images":["{image}"]}}"#).into()
}

/// A review of a pod with as many containers as a body holds.
fn containers() -> Bytes {
    let mut review = creation(&pod(&["i"]));
    review["request"]["object"]["spec"]["containers"] = json!("CONTAINERS");
    let containers = vec!["{}"; (4 * MIB - 4_096) / 3].join(",");
    review.to_string().replace("\"CONTAINERS\"", &format!("[{containers}]")).into()
}

/// One image under 300 tags: its evidence is explained for each.
fn tags(seed: &str) -> Bytes {
    let tagged = |tag: usize| format!("{REPOSITORY}:t{tag}@{}", digest(seed));
    text(&json!({"project": "p", "images": (0..300).map(tagged).collect::<Vec<_>>()}))
}

/// An occurrence of so many signatures under key ids of so many bytes, none of which is known.
fn junk_occurrence(seed: &str, signatures: usize, id_bytes: usize) -> Value {
    let image = image(seed);
    let mut body = occurrence("build", &image, &payload(&image), "", b"");
    let signature = |number: usize| {
        let id = format!("https://junk.example.com/{number}/{}", "x".repeat(id_bytes));
        json!({"publicKeyId": id, "signature": "c2lnbmF0dXJl"})
    };
    body["attestation"]["signatures"] = (0..signatures).map(signature).collect();
    body
}

/// As many OpenPGP messages as one call takes, each of which inflates to a mebibyte, for an attestor
/// `pgp` that trusts their key.
async fn bombs(client: &Client) -> Value {
    let gpg = Gpg::new();
    let key = gpg.key("ed25519");
    note(client, "pgp").await;
    let mut attestor = attestor_body("pgp", &[]);
    attestor["userOwnedGrafeasNote"]["publicKeys"] =
        json!([{"id": key, "asciiArmoredPgpPublicKey": gpg.export(&key)}]);
    client.post("/v1/projects/p/attestors?attestorId=pgp", &attestor).await.ok();
    let zeros = vec![0; MIB - 4_096];
    let bomb = gpg.sign(&key, MADE + DAY, &["--sign", "--compress-algo", "zlib"], &zeros);
    let image = image("bomb");
    let mut body = occurrence("pgp", &image, &payload(&image), "", b"");
    let signature = json!({"publicKeyId": key, "signature": STANDARD.encode(bomb)});
    body["attestation"]["signatures"] = vec![signature; 60].into();
    json!({"attestation": body["attestation"], "occurrenceNote": "projects/p/notes/pgp",
        "occurrenceResourceUri": format!("https://{image}")})
}
