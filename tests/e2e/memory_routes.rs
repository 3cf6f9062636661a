//! Memory of a real daemon under the bodies that are worst for each route: small to send, and large
//! to those who build what they read before they look at it.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hallmark::http::ROUTES;
use hallmark_tests::admission::{creation, pod};
use hallmark_tests::daemon::Daemon;
use hallmark_tests::project::{World, image, payload};
use hallmark_tests::wire::Wire;
use http::Method;
use serde_json::json;

use crate::request_shapes::gzip;

/// MiB that a request may add whose body is refused or passed over: what `docs/operating.md` says.
const ROUTE_MIB: u64 = 64;
const MIB: usize = 1 << 20;
/// Bytes that the daemon takes of a body, nearly.
const BODY: usize = 4 * MIB - 64;
/// Bytes that it takes of a document that is stored as it is.
const DOCUMENT: usize = MIB - 64;

type Bodies = Vec<(&'static str, Bytes)>;

/// A line of the route table, a path for it, and bodies that cost.
type Row = (&'static str, &'static str, fn() -> Bodies);

/// Each line that reads a body.
const TABLE: &[Row] = &[
    ("POST /v1/decisions", "/v1/decisions", decisions),
    (
        "POST /k8s/projects/{project}/clusters/{cluster}/admission",
        "/k8s/projects/p/clusters/l.c/admission",
        admission_reviews,
    ),
    (
        "POST /k8s/projects/{project}/clusters/{cluster}/imagereview",
        "/k8s/projects/p/clusters/l.c/imagereview",
        image_reviews,
    ),
    (
        "POST /gatekeeper/projects/{project}/clusters/{cluster}/validate",
        "/gatekeeper/projects/p/clusters/l.c/validate",
        provider_requests,
    ),
    ("PUT /v1/projects/{project}/policy", "/v1/projects/p/policy", policies),
    (
        "POST /v1/projects/{project}/policy:setIamPolicy",
        "/v1/projects/p/policy:setIamPolicy",
        iam_policies,
    ),
    (
        "POST /v1/projects/{project}/policy:testIamPermissions",
        "/v1/projects/p/policy:testIamPermissions",
        permissions,
    ),
    ("POST /v1/projects/{project}/attestors", "/v1/projects/p/attestors?attestorId=x", attestors),
    (
        "PUT /v1/projects/{project}/attestors/{attestor}",
        "/v1/projects/p/attestors/build",
        attestors,
    ),
    (
        "POST /v1/projects/{project}/attestors/{attestor}:validateAttestationOccurrence",
        "/v1/projects/p/attestors/build:validateAttestationOccurrence",
        candidates,
    ),
    (
        "POST /v1/projects/{project}/attestors/{attestor}:setIamPolicy",
        "/v1/projects/p/attestors/build:setIamPolicy",
        iam_policies,
    ),
    (
        "POST /v1/projects/{project}/attestors/{attestor}:testIamPermissions",
        "/v1/projects/p/attestors/build:testIamPermissions",
        permissions,
    ),
    (
        "POST /v1/projects/{project}/platforms/{platform}/policies",
        "/v1/projects/p/platforms/gke/policies?policyId=x",
        platform_policies,
    ),
    (
        "PUT /v1/projects/{project}/platforms/{platform}/policies/{policy}",
        "/v1/projects/p/platforms/gke/policies/a",
        platform_policies,
    ),
    (
        "POST /v1/projects/{project}/platforms/{platform}/policies/{policy}:evaluate",
        "/v1/projects/p/platforms/gke/policies/a:evaluate",
        evaluations,
    ),
    ("POST /v1/projects/{project}/notes", "/v1/projects/p/notes?noteId=x", notes),
    (
        "POST /v1/projects/{project}/notes:batchCreate",
        "/v1/projects/p/notes:batchCreate",
        many_notes,
    ),
    ("PATCH /v1/projects/{project}/notes/{note}", "/v1/projects/p/notes/build", notes),
    (
        "POST /v1/projects/{project}/notes/{note}:getIamPolicy",
        "/v1/projects/p/notes/build:getIamPolicy",
        iam_policies,
    ),
    (
        "POST /v1/projects/{project}/notes/{note}:setIamPolicy",
        "/v1/projects/p/notes/build:setIamPolicy",
        iam_policies,
    ),
    (
        "POST /v1/projects/{project}/notes/{note}:testIamPermissions",
        "/v1/projects/p/notes/build:testIamPermissions",
        permissions,
    ),
    ("POST /v1/projects/{project}/occurrences", "/v1/projects/p/occurrences", occurrences),
    (
        "POST /v1/projects/{project}/occurrences:batchCreate",
        "/v1/projects/p/occurrences:batchCreate",
        many_occurrences,
    ),
    (
        "PATCH /v1/projects/{project}/occurrences/{occurrence}",
        "/v1/projects/p/occurrences/OCCURRENCE?updateMask=attestation",
        occurrences,
    ),
    (
        "POST /v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}:asymmetricSign",
        "/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1:asymmetricSign",
        signings,
    ),
];

/// The prefix of the routes that take a body and read none.
const UNREAD: &str = "/v1/projects/{project}/occurrences/{occurrence}:";

/// `whole` with as much of `unit` in the place of `…` as makes so many bytes; in each, `#` is
/// another number.
fn filled(whole: &str, unit: &str, bytes: usize) -> Bytes {
    let (before, after) = whole.split_once('…').expect("a place");
    let numbers = 6 * unit.matches('#').count();
    let count = (bytes - before.len() - after.len()) / (unit.len() + numbers + 1);
    let numbered = |n: usize| unit.replace('#', &format!("{n:07}"));
    let units: Vec<_> = (0..count).map(numbered).collect();
    format!("{before}{}{after}", units.join(",")).into()
}

fn nested(bytes: usize) -> Bytes {
    "{\"a\":[".repeat(bytes / 6).into()
}

/// Bodies that are no more than JSON.
fn documents(bytes: usize) -> Bodies {
    vec![
        ("numbers", filled(r#"{"x":[…]}"#, "0", bytes)),
        ("objects", filled(r#"{"x":[…]}"#, "{}", bytes)),
        ("members", filled("{…}", r##""#":0"##, bytes)),
        ("depth", nested(bytes)),
    ]
}

/// Those of so many bytes, and more.
fn and(bytes: usize, more: &[(&'static str, &str, &str)]) -> Bodies {
    let more = more.iter().map(|(kind, whole, unit)| (*kind, filled(whole, unit, bytes)));
    documents(bytes).into_iter().chain(more).collect()
}

fn decisions() -> Bodies {
    let whole = r#"{"project":"p","images":[…]}"#;
    let one = format!("\"{}\"", "x".repeat(BODY - 64));
    vec![
        ("images", filled(whole, r#""""#, BODY)),
        ("one image", whole.replace('…', &one).into()),
        ("1,000 images", whole.replace('…', &thousand_images()).into()),
        ("depth", nested(BODY)),
    ]
}

/// Images that differ, of nearly as many bytes as a body has.
fn thousand_images() -> String {
    let one = |n: usize| format!("\"r/{n}{}\"", "i".repeat(BODY / 1_000 - 32));
    (0..1_000).map(one).collect::<Vec<_>>().join(",")
}

/// A review with this text as the member at `pointer` of its request.
fn review(pointer: &str, text: &str) -> String {
    let mut review = creation(&pod(&["i"]));
    *review["request"].pointer_mut(pointer).expect("a member") = json!("HERE");
    review.to_string().replace("\"HERE\"", text)
}

fn admission_reviews() -> Bodies {
    let bytes = BODY - 4_096;
    let containers = review("/object/spec/containers", "[…]");
    let volumes = review("/object/spec", r#"{"containers":[{"image":"i"}],"volumes":[…]}"#);
    let annotations = review("/object/metadata", r#"{"name":"x","annotations":{…}}"#);
    let groups = review("/userInfo", r#"{"username":"u","groups":[…]}"#);
    vec![
        ("empty containers", filled(&containers, "{}", bytes)),
        ("containers", filled(&containers, r#"{"name":"c","image":"i"}"#, bytes)),
        ("volumes", filled(&volumes, "{}", bytes)),
        ("annotations", filled(&annotations, r##""#":"""##, bytes)),
        ("groups", filled(&groups, r#""""#, bytes)),
    ]
}

fn image_reviews() -> Bodies {
    let whole = r#"{"apiVersion":"imagepolicy.k8s.io/v1alpha1","kind":"ImageReview","spec":{"namespace":"shop","containers":[{"image":"i"}],"annotations":{}}}"#;
    let containers = whole.replace(r#"{"image":"i"}"#, "…");
    let annotations = whole.replace("{}", "{…}");
    vec![
        ("empty containers", filled(&containers, "{}", BODY)),
        ("annotations", filled(&annotations, r##""#":"""##, BODY)),
    ]
}

fn provider_requests() -> Bodies {
    let whole = r#"{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":[…]}}"#;
    vec![("keys", filled(whole, r#""""#, BODY))]
}

const RULE: &str =
    r#"{"evaluationMode":"ALWAYS_DENY","enforcementMode":"ENFORCED_BLOCK_AND_AUDIT_LOG"}"#;

fn policies() -> Bodies {
    let patterns = format!(r#"{{"admissionWhitelistPatterns":[…],"defaultAdmissionRule":{RULE}}}"#);
    let rules = format!(r#"{{"clusterAdmissionRules":{{…}},"defaultAdmissionRule":{RULE}}}"#);
    let rule = format!(r##""l.c#":{RULE}"##);
    and(BODY, &[("patterns", &patterns, r#"{"namePattern":"a"}"#), ("rules", &rules, &rule)])
}

fn iam_policies() -> Bodies {
    let members = r#"{"policy":{"bindings":[{"role":"roles/viewer","members":[…]}]}}"#;
    and(
        BODY,
        &[
            ("bindings", r#"{"policy":{"bindings":[…]}}"#, "{}"),
            ("members", members, r##""user:#""##),
        ],
    )
}

fn permissions() -> Bodies {
    vec![("permissions", filled(r#"{"permissions":[…]}"#, r#""""#, BODY))]
}

fn attestors() -> Bodies {
    let whole =
        r#"{"userOwnedGrafeasNote":{"noteReference":"projects/p/notes/build","publicKeys":[…]}}"#;
    and(BODY, &[("keys", whole, r##"{"id":"https://#"}"##), ("empty keys", whole, "{}")])
}

fn platform_policies() -> Bodies {
    let patterns = r#"{"gkePolicy":{"imageAllowlist":{"allowPattern":[…]}}}"#;
    and(
        BODY,
        &[
            ("check sets", r#"{"gkePolicy":{"checkSets":[…]}}"#, "{}"),
            ("checks", r#"{"gkePolicy":{"checkSets":[{"checks":[…]}]}}"#, "{}"),
            ("patterns", patterns, r#""a""#),
        ],
    )
}

fn evaluations() -> Bodies {
    let pod = r#"{"resource":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[…]}}}"#;
    let list = r#"{"resource":{"apiVersion":"v1","kind":"PodList","items":[…]}}"#;
    and(BODY, &[("containers", pod, "{}"), ("items", list, "{}")])
}

fn notes() -> Bodies {
    documents(DOCUMENT)
}

fn many_notes() -> Bodies {
    and(BODY, &[("notes", r#"{"notes":{…}}"#, r##""n#":{}"##)])
}

/// An occurrence of an image with signatures to come.
fn signed() -> String {
    let image = image("worst");
    let whole = r#"{"noteName":"projects/p/notes/build","resourceUri":"IMAGE","attestation":{"serializedPayload":"PAYLOAD","signatures":[…]}}"#;
    whole.replace("IMAGE", &image).replace("PAYLOAD", &STANDARD.encode(payload(&image)))
}

fn occurrences() -> Bodies {
    let findings = r#"{"noteName":"projects/p/notes/build","resourceUri":"r/i","kind":"VULNERABILITY","vulnerability":{"packageIssue":[…]}}"#;
    and(DOCUMENT, &[("signatures", &signed(), "{}"), ("findings", findings, "{}")])
}

fn many_occurrences() -> Bodies {
    let signed = format!(r#"{{"occurrences":[{}]}}"#, signed());
    and(BODY, &[("signatures", &signed, "{}"), ("occurrences", r#"{"occurrences":[…]}"#, "{}")])
}

fn candidates() -> Bodies {
    let signed = signed().replace("noteName", "occurrenceNote");
    let signed = signed.replace("resourceUri", "occurrenceResourceUri");
    and(DOCUMENT, &[("signatures", &signed, "{}")])
}

fn signings() -> Bodies {
    let data = format!(r#"{{"data":"{}"}}"#, "A".repeat(BODY - 64));
    documents(BODY).into_iter().chain([("data", data.into())]).collect()
}

#[test]
fn every_route_that_reads_a_body_is_in_the_table() {
    let takes = |method: &Method| [Method::POST, Method::PUT, Method::PATCH].contains(method);
    let there: BTreeSet<_> = ROUTES
        .iter()
        .filter(|route| takes(&route.method) && !route.path.starts_with(UNREAD))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let told: BTreeSet<_> = TABLE.iter().map(|(line, ..)| (*line).to_owned()).collect();
    assert_eq!(told, there);
}

/// MiB that the daemon came to hold beyond what it held before, while `cost` went on.
async fn added(daemon: &Daemon, cost: impl Future<Output = ()>) -> u64 {
    daemon.forget_peak_memory();
    let before = daemon.peak_memory_mib();
    cost.await;
    daemon.peak_memory_mib().saturating_sub(before)
}

fn assert_small(what: &str, added: u64) {
    eprintln!("{added:>4} MiB: {what}");
    assert!(added <= ROUTE_MIB, "{what}: {added} MiB");
}

#[tokio::test]
async fn no_body_comes_to_much_more_than_itself() {
    let world = World::new().await;
    let client = world.client();
    let gke = json!({"gkePolicy": {"checkSets": [{"checks": [{"alwaysDeny": true}]}]}});
    client.post("/v1/projects/p/platforms/gke/policies?policyId=a", &gke).await.ok();
    let name = world.attest(&image("worst")).await;
    let occurrence = name.rsplit('/').next().expect("an id");
    for &(line, path, bodies) in TABLE {
        let (method, _) = line.split_once(' ').expect("a method");
        let path = path.replace("OCCURRENCE", occurrence);
        for (kind, body) in bodies() {
            assert!(body.len() <= 4 * MIB, "{line}: {kind} has {} bytes", body.len());
            let method: Method = method.parse().expect("a method");
            let cost = async {
                let answer = client.call(method, &path, "application/json", body).await;
                assert!(
                    answer.status < 500,
                    "{line}: {kind}: {} {:.200}",
                    answer.status,
                    answer.text
                );
            };
            assert_small(&format!("{line}: {kind}"), added(&world.daemon, cost).await);
        }
    }
}

#[tokio::test]
async fn what_is_compressed_comes_to_no_more_than_a_body() {
    let world = World::new().await;
    let bomb = gzip(&vec![0; 256 * MIB]);
    let bombs = bomb.repeat(3 * MIB / bomb.len());
    for (kind, body) in [("a bomb", bomb), ("bombs", bombs), ("depth", gzip(&nested(BODY)))] {
        let cost = async {
            let mut wire = Wire::open(world.client()).await;
            let headers = format!(
                "content-encoding: gzip\r\nconnection: close\r\ncontent-length: {}",
                body.len()
            );
            wire.send_head(&headers).await;
            wire.send(&body).await;
            let answer = wire.read_to_end().await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer:.200}");
        };
        assert_small(kind, added(&world.daemon, cost).await);
    }
}

#[tokio::test]
async fn a_stream_holds_some_batches_whatever_its_lines() {
    let world = World::new().await;
    let one = json!({"project": "p", "images": [image("worst")]}).to_string();
    let long = &thousand_images()[..MIB - 1];
    for (kind, line, count) in [
        ("lines that are none", "x", 400_000),
        ("short lines", one.as_str(), 20_000),
        ("long lines", long, 24),
        ("one line", &"x".repeat(24 * MIB), 1),
    ] {
        let body = Bytes::from(format!("{line}\n").repeat(count));
        let cost = async {
            let path = "/v1/decisions";
            let type_ = "application/x-ndjson";
            world.client().call(Method::POST, path, type_, body).await;
        };
        assert_small(kind, added(&world.daemon, cost).await);
    }
}

#[tokio::test]
async fn filters_and_pages_of_any_length_cost_nothing() {
    let world = World::new().await;
    let listed = "/v1/projects/p/occurrences?filter=";
    for (kind, unit) in [("parentheses", "%28"), ("conditions", "kind%3D%22a%22%20AND%20")] {
        let path = format!("{listed}{}", unit.repeat((30 << 10) / unit.len()));
        let cost = async {
            world.client().get(&path).await.refused(400, "INVALID_ARGUMENT");
        };
        assert_small(kind, added(&world.daemon, cost).await);
    }
    let path = format!("/v1/projects/p/occurrences?pageToken={}", "A".repeat(30 << 10));
    let cost = async {
        world.client().get(&path).await.refused(400, "INVALID_ARGUMENT");
    };
    assert_small("a page token", added(&world.daemon, cost).await);
}

/// KiB of address space that a command line may take. A tenth of what the documents would come to.
const COMMAND_KIB: usize = 1 << 20;

/// Documents that people are given to check.
#[test]
fn yaml_that_multiplies_itself_is_refused_by_the_command_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let last = format!("*a{}, ", level - 1).repeat(10);
        laughs += &format!("a{level}: &a{level} [{}]\n", last.trim_end_matches(", "));
    }
    laughs += "defaultAdmissionRule: *a11\n";
    let deep = format!("defaultAdmissionRule: {}", "[".repeat(500_000));
    let wide = format!("defaultAdmissionRule: [{}]", "0,".repeat(2_000_000));
    for (kind, text) in [("laughs", laughs), ("depth", deep), ("width", wide)] {
        let file = hallmark_tests::keys::write(dir.path(), "policy.yaml", text.as_bytes());
        let binary = hallmark_tests::daemon::binary("hallmark");
        let line = format!("ulimit -v {COMMAND_KIB}; exec \"$0\" policy check \"$1\"");
        let output = Command::new("sh").args(["-c", &line]).arg(binary).arg(file).output();
        let output = output.expect("sh runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = output.status.code().is_some_and(|code| code != 0 && code < 100);
        assert!(refused && said.contains("policy.yaml"), "{kind}: {}: {said:.300}", output.status);
    }
}
