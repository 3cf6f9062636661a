//! Every route that writes, against every role: a write takes each permission that its result would
//! have taken. A write route that is not in the table fails the test.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hallmark::auth::role::Role;
use hallmark::http::ROUTES;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::write;
use hallmark_tests::project::{attestor_body, image, note, policy, sha256_hex};
use hallmark_tests::wire::Wire;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// One write: its route, what it takes, and where this test sends it. What is deleted is not there,
/// so that every role finds the same.
type Row = (&'static str, &'static [&'static str], &'static str);

/// Taken on the note that an occurrence speaks for.
const ATTACH: &str = "containeranalysis.notes.attachOccurrence";

const ROWS: &[Row] = &[
    (
        "PUT /v1/projects/{project}/policy",
        &["binaryauthorization.policy.update"],
        "/v1/projects/p/policy",
    ),
    (
        "POST /v1/projects/{project}/policy:setIamPolicy",
        &["binaryauthorization.policy.setIamPolicy"],
        "/v1/projects/p/policy:setIamPolicy",
    ),
    (
        "POST /v1/projects/{project}/attestors",
        &["binaryauthorization.attestors.create"],
        "/v1/projects/p/attestors?attestorId=new",
    ),
    (
        "PUT /v1/projects/{project}/attestors/{attestor}",
        &["binaryauthorization.attestors.update"],
        "/v1/projects/p/attestors/n",
    ),
    (
        "DELETE /v1/projects/{project}/attestors/{attestor}",
        &["binaryauthorization.attestors.delete"],
        "/v1/projects/p/attestors/gone",
    ),
    (
        "POST /v1/projects/{project}/attestors/{attestor}:setIamPolicy",
        &["binaryauthorization.attestors.setIamPolicy"],
        "/v1/projects/p/attestors/n:setIamPolicy",
    ),
    (
        "POST /v1/projects/{project}/platforms/{platform}/policies",
        &["binaryauthorization.platformPolicies.create"],
        "/v1/projects/p/platforms/gke/policies?policyId=new",
    ),
    (
        "PUT /v1/projects/{project}/platforms/{platform}/policies/{policy}",
        &["binaryauthorization.platformPolicies.replace"],
        "/v1/projects/p/platforms/gke/policies/gone",
    ),
    (
        "DELETE /v1/projects/{project}/platforms/{platform}/policies/{policy}",
        &["binaryauthorization.platformPolicies.delete"],
        "/v1/projects/p/platforms/gke/policies/gone",
    ),
    (
        "POST /v1/projects/{project}/notes",
        &["containeranalysis.notes.create"],
        "/v1/projects/p/notes?noteId=new",
    ),
    (
        "POST /v1/projects/{project}/notes:batchCreate",
        &["containeranalysis.notes.create"],
        "/v1/projects/p/notes:batchCreate",
    ),
    (
        "PATCH /v1/projects/{project}/notes/{note}",
        &["containeranalysis.notes.update"],
        "/v1/projects/p/notes/n",
    ),
    (
        "DELETE /v1/projects/{project}/notes/{note}",
        &["containeranalysis.notes.delete"],
        "/v1/projects/p/notes/gone",
    ),
    (
        "POST /v1/projects/{project}/notes/{note}:setIamPolicy",
        &["containeranalysis.notes.setIamPolicy"],
        "/v1/projects/p/notes/n:setIamPolicy",
    ),
    (
        "POST /v1/projects/{project}/occurrences",
        &["containeranalysis.occurrences.create", ATTACH],
        "/v1/projects/p/occurrences",
    ),
    (
        "POST /v1/projects/{project}/occurrences:batchCreate",
        &["containeranalysis.occurrences.create", ATTACH],
        "/v1/projects/p/occurrences:batchCreate",
    ),
    (
        "PATCH /v1/projects/{project}/occurrences/{occurrence}",
        &["containeranalysis.occurrences.update", ATTACH],
        "/v1/OCCURRENCE?updateMask=attestation",
    ),
    (
        "DELETE /v1/projects/{project}/occurrences/{occurrence}",
        &["containeranalysis.occurrences.delete"],
        "/v1/projects/p/occurrences/gone",
    ),
    (
        "POST /v1/projects/{project}/occurrences/{occurrence}:setIamPolicy",
        &["containeranalysis.occurrences.setIamPolicy"],
        "/v1/OCCURRENCE:setIamPolicy",
    ),
    (
        "POST /v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}:asymmetricSign",
        &["cloudkms.cryptoKeyVersions.useToSign"],
        "/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1:asymmetricSign",
    ),
];

/// Whoever edits occurrences and attaches to notes, by a role for each.
const BOTH: &str = "both";

struct World {
    _dir: TempDir,
    daemon: Daemon,
    /// The name of an occurrence that is there.
    occurrence: String,
}

fn token(name: &str) -> String {
    format!("token-of-{name}")
}

/// `user:ROLE` holds that role in project p, `user:both` edits occurrences and attaches to notes.
fn auth() -> String {
    let mut toml = String::new();
    let mut known = |name: &str, roles: &[&str]| {
        let hash = sha256_hex(token(name).as_bytes());
        writeln!(toml, "[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'").expect("text");
        for role in roles {
            writeln!(
                toml,
                "[[bindings]]\nrole = '{role}'\nmembers = ['user:{name}']\nprojects = ['p']"
            )
            .expect("text");
        }
    };
    Role::ALL.iter().for_each(|role| known(role.as_str(), &[role.as_str()]));
    let all: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    known("admin", &all);
    known(
        BOTH,
        &["roles/containeranalysis.occurrences.editor", "roles/containeranalysis.notes.attacher"],
    );
    toml
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = write(dir.path(), "auth.toml", auth().as_bytes());
        let toml = format!("auth.file = '{}'", file.display());
        let daemon = Daemon::start_configured(dir.path(), &toml);
        let admin = daemon.client.bearing(&token("admin"));
        note(&admin, "n").await;
        admin.post("/v1/projects/p/attestors?attestorId=n", &attestor_body("n", &[])).await.ok();
        let made =
            admin.post("/v1/projects/p/occurrences", &attestation("there", "eA==")).await.ok();
        let occurrence = made["name"].as_str().expect("a name").to_owned();
        Self { _dir: dir, daemon, occurrence }
    }

    fn client(&self, name: &str) -> Client {
        self.daemon.client.bearing(&token(name))
    }

    async fn status(&self, name: &str, line: &str, path: &str) -> u16 {
        let (method, _) = line.split_once(' ').expect("METHOD PATH");
        let path = path.replace("OCCURRENCE", &self.occurrence);
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let body = body(line).to_string().into();
        self.client(name).call(method, &path, "application/json", body).await.status
    }
}

fn attestation(of: &str, signature: &str) -> Value {
    json!({
        "noteName": "projects/p/notes/n", "resourceUri": image(of), "kind": "ATTESTATION",
        "attestation": {
            "serializedPayload": "eA==",
            "signatures": [{"publicKeyId": "k", "signature": signature}],
        },
    })
}

fn body(line: &str) -> Value {
    let hint = json!({"attestation": {"hint": {"humanReadableName": "n"}}});
    match line {
        _ if line.starts_with("DELETE") => json!({}),
        _ if line.ends_with(":setIamPolicy") => json!({"policy": {}}),
        _ if line.ends_with("/policy") => policy("ALWAYS_DENY", &[]),
        _ if line.contains("/attestors") => attestor_body("n", &[]),
        _ if line.contains("/platforms") => json!({"gkePolicy": {}}),
        _ if line.ends_with("notes:batchCreate") => json!({"notes": {"batch": hint}}),
        _ if line.contains("/notes") => hint,
        _ if line.ends_with("occurrences:batchCreate") => {
            json!({"occurrences": [attestation("batch", "eA==")]})
        }
        _ if line.starts_with("PATCH") => {
            json!({"attestation": attestation("x", "eQ==")["attestation"]})
        }
        _ if line.contains("/occurrences") => attestation("one", "eA=="),
        _ => json!({"digest": {"sha256": "eA=="}}),
    }
}

#[test]
fn every_route_that_writes_is_in_the_table() {
    let there: BTreeSet<_> = ROUTES
        .iter()
        .filter(|route| route.access.writes())
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let told: BTreeSet<_> = ROWS.iter().map(|(line, ..)| (*line).to_owned()).collect();
    assert_eq!(told, there);
}

#[tokio::test]
async fn a_write_takes_what_its_result_would_have_taken() {
    let world = World::new().await;
    for (line, needs, path) in ROWS {
        for role in Role::ALL {
            let holds =
                |needed: &&str| role.permissions().iter().any(|held| held.as_str() == *needed);
            let status = world.status(role.as_str(), line, path).await;
            let may = needs.iter().all(holds);
            assert_eq!(status != 403, may, "{role}: {line}: {status}");
            assert_ne!(status, 401, "{role}: {line}");
        }
        if needs.contains(&ATTACH) {
            assert_ne!(world.status(BOTH, line, path).await, 403, "{line}");
        }
    }
}

/// The same write by every way to say it.
#[tokio::test]
async fn no_other_spelling_of_a_write_takes_less() {
    let world = World::new().await;
    let editor = "roles/containeranalysis.occurrences.editor";
    let (project, id) = world.occurrence.split_once("/occurrences/").expect("a name");
    let patch = json!({"attestation": attestation("x", "eQ==")["attestation"]}).to_string();
    for path in [
        format!("/v1/{project}/occurrences/{id}"),
        format!("/v1beta1/{project}/occurrences/{id}"),
        format!("/v1/{project}/locations/global/occurrences/{id}"),
        format!("/v1beta1/{project}/locations/global/occurrences/{id}/"),
    ] {
        for mask in ["", "?updateMask=attestation", "?updateMask=*", "?updateMask=remediation"] {
            let (client, path) = (world.client(editor), format!("{path}{mask}"));
            let sent =
                client.call(Method::PATCH, &path, "application/json", patch.clone().into()).await;
            let message = sent.refused(403, "PERMISSION_DENIED");
            assert!(
                message.contains(ATTACH) && message.contains("projects/p/notes/n"),
                "{message}"
            );
        }
        let mut wire = Wire::open(&world.daemon.client).await;
        let head = format!(
            "POST {path}?updateMask=attestation HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
             authorization: Bearer {}\r\nx-http-method-override: PATCH\r\ncontent-type: \
             application/json\r\ncontent-length: {}\r\n\r\n",
            token(editor),
            patch.len()
        );
        wire.send(&[head.as_bytes(), patch.as_bytes()].concat()).await;
        let answer = wire.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let held = world.client(BOTH).get(&format!("/v1/{}", world.occurrence)).await.ok();
    assert_eq!(held["attestation"]["signatures"][0]["signature"], "eA==");
}
