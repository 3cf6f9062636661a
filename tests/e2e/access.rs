//! Who may do what: tokens, roles, refusals, and the record of every write.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_tests::audit::records;
use hallmark_tests::client::{Answer, Client};
use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::keys::{Key, openssl, write};
use hallmark_tests::project::{attestor_body, image, note, policy, sha256_hex};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// In every token; nowhere else.
const SECRET: &str = "s3cr3t-t0ken-of";

fn token(name: &str) -> String {
    format!("{SECRET}-{name}")
}

/// `[auth]` where `user:ROLE` holds `ROLE` in project p, `user:admin` everything everywhere, and
/// `user:nobody` nothing.
fn auth(roles: &[&str]) -> String {
    let known = |name: &str| {
        let hash = sha256_hex(token(name).as_bytes());
        format!("[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'\n")
    };
    let bound = |name: &str, role: &str, project: &str| {
        format!(
            "[[bindings]]\nrole = 'roles/{role}'\nmembers = ['user:{name}']\nprojects = ['{project}']\n"
        )
    };
    let admin = [
        "binaryauthorization.policyAdmin",
        "binaryauthorization.attestorsAdmin",
        "containeranalysis.admin",
        "hallmark.decider",
        "hallmark.operator",
    ];
    let mut toml = known("admin") + &known("nobody");
    toml.extend(admin.map(|role| bound("admin", role, "*")));
    toml.extend(roles.iter().map(|role| known(role) + &bound(role, role, "p")));
    toml
}

struct Guarded {
    dir: TempDir,
    daemon: Daemon,
}

impl Guarded {
    fn start(auth: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = write(dir.path(), "auth.toml", auth.as_bytes());
        let toml = format!("auth.file = '{}'", file.display());
        let daemon = Daemon::start_configured(dir.path(), &toml);
        Self { dir, daemon }
    }

    fn client(&self, name: &str) -> Client {
        self.daemon.client.bearing(&token(name))
    }

    fn writes(&self) -> Vec<Value> {
        records(self.dir.path()).into_iter().filter(|record| record["type"] == "write").collect()
    }
}

async fn call(client: &Client, line: &str) -> Answer {
    let (method, path) = line.split_once(' ').expect("METHOD PATH");
    let body = match (method, path) {
        ("PUT", "/v1/projects/p/policy") => policy("ALWAYS_DENY", &[]),
        ("POST", "/v1/decisions") => json!({"project": "p", "images": [image("x")]}),
        (_, path) if path.contains("notes?") => {
            json!({"attestation": {"hint": {"humanReadableName": "n"}}})
        }
        (_, path) if path.contains("attestors") => attestor_body("n", &[]),
        (_, path) if path.contains("occurrences") => json!({
            "noteName": "projects/p/notes/n", "resourceUri": image("x"), "kind": "ATTESTATION",
            "attestation": {"serializedPayload": "eA==", "signatures": [{"publicKeyId": "k", "signature": "eA=="}]},
        }),
        _ => Value::Null,
    };
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.call(method, path, "application/json", body.into()).await
}

/// Each role, something that it may do, and something that it may not, with the permission that it
/// lacks.
const ROLES: [(&str, &str, &str, &str); 13] = [
    (
        "binaryauthorization.policyViewer",
        "GET /v1/projects/p/policy",
        "PUT /v1/projects/p/policy",
        "binaryauthorization.policy.update",
    ),
    (
        "binaryauthorization.policyEvaluator",
        "GET /v1/projects/p/policy",
        "PUT /v1/projects/p/policy",
        "binaryauthorization.policy.update",
    ),
    (
        "binaryauthorization.policyEditor",
        "PUT /v1/projects/p/policy",
        "GET /v1/projects/p/attestors",
        "binaryauthorization.attestors.list",
    ),
    (
        "binaryauthorization.policyAdmin",
        "PUT /v1/projects/p/policy",
        "DELETE /v1/projects/p/attestors/n",
        "binaryauthorization.attestors.delete",
    ),
    (
        "binaryauthorization.attestorsViewer",
        "GET /v1/projects/p/attestors",
        "POST /v1/projects/p/attestors?attestorId=n",
        "binaryauthorization.attestors.create",
    ),
    (
        "binaryauthorization.attestorsVerifier",
        "GET /v1beta1/projects/p/attestors",
        "PUT /v1/projects/p/attestors/n",
        "binaryauthorization.attestors.update",
    ),
    (
        "binaryauthorization.attestorsEditor",
        "PUT /v1/projects/p/attestors/n",
        "GET /v1/projects/p/policy",
        "binaryauthorization.policy.get",
    ),
    (
        "binaryauthorization.attestorsAdmin",
        "PUT /v1/projects/p/attestors/n",
        "PUT /v1beta1/projects/p/policy",
        "binaryauthorization.policy.update",
    ),
    (
        "containeranalysis.notes.editor",
        "POST /v1/projects/p/notes?noteId=m",
        "GET /v1/projects/p/occurrences",
        "containeranalysis.occurrences.list",
    ),
    (
        "containeranalysis.notes.viewer",
        "GET /v1/projects/p/notes/n",
        "POST /v1/projects/p/notes?noteId=o",
        "containeranalysis.notes.create",
    ),
    (
        "containeranalysis.notes.occurrences.viewer",
        "GET /v1/projects/p/notes/n/occurrences",
        "GET /v1/projects/p/notes",
        "containeranalysis.notes.list",
    ),
    (
        "containeranalysis.occurrences.viewer",
        "GET /v1/projects/p/occurrences",
        "POST /v1/projects/p/occurrences",
        "containeranalysis.occurrences.create",
    ),
    ("hallmark.decider", "POST /v1/decisions", "GET /metrics", "hallmark.operations.get"),
];

#[tokio::test]
async fn each_role_opens_its_doors_and_no_others() {
    let roles = ROLES.map(|(role, ..)| role);
    let guarded = Guarded::start(&auth(&roles));
    note(&guarded.client("admin"), "n").await;
    call(&guarded.client("admin"), "POST /v1/projects/p/attestors?attestorId=n").await.ok();
    for (role, allowed, refused, permission) in ROLES {
        let client = guarded.client(role);
        call(&client, allowed).await.ok();
        let message = call(&client, refused).await.refused(403, "PERMISSION_DENIED");
        let path = refused.split(['/', ' ', '?']).skip(3).collect::<Vec<_>>().join("/");
        let words = format!("Permission '{permission}' denied on resource '");
        assert!(message.starts_with(&words), "{role}: {message}");
        assert!(message.contains(path.split('/').take(2).last().unwrap_or_default()), "{message}");
        // In another project it opens nothing.
        let elsewhere = allowed.replace("/p/", "/q/");
        if elsewhere != allowed {
            call(&client, &elsewhere).await.refused(403, "PERMISSION_DENIED");
        }
        call(&guarded.client("nobody"), allowed).await.refused(403, "PERMISSION_DENIED");
    }
}

/// An attestation speaks for a note: it takes a word from both projects.
#[tokio::test]
async fn an_occurrence_is_attached_to_a_note_by_who_may() {
    let (editor, attacher) =
        ("containeranalysis.occurrences.editor", "containeranalysis.notes.attacher");
    let both = format!(
        "{}[[bindings]]\nrole = 'roles/{attacher}'\nmembers = ['user:hallmark.decider']\nprojects = ['p']\n\
         [[bindings]]\nrole = 'roles/{editor}'\nmembers = ['user:hallmark.decider']\nprojects = ['p']\n",
        auth(&[editor, attacher, "hallmark.decider"])
    );
    let guarded = Guarded::start(&both);
    note(&guarded.client("admin"), "n").await;
    for (name, permission) in [
        (editor, "containeranalysis.notes.attachOccurrence"),
        (attacher, "containeranalysis.occurrences.create"),
    ] {
        let answer = call(&guarded.client(name), "POST /v1/projects/p/occurrences").await;
        let message = answer.refused(403, "PERMISSION_DENIED");
        assert!(message.contains(permission), "{message}");
    }
    call(&guarded.client("hallmark.decider"), "POST /v1/projects/p/occurrences").await.ok();
}

#[tokio::test]
async fn who_does_not_say_who_they_are_hears_how() {
    let guarded = Guarded::start(&auth(&[]));
    let nameless = &guarded.daemon.client;
    let missing = call(nameless, "GET /v1/projects/p/policy").await;
    assert!(missing.refused(401, "UNAUTHENTICATED").contains("Authorization: Bearer"));
    assert_eq!(missing.challenge.as_deref(), Some(r#"Bearer realm="hallmark""#));
    for wrong in ["wrong", "a.b.c", &token("admi"), &sha256_hex(token("admin").as_bytes())] {
        let answer = call(&nameless.bearing(wrong), "GET /v1/projects/p/policy").await;
        let message = answer.refused(401, "UNAUTHENTICATED");
        assert!(!message.contains(wrong), "{message}");
        assert_eq!(
            answer.challenge.as_deref(),
            Some(r#"Bearer realm="hallmark", error="invalid_token""#)
        );
    }
    // A probe knows nothing, and is told as much as it needs.
    assert_eq!(nameless.get("/livez").await.status, 200);
    assert_eq!(nameless.get("/readyz").await.ok(), json!({"ready": true}));
    assert_eq!(nameless.get("/version").await.status, 200);
    nameless.get("/metrics").await.refused(401, "UNAUTHENTICATED");
    assert_eq!(guarded.client("nobody").get("/readyz").await.ok(), json!({"ready": true}));
    assert_eq!(guarded.client("admin").get("/readyz").await.ok()["storeOpen"], true);
    assert_eq!(guarded.client("admin").get("/metrics").await.status, 200);
}

#[tokio::test]
async fn every_line_of_a_stream_is_asked_for_its_project() {
    let guarded = Guarded::start(&auth(&["hallmark.decider"]));
    let ask = |project: &str| json!({"project": project, "images": [image("x")]});
    let answers = guarded.client("hallmark.decider").stream(&[ask("p"), ask("q"), ask("p")]).await;
    assert_eq!(answers[0]["allowed"], false);
    assert_eq!(answers[1]["error"]["status"], "PERMISSION_DENIED", "{answers:?}");
    assert_eq!(answers[1]["line"], 2);
    assert_eq!(answers[2]["allowed"], false);
    let decisions = records(guarded.dir.path());
    let decisions: Vec<_> =
        decisions.iter().filter(|record| record["type"] == "decision").collect();
    assert_eq!(decisions.len(), 2);
    assert!(decisions.iter().all(|record| record["principal"] == "user:hallmark.decider"));
}

/// An IAM policy stored with a resource permits there, whoever wrote the configuration.
#[tokio::test]
async fn a_stored_iam_policy_permits_on_its_own_resource() {
    let guarded = Guarded::start(&auth(&["containeranalysis.occurrences.editor"]));
    let (admin, nobody) = (guarded.client("admin"), guarded.client("nobody"));
    for id in ["n", "m"] {
        note(&admin, id).await;
        let create = format!("/v1/projects/p/attestors?attestorId={id}");
        admin.post(&create, &attestor_body(id, &[])).await.ok();
    }
    let (own, other) = ("/v1/projects/p/attestors/n", "/v1/projects/p/attestors/m");
    nobody.get(own).await.refused(403, "PERMISSION_DENIED");
    let bind = |role: &str, member: &str| {
        json!({"policy": {"bindings": [
            {"role": format!("roles/{role}"), "members": [member]},
        ]}})
    };
    let set = format!("{own}:setIamPolicy");
    let binding = bind("binaryauthorization.attestorsViewer", "user:nobody");
    nobody.post(&set, &binding).await.refused(403, "PERMISSION_DENIED");
    let written = admin.post(&set, &binding).await.ok();
    nobody.get(own).await.ok();
    nobody.get(other).await.refused(403, "PERMISSION_DENIED");
    nobody.get("/v1/projects/p/attestors").await.refused(403, "PERMISSION_DENIED");
    nobody.delete(own).await.refused(403, "PERMISSION_DENIED");
    let asked = json!({"permissions": [
        "binaryauthorization.attestors.get", "binaryauthorization.attestors.update",
    ]});
    let test = format!("{own}:testIamPermissions");
    let held = nobody.post(&test, &asked).await.ok();
    assert_eq!(held, json!({"permissions": ["binaryauthorization.attestors.get"]}));
    assert_eq!(admin.post(&test, &asked).await.ok(), asked);
    let write = guarded.writes().pop().expect("a write");
    assert_eq!(
        (&write["outcome"], &write["resource"]),
        (&json!("PERMISSION_DENIED"), &json!("projects/p/attestors/n"))
    );
    let writes = guarded.writes();
    let set = writes.iter().find(|write| write["etagAfter"] == written["etag"]);
    assert_eq!(set.expect("the binding")["principal"], "user:admin");
    // The note of another project's attestor, as Google's walkthrough binds it.
    let editor = guarded.client("containeranalysis.occurrences.editor");
    call(&editor, "POST /v1/projects/p/occurrences").await.refused(403, "PERMISSION_DENIED");
    let binding =
        bind("containeranalysis.notes.attacher", "user:containeranalysis.occurrences.editor");
    admin.post("/v1/projects/p/notes/n:setIamPolicy", &binding).await.ok();
    call(&editor, "POST /v1/projects/p/occurrences").await.ok();
}

/// An API server says who it is, and its decisions carry the name.
#[tokio::test]
async fn a_webhook_is_a_principal_like_any_other() {
    let guarded = Guarded::start(&auth(&["hallmark.decider"]));
    let review = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"namespace": "shop", "containers": [{"image": image("x")}]}});
    let path = |project: &str| format!("/k8s/projects/{project}/clusters/l.c/imagereview");
    guarded.daemon.client.post(&path("p"), &review).await.refused(401, "UNAUTHENTICATED");
    guarded.client("nobody").post(&path("p"), &review).await.refused(403, "PERMISSION_DENIED");
    let decider = guarded.client("hallmark.decider");
    decider.post(&path("q"), &review).await.refused(403, "PERMISSION_DENIED");
    assert_eq!(decider.post(&path("p"), &review).await.ok()["status"]["allowed"], false);
    let last = records(guarded.dir.path()).pop().expect("a record");
    assert_eq!(
        (&last["type"], &last["principal"]),
        (&json!("decision"), &json!("user:hallmark.decider"))
    );
}

/// Granted and refused, with who, what, and the etags before and after.
#[tokio::test]
async fn every_write_is_on_the_record() {
    let viewer = "binaryauthorization.policyViewer";
    let guarded = Guarded::start(&auth(&[viewer]));
    let admin = guarded.client("admin");
    let put = "PUT /v1/projects/p/policy";
    let first = call(&admin, put).await.ok();
    let second = call(&admin, put).await.ok();
    call(&guarded.client(viewer), put).await.refused(403, "PERMISSION_DENIED");
    call(&guarded.daemon.client, put).await.refused(401, "UNAUTHENTICATED");
    admin
        .put("/v1/projects/p/policy", &json!({"nonsense": 1}))
        .await
        .refused(400, "INVALID_ARGUMENT");
    note(&admin, "n").await;
    let made = call(&admin, "POST /v1/projects/p/attestors?attestorId=n").await.ok();
    call(&admin, "DELETE /v1/projects/p/attestors/n").await.ok();
    let writes = guarded.writes();
    let told: Vec<_> = writes
        .iter()
        .map(|write| (write["principal"].as_str(), write["outcome"].as_str().expect("an outcome")))
        .collect();
    let admin = Some("user:admin");
    assert_eq!(
        told,
        [
            (admin, "OK"),
            (admin, "OK"),
            (Some("user:binaryauthorization.policyViewer"), "PERMISSION_DENIED"),
            (None, "UNAUTHENTICATED"),
            (admin, "INVALID_ARGUMENT"),
            (admin, "OK"),
            (admin, "OK"),
            (admin, "OK"),
        ]
    );
    assert_eq!(writes[0]["etagBefore"], Value::Null);
    assert_eq!(writes[0]["etagAfter"], first["etag"]);
    assert_eq!(
        (&writes[1]["etagBefore"], &writes[1]["etagAfter"]),
        (&first["etag"], &second["etag"])
    );
    for write in &writes[..5] {
        assert_eq!(write["method"], "PUT /v1/projects/{project}/policy");
        assert_eq!(write["resource"], "projects/p/policy");
    }
    assert_eq!(writes[6]["resources"], json!(["projects/p/attestors/n"]));
    assert_eq!((&writes[7]["etagBefore"], &writes[7]["etagAfter"]), (&made["etag"], &Value::Null));
    // Each was announced before it was carried out.
    let records = records(guarded.dir.path());
    for write in writes.iter().filter(|write| write["write"].is_string()) {
        let intent = records
            .iter()
            .find(|record| record["type"] == "writeIntent" && record["write"] == write["write"]);
        let intent = intent.expect("an intent");
        assert!(intent["seq"].as_u64() < write["seq"].as_u64());
        assert_eq!(intent["principal"], write["principal"]);
    }
    let verified = std::process::Command::new(binary("hallmark"))
        .args(["audit", "verify"])
        .arg(guarded.dir.path().join("data/audit"))
        .output();
    assert!(verified.expect("runs").status.success());
}

#[tokio::test]
async fn no_token_is_in_the_log_or_the_audit_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), "auth.toml", auth(&[]).as_bytes());
    let data = dir.path().join("data");
    let (file, data) = (file.to_string_lossy(), data.to_string_lossy());
    let args = ["--data-dir", &data, "--auth", &file, "--log", "trace"];
    let guarded = Guarded { daemon: Daemon::start_with(dir.path(), &args), dir };
    for name in ["admin", "nobody", "stranger"] {
        for line in [
            "GET /v1/projects/p/policy",
            "PUT /v1/projects/p/policy",
            "POST /v1/decisions",
            "GET /v2",
        ] {
            let answer = call(&guarded.client(name), line).await;
            assert!(!answer.text.contains(SECRET), "{}", answer.text);
        }
    }
    let recorded = format!("{:?}", records(guarded.dir.path()));
    assert!(recorded.contains("user:admin") && !recorded.contains(SECRET));
    let log = guarded.daemon.log();
    assert!(
        !log.contains(SECRET) && !log.contains(&sha256_hex(token("admin").as_bytes())),
        "{log}"
    );
    assert!(log.contains("TRACE"), "{log}");
}

/// A token that is withdrawn is of no use a moment later, and a file that makes no sense changes
/// nothing.
#[tokio::test]
async fn a_changed_file_changes_who_may() {
    let guarded = Guarded::start(&auth(&["binaryauthorization.policyViewer"]));
    let get = "GET /v1/projects/p/policy";
    let (admin, viewer) =
        (guarded.client("admin"), guarded.client("binaryauthorization.policyViewer"));
    call(&viewer, get).await.ok();
    write(guarded.dir.path(), "auth.toml", b"[[tokens]]\nprincipal = 'x'");
    eventually("the fault", || async {
        let ready = admin.get("/readyz").await.ok();
        assert_eq!(ready["ready"], true);
        ready["authReloadError"].as_str().filter(|error| error.contains("auth.toml")).map(drop)
    })
    .await;
    call(&viewer, get).await.ok();
    write(guarded.dir.path(), "auth.toml", auth(&[]).as_bytes());
    eventually("the withdrawal", || async {
        (call(&viewer, get).await.status == 401).then_some(())
    })
    .await;
    // Who may do what is in force a moment before `/readyz` is told.
    eventually("an end of the fault", || async {
        admin.get("/readyz").await.ok()["authReloadError"].is_null().then_some(())
    })
    .await;
}

/// A workload brings a JWT of its own issuer.
#[tokio::test]
async fn a_jwt_of_a_trusted_issuer_is_a_principal() {
    let key = Key::shared("ED25519");
    let dir = tempfile::tempdir().expect("a directory");
    let (private, public) = key.write(dir.path(), "issuer");
    let spki = openssl(&["pkey", "-pubin", "-in", &public.to_string_lossy(), "-outform", "DER"]);
    let x = URL_SAFE_NO_PAD.encode(&spki[spki.len() - 32..]);
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]}).to_string();
    let jwks = write(dir.path(), "jwks.json", jwks.as_bytes());
    let guarded = Guarded::start(&format!(
        "[[jwt]]\nissuer = 'https://ci.example'\naudiences = ['hallmark']\njwks = '{}'\n\
         algorithms = ['EdDSA']\nprefix = 'serviceAccount:ci/'\n\
         [[bindings]]\nrole = 'roles/binaryauthorization.policyEditor'\n\
         members = ['serviceAccount:ci/deploy']\nprojects = ['p']\n",
        jwks.display()
    ));
    let exp =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let jwt = |sub: &str, expires: u64| {
        let claims =
            json!({"iss": "https://ci.example", "aud": "hallmark", "sub": sub, "exp": expires});
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"1"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let input = write(dir.path(), "input", signed.as_bytes());
        let (private, input) = (private.to_string_lossy(), input.to_string_lossy());
        let signature = openssl(&["pkeyutl", "-sign", "-inkey", &private, "-rawin", "-in", &input]);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let put = "PUT /v1/projects/p/policy";
    let bearing = |token: &str| guarded.daemon.client.bearing(token);
    let good = jwt("deploy", exp.as_secs() + 60);
    call(&bearing(&good), put).await.ok();
    assert_eq!(guarded.writes()[0]["principal"], "serviceAccount:ci/deploy");
    call(&bearing(&jwt("other", exp.as_secs() + 60)), put).await.refused(403, "PERMISSION_DENIED");
    call(&bearing(&jwt("deploy", exp.as_secs() - 90)), put).await.refused(401, "UNAUTHENTICATED");
    let at = good.len() - 20;
    let flipped = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
    let forged = format!("{}{flipped}{}", &good[..at], &good[at + 1..]);
    call(&bearing(&forged), put).await.refused(401, "UNAUTHENTICATED");
}
