//! The decision table through every door: each row that a daemon can be put into, with real keys and
//! signatures, is decided as the table says at each door that carries what the row is about.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::admission::{creation, pod};
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{attestor_body, flipped, pae};
use serde_json::{Value, json};

/// Rows that must be among those that can be asked, over all files.
const ROWS_MIN: usize = 160;

/// Answers that are what the arithmetic says; the others say that it was not done.
const DONE: [&str; 3] = ["raw", "pae", "bad"];

/// One file of the table, on a daemon under its system policy.
struct Table {
    text: Value,
    daemon: Daemon,
    _dir: tempfile::TempDir,
    keys: BTreeMap<String, Key>,
}

#[tokio::test]
async fn every_door_decides_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/core/testdata/decisions");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("lists")
        .map(|file| file.expect("a file").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let (mut rows, mut asked) = (0, BTreeMap::new());
    for file in files {
        let mut table = Table::open(&file);
        let mut all = table.text["rows"].as_array().expect("rows").clone();
        all.retain(|row| table.can_be_put(row));
        for row in &all {
            let project = format!("row-{rows}");
            table.furnish(row, &project).await;
            for door in table.ask(row, &project).await {
                *asked.entry(door).or_insert(0) += 1;
            }
            rows += 1;
        }
    }
    assert!(rows >= ROWS_MIN, "{rows} rows {asked:?}");
    assert!(asked.len() == 5 && asked.values().all(|&count| count > 120), "{asked:?}");
}

impl Table {
    fn open(file: &Path) -> Self {
        let mut text = std::fs::read_to_string(file).expect("a file of the table");
        for letter in ["A", "B", "C", "D"] {
            let digest = format!("sha256:{}", letter.to_lowercase().repeat(64));
            text = text.replace(&format!("${letter}"), &digest);
        }
        let text: Value = serde_saphyr::from_str(&text).expect("YAML");
        let dir = tempfile::tempdir().expect("a directory");
        let patterns = list(&text["system"]).iter().map(|one| json!({"namePattern": one}));
        let system = json!({"admissionWhitelistPatterns": patterns.collect::<Vec<_>>(),
            "defaultAdmissionRule": {"evaluationMode": "ALWAYS_ALLOW",
                "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"}});
        let system = write(dir.path(), "system.json", system.to_string().as_bytes());
        let toml = format!("system_policy = '{}'", system.display());
        let daemon = Daemon::start_configured(dir.path(), &toml);
        // Whoever is not known to an attestor signs with this one.
        let keys = BTreeMap::from([(String::new(), Key::shared("ECDSA_P256_SHA256"))]);
        Self { text, daemon, _dir: dir, keys }
    }

    fn client(&self) -> &Client {
        &self.daemon.client
    }

    /// True if a daemon as it is configured can be in this state: nothing is down or full, keys are
    /// plain, projects without a policy are denied, and the API takes the request.
    fn can_be_put(&self, row: &Value) -> bool {
        let plain = |attestor: &Value| {
            attestor["unavailable"].is_null()
                && attestor["keys"].as_object().is_none_or(|keys| keys.values().all(is_empty))
        };
        let attestations = row["evidence"].as_object().into_iter().flatten();
        let attestations: Vec<_> = attestations.flat_map(|(_, all)| list(all)).collect();
        let signed = attestations.iter().flat_map(|one| list(&one["sign"])).map(text);
        ["faults", "limits", "auditLost"].iter().all(|key| is_empty(&row[key]))
            && !list(&row["images"]).is_empty()
            && row["policy"] != "absent, allowed"
            && (is_empty(&row["request"]["serviceAccount"])
                || !is_empty(&row["request"]["namespace"]))
            && self.attestors(row).iter().all(|(_, attestor)| plain(attestor))
            && self.every_attestor_is_there(row)
            && signed.clone().all(|sign| DONE.iter().any(|done| sign.ends_with(done)))
            && attestations.iter().all(|one| one["payload"] != "")
    }

    fn policy(&self, row: &Value) -> &str {
        self.text["policies"][text(&row["policy"])].as_str().unwrap_or_default()
    }

    /// The attestors that the row's policy speaks of, as far as the table has them.
    fn attestors(&self, row: &Value) -> Vec<(&String, &Value)> {
        let all = self.text["attestors"].as_object().into_iter().flatten();
        all.filter(|(id, _)| self.policy(row).contains(&format!("attestors/{id}"))).collect()
    }

    fn every_attestor_is_there(&self, row: &Value) -> bool {
        let ends = |c: char| !(c.is_alphanumeric() || c == '-' || c == '/');
        let named = self.policy(row).split("projects/").skip(1);
        let mut named = named.map(|rest| rest.split(ends).next().unwrap_or_default());
        named.all(|name| {
            name.strip_prefix("p/attestors/")
                .is_some_and(|id| !self.text["attestors"][id].is_null())
        })
    }

    /// Puts the row's policy, attestors and evidence into a project of its own.
    async fn furnish(&mut self, row: &Value, project: &str) {
        if row["policy"] == "unknown project" {
            return;
        }
        let attestors: Vec<_> =
            self.attestors(row).into_iter().map(|(id, one)| (id.clone(), one.clone())).collect();
        self.note(project, "keeps-the-project-known").await;
        for (id, attestor) in &attestors {
            self.note(project, id).await;
            let names: Vec<_> = attestor["keys"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(id, _)| id.clone())
                .collect();
            for name in &names {
                let new = || Key::generate("ECDSA_P256_SHA256");
                self.keys.entry(name.clone()).or_insert_with(new);
            }
            let keys: Vec<_> = names.iter().map(|name| (uri(name), &self.keys[name])).collect();
            let keys: Vec<_> = keys.iter().map(|(id, key)| (id.as_str(), *key)).collect();
            let mut body = attestor_body(id, &keys);
            body["name"] = json!(format!("projects/{project}/attestors/{id}"));
            body["userOwnedGrafeasNote"]["noteReference"] =
                json!(format!("projects/{project}/notes/{id}"));
            let path = format!("/v1/projects/{project}/attestors?attestorId={id}");
            self.client().post(&path, &body).await.ok();
            for (number, one) in list(&row["evidence"][id]).iter().enumerate() {
                self.attest(row, project, id, number, one).await;
            }
        }
        let policy = self.policy(row).replace("projects/p/", &format!("projects/{project}/"));
        if !policy.is_empty() {
            let policy: Value = serde_saphyr::from_str(&policy).expect("YAML");
            let path = format!("/v1/projects/{project}/policy");
            self.client().put(&path, &policy).await.ok();
        }
    }

    async fn note(&self, project: &str, id: &str) {
        let body = json!({"attestation": {"hint": {"humanReadableName": id}}});
        self.client().post(&format!("/v1/projects/{project}/notes?noteId={id}"), &body).await.ok();
    }

    /// Files an attestation for each digest that the row's images name.
    async fn attest(&self, row: &Value, project: &str, note: &str, number: usize, one: &Value) {
        let mut digests: Vec<_> = list(&row["images"])
            .iter()
            .filter_map(|image| Some(text(image).split_once("@sha256:")?.1))
            .filter(|digest| digest.len() == 64)
            .map(|digest| format!("sha256:{digest}"))
            .filter(|digest| one["digest"].is_null() || one["digest"] == **digest)
            .collect();
        digests.sort();
        digests.dedup();
        for digest in digests {
            let plain = json!({"critical": {"identity": {"docker-reference": "r/app"},
                "image": {"docker-manifest-digest": digest},
                "type": "Google cloud binauthz container signature"}});
            let payload = one["payload"].as_str().map_or_else(|| plain.to_string(), str::to_owned);
            let signature = |sign: &Value| {
                let (id, how) = text(sign).split_once(' ').expect("KEY ANSWER");
                let key = self.keys.get(id).unwrap_or_else(|| &self.keys[""]);
                let signature = match how {
                    "pae" => key.sign(&pae(payload.as_bytes())),
                    "bad" => flipped(&key.sign(payload.as_bytes()), 70),
                    _ => key.sign(payload.as_bytes()),
                };
                json!({"publicKeyId": uri(id), "signature": STANDARD.encode(signature)})
            };
            let body = json!({
                "noteName": format!("projects/{project}/notes/{note}"), "kind": "ATTESTATION",
                "resourceUri": format!("https://r.example.com/app-{number}@{digest}"),
                "attestation": {
                    "serializedPayload": STANDARD.encode(&payload),
                    "signatures": list(&one["sign"]).iter().map(signature).collect::<Vec<_>>(),
                },
            });
            self.client().post(&format!("/v1/projects/{project}/occurrences"), &body).await.ok();
        }
    }

    /// Asks at each door that carries what the row is about; answers which those are.
    async fn ask(&self, row: &Value, project: &str) -> Vec<&'static str> {
        let (name, client) = (text(&row["name"]), self.client());
        let mut request = row["request"].as_object().cloned().unwrap_or_default();
        request.insert("project".to_owned(), json!(project));
        request.insert("images".to_owned(), row["images"].clone());
        let decision = client.post("/v1/decisions", &json!(request)).await.ok();
        assert_eq!(decision["allowed"], row["allowed"], "{name}: {decision:#}");
        assert_eq!(decision["dryRun"], row["dryRun"] == true, "{name}");
        let reasons = list(&decision["images"]).iter().map(|image| &image["reason"]);
        assert_eq!(reasons.collect::<Vec<_>>(), list(&row["reasons"]).iter().collect::<Vec<_>>());
        let lines = client.stream(&[json!(request)]).await;
        assert_eq!(lines[0]["allowed"], row["allowed"], "{name}, as a line");
        let mut asked = vec!["decisions", "stream"];
        let review = Review { row, project, client };
        let speaks_of = |rules: &str| self.policy(row).contains(rules);
        if !is_empty(&row["request"]["istioIdentity"]) {
            return asked;
        }
        assert_eq!(review.admission().await, row["allowed"], "{name}: admission");
        asked.push("admission");
        if !speaks_of("kubernetesServiceAccountAdmissionRules") {
            assert_eq!(review.image_review().await, row["allowed"], "{name}: image review");
            asked.push("image review");
            let carried = !speaks_of("kubernetesNamespaceAdmissionRules");
            if carried && row["request"]["breakGlass"] != true {
                assert_eq!(review.gatekeeper().await, row["allowed"], "{name}: gatekeeper");
                asked.push("gatekeeper");
            }
        }
        asked
    }
}

/// A row as Kubernetes asks about it. What the row leaves out has some value there, for which there
/// are no rules.
struct Review<'a> {
    row: &'a Value,
    project: &'a str,
    client: &'a Client,
}

impl Review<'_> {
    fn given(&self, attribute: &str, otherwise: &str) -> String {
        let given = self.row["request"][attribute].as_str().filter(|given| !given.is_empty());
        given.unwrap_or(otherwise).to_owned()
    }

    fn images(&self) -> Vec<&str> {
        list(&self.row["images"]).iter().map(text).collect()
    }

    fn path(&self, place: &str, door: &str) -> String {
        let cluster = self.given("cluster", "l.nowhere").replace(' ', "%20");
        format!("/{place}/projects/{}/clusters/{cluster}/{door}?timeout=30s", self.project)
    }

    async fn admission(&self) -> Value {
        let mut object = pod(&self.images());
        object["spec"]["serviceAccountName"] = json!(self.given("serviceAccount", "nobody"));
        if self.row["request"]["breakGlass"] == true {
            object["metadata"]["labels"] = json!({"image-policy.k8s.io/break-glass": "true"});
        }
        let namespace = self.given("namespace", "nowhere");
        object["metadata"]["namespace"] = json!(namespace);
        let mut body = creation(&object);
        body["request"]["namespace"] = json!(namespace);
        let answer = self.client.post(&self.path("k8s", "admission"), &body).await.ok();
        answer["response"]["allowed"].clone()
    }

    async fn image_review(&self) -> Value {
        let containers = self.images().into_iter().map(|image| json!({"image": image}));
        let mut spec = json!({"containers": containers.collect::<Vec<_>>(),
            "namespace": self.given("namespace", "nowhere")});
        if self.row["request"]["breakGlass"] == true {
            spec["annotations"] = json!({"alpha.image-policy.k8s.io/break-glass": "true"});
        }
        let body = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
            "spec": spec});
        let answer = self.client.post(&self.path("k8s", "imagereview"), &body).await.ok();
        answer["status"]["allowed"].clone()
    }

    async fn gatekeeper(&self) -> bool {
        let body = json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1",
            "kind": "ProviderRequest", "request": {"keys": self.images()}});
        let answer = self.client.post(&self.path("gatekeeper", "validate"), &body).await.ok();
        assert!(answer["response"]["systemError"].is_null(), "{answer:#}");
        list(&answer["response"]["items"]).iter().all(|item| item["error"].is_null())
    }
}

/// Ids of keys are URIs; the table has short ones.
fn uri(id: &str) -> String {
    format!("key:{id}")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Nothing, or a table or text without anything in it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
