//! The longest records that a request can make: the log takes them, and the verifier reads them.

use hallmark_tests::admission::{creation, pod};
use hallmark_tests::audit::{files, last_record, verified};
use hallmark_tests::client::Client;
use hallmark_tests::project::{World, file, image, occurrence, payload, policy, put_policy};
use serde_json::{Value, json};

/// Bytes of a line that the verifier takes, of which no request may need more than half.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a body, beside what is around the texts in it.
const BODY: usize = (4 << 20) - (64 << 10);
const IMAGES: usize = 1_000;

/// A text whose JSON has so many bytes, all of it in escapes, as the log writes them, too.
fn text(bytes: usize) -> String {
    "\u{1}".repeat(bytes / 6)
}

/// As many junk signatures as a note and a digest take, each under the longest id.
async fn junk(client: &Client, note: &str, image: &str) {
    let mut junk = occurrence(note, image, &payload(image), "", b"junk");
    let id = |n: usize| format!("{n:04}{}", "\u{1}".repeat(640));
    let signature = |n: usize| json!({"publicKeyId": id(n), "signature": "AAAA"});
    junk["attestation"]["signatures"] = (0..250).map(signature).collect();
    file(client, &junk).await;
}

/// Longest texts in the place of every text that a request may carry and a record repeats.
fn requests(attested: &str) -> Vec<(&'static str, &'static str, Value)> {
    let decision = |images: Vec<String>| {
        json!({"project": "p", "cluster": "l.c", "namespace": "shop", "serviceAccount": "web",
            "images": images})
    };
    let tagged = |n: usize| attested.replacen('@', &format!(":{n:0100}@"), 1);
    let malformed = |n: usize| format!("{n}{}", text(BODY / IMAGES - 16));
    let mixed = |n: usize| if n.is_multiple_of(2) { tagged(n) } else { malformed(n) };
    let mut reviewed = creation(&pod(&[attested]));
    let user = json!({"username": text(BODY / 4), "uid": text(BODY / 4),
        "groups": vec![text(BODY / 16); 4]});
    reviewed["request"]["userInfo"] = user;
    reviewed["request"]["name"] = json!(text(BODY / 8));
    let mut pods = creation(&pod(&[attested]));
    let container = |n: usize| json!({"name": format!("c{n}"), "image": malformed(n)});
    pods["request"]["object"]["spec"]["containers"] = (0..IMAGES - 60).map(container).collect();
    let decisions = "/v1/decisions";
    let admission = "/k8s/projects/p/clusters/l.c/admission";
    vec![
        ("one image", decisions, decision(vec![text(BODY)])),
        ("malformed images", decisions, decision((0..IMAGES).map(malformed).collect())),
        ("tags of a digest with junk", decisions, decision((0..IMAGES).map(tagged).collect())),
        ("both", decisions, decision((0..IMAGES).map(mixed).collect())),
        ("a user of the longest texts", admission, reviewed),
        ("a pod of the longest texts", admission, pods),
    ]
}

#[tokio::test]
async fn no_request_makes_a_record_that_the_verifier_refuses() {
    let world = World::configured("audit.principal_burst_mib = 1024\n").await;
    let (client, attested) = (world.client(), image("junk"));
    let names: Vec<_> = (0..4).map(|n| format!("a{n}")).collect();
    for name in &names {
        hallmark_tests::project::attestor(client, name, &[("https://k", &world.key)]).await;
        junk(client, name, &attested).await;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    put_policy(client, &policy("REQUIRE_ATTESTATION", &names)).await;
    let audit = world.dir.path().join("data/audit");
    let mut longest = 0;
    for (kind, path, body) in requests(&attested) {
        let sent = body.to_string().len();
        assert!(sent <= 4 << 20, "{kind}: {sent} bytes are no request");
        let before = length(&audit);
        let answer = client.post(path, &body).await.ok();
        let record = last_record(world.dir.path());
        assert_eq!(record["type"], "decision", "{kind}");
        let reasons = record["decision"]["images"].as_array().expect("images");
        assert!(!reasons.is_empty() && record["decision"]["allowed"] == json!(false), "{kind}");
        assert!(!answer.to_string().contains("AUDIT_RECORD_TOO_LONG"), "{kind}");
        let line = length(&audit) - before;
        eprintln!("{kind}: {sent} bytes sent, {line} recorded");
        longest = longest.max(line);
    }
    assert!(longest > 4 << 20 && longest <= LINE_BYTES_MAX / 2, "{longest}");
    assert!(verified(&audit, &[])["records"].as_u64() >= Some(6));
}

/// Bytes of the whole log.
fn length(audit: &std::path::Path) -> usize {
    files(audit).iter().map(|file| std::fs::metadata(file).expect("a file").len() as usize).sum()
}
