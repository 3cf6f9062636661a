//! Requests in the shapes that Google's clients and documentation give them, beside those of the
//! Python clients: curl as the walkthroughs have it, Terraform, Go, Java.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::project::{
    KEY_ID, World, assert_allowed, assert_denied, attestor_body, decide, digest, flipped, image,
    note, payload,
};
use hallmark_tests::wire::Wire;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

fn empty() -> (TempDir, Daemon) {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    (dir, daemon)
}

/// A body that need not be JSON.
async fn send(client: &Client, method: Method, path: &str, body: &str) -> Value {
    client.call(method, path, "application/json", body.to_owned().into()).await.ok()
}

/// One request with headers of its own; the body of an answer of 200.
async fn with_headers(client: &Client, path: &str, headers: &str, body: &[u8]) -> Value {
    let answer = answered(client, path, headers, body).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).expect("JSON")
}

async fn answered(client: &Client, path: &str, headers: &str, body: &[u8]) -> String {
    let mut wire = Wire::open(client).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json; \
         charset=UTF-8\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    wire.send(&[head.as_bytes(), body].concat()).await;
    wire.read_to_end().await
}

/// As `gzip` makes it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip");
    let mut stdin = child.stdin.take().expect("piped");
    let bytes = bytes.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("gzip");
    writer.join().expect("no panic").expect("written");
    output.stdout
}

/// `notes/?noteId=`, members in snake_case, text in single quotes.
#[tokio::test]
async fn documentation_is_followed_to_the_letter() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    let note = r#"{"name": "projects/p/notes/n", "attestation_authority": {"hint": {"human_readable_name": "QA"}}}"#;
    let made = send(client, Method::POST, "/v1beta1/projects/p/notes/?noteId=n", note).await;
    assert_eq!(made["attestationAuthority"]["hint"]["humanReadableName"], "QA");
    assert_eq!(made.get("attestation"), None);
    let listed = client.get("/v1beta1/projects/p/notes/").await.ok();
    assert_eq!(listed["notes"][0], made);
    let v1 = client.get("/v1/projects/p/notes/n").await.ok();
    assert_eq!(v1["attestation"], json!({"hint": {"humanReadableName": "QA"}}));
    let quoted = "{\n 'resource': 'projects/p/notes/n',\n 'policy': {'bindings': [{\n  'role': \
                  'roles/containeranalysis.notes.occurrences.viewer',\n  'members': \
                  ['serviceAccount:a@b.example']}]}\n}";
    let written = send(client, Method::POST, "/v1/projects/p/notes/n:setIamPolicy", quoted).await;
    assert_eq!(written["bindings"][0]["members"], json!(["serviceAccount:a@b.example"]));
    let read = send(client, Method::POST, "/v1/projects/p/notes/n:getIamPolicy", "").await;
    assert_eq!(read, written);
    for body in ["{'policy': {'bindings': [", "{'policy': 'it's'}", "{policy: {}}"] {
        let answer = client.call(
            Method::POST,
            "/v1/projects/p/notes/n:setIamPolicy",
            "application/json",
            body.into(),
        );
        answer.await.refused(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn attestations_of_v1beta1_decide_as_those_of_v1() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("beta"));
    let (payload, occurrences) = (payload(&image), "/v1beta1/projects/p/occurrences");
    let signature = world.key.sign(&payload);
    let attested = |signature: &[u8]| {
        json!({
            "noteName": "projects/p/notes/build",
            "resource": {"uri": format!("https://{image}")},
            "attestation": {"attestation": {"genericSignedAttestation": {
                "contentType": "SIMPLE_SIGNING_JSON",
                "serializedPayload": STANDARD.encode(&payload),
                "signatures": [{
                    "publicKeyId": KEY_ID, "signature": STANDARD.encode(signature),
                }],
            }}},
        })
    };
    client.post(occurrences, &attested(&flipped(&signature, 77))).await.ok();
    assert_denied(&decide(client, &[&image]).await, "NOT_ATTESTED");
    let made = client.post(occurrences, &attested(&signature)).await.ok();
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    for member in ["noteName", "resource", "attestation"] {
        assert_eq!(made[member], attested(&signature)[member], "{member}");
    }
    let name = made["name"].as_str().expect("a name");
    let v1 = client.get(&format!("/v1/{name}")).await.ok();
    assert_eq!(v1["resourceUri"], format!("https://{image}"));
    assert_eq!(v1["attestation"]["signatures"][0]["publicKeyId"], KEY_ID);
    assert_eq!(client.post(occurrences, &attested(&signature)).await.status, 409);
    let filter = format!("filter=has_suffix(resourceUrl,%22{}%22)", digest("beta"));
    let listed =
        client.get(&format!("/v1beta1/projects/p/notes/build/occurrences?{filter}")).await.ok();
    let names: Vec<_> = listed["occurrences"].as_array().expect("some").iter().collect();
    assert!(names.contains(&&made), "{listed:#}");

    let mut pgp = attested(&signature);
    pgp["attestation"]["attestation"] = json!({"pgpSignedAttestation": {"signature": "x"}});
    let refused = client.post(occurrences, &pgp).await.refused(400, "INVALID_ARGUMENT");
    assert!(refused.contains("attestation.attestation: the payload is needed"), "{refused}");
    let build = json!({"noteName": "projects/p/notes/b", "resource": {"uri": "i"}, "build": {}});
    client.post(occurrences, &build).await.refused(501, "UNIMPLEMENTED");
    let batch = json!({"notes": {"b1": {"attestationAuthority": {"hint": {}}}}});
    let notes = client.post("/v1beta1/projects/p/notes:batchCreate", &batch).await.ok();
    assert_eq!(notes["notes"][0]["attestationAuthority"], json!({"hint": {}}));
}

/// There is one location, which names may leave out or have.
#[tokio::test]
async fn the_global_location_is_no_other_place() {
    let world = World::new().await;
    let client = world.client();
    let located = "/v1/projects/p/locations/global";
    let hint = json!({"attestation": {"hint": {}}});
    let made = client.post(&format!("{located}/notes?noteId=located"), &hint).await.ok();
    assert_eq!(made["name"], "projects/p/notes/located");
    let image = image("located");
    let payload = payload(&image);
    let attested = json!({
        "resourceUri": format!("https://{image}"),
        "noteName": "projects/p/locations/global/notes/build",
        "attestation": {
            "serializedPayload": STANDARD.encode(&payload),
            "signatures": [{
                "publicKeyId": KEY_ID, "signature": STANDARD.encode(world.key.sign(&payload)),
            }],
        },
    });
    let filed = client.post(&format!("{located}/occurrences"), &attested).await.ok();
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    let listed = client.get(&format!("{located}/notes/build/occurrences")).await.ok();
    assert_eq!(listed["occurrences"][0]["name"], filed["name"]);
    for path in ["notes/build", "notes", "occurrences", "notes/build/occurrences"] {
        let other = format!("/v1/projects/p/locations/us-east1/{path}");
        let message = client.get(&other).await.refused(404, "NOT_FOUND");
        assert!(message.contains("`us-east1`"), "{message}");
    }
}

/// Java cannot send PATCH, and compresses what it sends.
#[tokio::test]
async fn a_method_may_be_overridden_and_a_body_compressed() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    note(client, "n").await;
    let create = "/v1/projects/p/attestors?attestorId=n&alt=json&prettyPrint=false";
    let body = attestor_body("n", &[]).to_string();
    let compressed = gzip(body.as_bytes());
    let made = with_headers(client, create, "content-encoding: gzip\r\n", &compressed).await;
    assert_eq!(made["name"], "projects/p/attestors/n");
    let patch = "/v1/projects/p/notes/n?updateMask=shortDescription%2CattestationAuthority";
    let body = json!({"shortDescription": "new", "attestation": {"hint": {}}}).to_string();
    let headers = "x-http-method-override: PATCH\r\n";
    let patched = with_headers(client, patch, headers, body.as_bytes()).await;
    assert_eq!(
        (&patched["shortDescription"], &patched["attestation"]),
        (&json!("new"), &json!({"hint": {}}))
    );
    let delete = "x-http-method-override: DELETE\r\n";
    assert_eq!(with_headers(client, "/v1/projects/p/notes/n", delete, b"").await, json!({}));
    client.get("/v1/projects/p/notes/n").await.refused(404, "NOT_FOUND");

    let mut broken = compressed.clone();
    broken.truncate(compressed.len() - 1);
    let refused = answered(client, create, "content-encoding: gzip\r\n", &broken).await;
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("not the gzip"), "{refused}");
    let refused = answered(client, create, "content-encoding: br\r\n", &broken).await;
    assert!(refused.starts_with("HTTP/1.1 415 "), "{refused}");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let refused = answered(client, create, "content-encoding: gzip\r\n", &bomb).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}

#[tokio::test]
async fn what_every_client_may_add_changes_nothing() {
    let world = World::new().await;
    let client = world.client();
    let plain = client.get("/v1/projects/p/attestors/build").await.ok();
    for query in [
        "alt=json&prettyPrint=false",
        "%24alt=json",
        "key=k&quotaUser=u&fields=name&$.xgafv=2&uploadType=&upload_protocol=&callback=",
        "alt=json&updateMask=description",
    ] {
        let answer = client.get(&format!("/v1/projects/p/attestors/build?{query}")).await.ok();
        assert_eq!(answer, plain, "{query}");
    }
    let numbers = "/v1/projects/p/attestors/build?%24alt=json%3Benum-encoding%3Dint";
    let numbers = client.get(numbers).await.ok();
    let key = &numbers["userOwnedGrafeasNote"]["publicKeys"][0];
    assert_eq!(key["pkixPublicKey"]["signatureAlgorithm"], 9);
    for query in ["alt=proto", "alt=media", "$alt=xml"] {
        let answer = client.get(&format!("/v1/projects/p/attestors/build?{query}")).await;
        answer.refused(400, "INVALID_ARGUMENT");
    }
    let headers = "x-goog-user-project: q\r\nx-goog-api-client: gl-go/1.23\r\nx-goog-fieldmask: \
                   name\r\nx-goog-request-params: resource=x\r\nx-http-method-override: GET\r\n";
    let answer = with_headers(client, "/v1/projects/p/attestors/build", headers, b"").await;
    assert_eq!(answer, plain);
}

/// As Google's API does, which knows both names of a field everywhere.
#[tokio::test]
async fn query_parameters_may_be_in_snake_case() {
    let (_dir, daemon) = empty();
    let client = &daemon.client;
    for id in ["a", "b"] {
        let hint = json!({"attestation": {"hint": {}}});
        client.post(&format!("/v1/projects/p/notes?note_id={id}"), &hint).await.ok();
        let attestor = json!({"user_owned_grafeas_note": {"note_reference": "projects/p/notes/a"}});
        let path = format!("/v1/projects/p/attestors?attestor_id={id}");
        client.post(&path, &attestor).await.ok();
    }
    let first = client.get("/v1/projects/p/attestors?page_size=1").await.ok();
    assert_eq!(first["attestors"].as_array().map(Vec::len), Some(1));
    let token = first["nextPageToken"].as_str().expect("there is more");
    let second = client.get(&format!("/v1/projects/p/attestors?page_token={token}")).await.ok();
    assert_eq!(second["attestors"][0]["name"], "projects/p/attestors/b");
    let body = json!({"short_description": "s", "long_description": "l"}).to_string();
    let path = "/v1/projects/p/notes/a?update_mask=short_description";
    let patched = client.call(Method::PATCH, path, "application/json", body.into()).await.ok();
    assert_eq!((&patched["shortDescription"], patched.get("longDescription")), (&json!("s"), None));
    let twice = client.get("/v1/projects/p/attestors?page_size=1&pageSize=1").await;
    assert!(twice.refused(400, "INVALID_ARGUMENT").contains("given twice"));
}

/// The write that Terraform makes when a policy is destroyed, and its way to read an error.
#[tokio::test]
async fn terraform_destroys_a_policy_and_reads_what_is_wrong_with_one() {
    let world = World::new().await;
    let client = world.client();
    let default = json!({
        "name": "projects/p/policy",
        "admissionWhitelistPatterns": [{"namePattern": "gcr.io/google_containers/*"}],
        "defaultAdmissionRule": {
            "evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        },
    });
    let mut written = client.put("/v1/projects/p/policy?alt=json", &default).await.ok();
    let written = written.as_object_mut().expect("an object");
    for set_by_the_service in ["etag", "updateTime"] {
        written.remove(set_by_the_service).expect("set");
    }
    assert_eq!(json!(written), default);
    let mut wrong = default.clone();
    wrong["defaultAdmissionRule"]["evaluation_mod"] = json!("ALWAYS_DENY");
    let answer = client.put("/v1/projects/p/policy?alt=json", &wrong).await;
    let says = "Invalid JSON payload received. Unknown name \"evaluation_mod\" at \
                'defaultAdmissionRule': Cannot find field.";
    assert!(answer.refused(400, "INVALID_ARGUMENT").starts_with(says), "{}", answer.text);
    let details = &answer.json["error"]["details"][0];
    assert_eq!(details["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(details["fieldViolations"][0]["field"], "defaultAdmissionRule");
}

/// Google's answer where there is nothing: nothing, not that it is not there.
#[tokio::test]
async fn nobody_holds_a_permission_on_what_there_is_not() {
    let (_dir, daemon) = empty();
    let ask = json!({"permissions": ["binaryauthorization.attestors.get"]});
    let path = "/v1/projects/p/attestors/none:testIamPermissions";
    assert_eq!(daemon.client.post(path, &ask).await.ok(), json!({}));
}
