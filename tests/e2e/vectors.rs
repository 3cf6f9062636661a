//! Values from Google's documentation and from a stored occurrence of Google's tool, to compare
//! with.

use hallmark_tests::daemon::{Daemon, hallmark_offline};
use hallmark_tests::project::{note, sha256_hex};
use serde_json::json;

/// The key of "Create attestations" in Google's documentation.
const DOCUMENTED_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXnpuYEfvLl1kj4fjxViFRwY1a+zC
5qzlf9LJIK+rnjq42tiKGyyXMbnZKJiYPPdMDGyltnkrABnztg2jJ48aYQ==
-----END PUBLIC KEY-----
";

/// The image of a stored occurrence whose payload is known byte for byte.
const DOCUMENTED_IMAGE: &str = "gcr.io/qwiklabs-gcp-04-e98db2f05087/nginx@sha256:\
                                02115bc7409dc044f700a729cacc1648dc4e445572e5765fbcc77029b0adba67";

#[tokio::test]
async fn a_key_without_an_id_gets_the_documented_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "n").await;
    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/n",
        "publicKeys": [{"pkixPublicKey": {
            "publicKeyPem": DOCUMENTED_KEY, "signatureAlgorithm": "ECDSA_P256_SHA256",
        }}],
    }});
    let created = daemon.client.post("/v1/projects/p/attestors?attestorId=a", &body).await.ok();
    let id = &created["userOwnedGrafeasNote"]["publicKeys"][0]["id"];
    assert_eq!(id, "ni:///sha-256;EwVxs8fNUAHq9FI2AMfh8WNIXVBuuTMeGtPH72U-I70");
}

#[test]
fn the_payload_is_the_one_that_googles_tool_signs() {
    for url in [DOCUMENTED_IMAGE.to_owned(), format!("https://{DOCUMENTED_IMAGE}")] {
        let printed = hallmark_offline(&["create-signature-payload", "--artifact-url", &url]);
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        assert_eq!(printed.stdout.len(), 303);
        assert_eq!(
            sha256_hex(&printed.stdout),
            "8ca6bffb7cd34436f02834817a3e96c760db0202a20faa1e8338a34cd1dbe541"
        );
    }
}

#[test]
fn there_is_no_payload_for_a_tag() {
    let url = "gcr.io/p/nginx:1.27";
    let refused = hallmark_offline(&["create-signature-payload", "--artifact-url", url]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains(url) && error.contains("sha256:"), "{error}");
}
