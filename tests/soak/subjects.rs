//! The subjects of the questions: one image in each project, and the states that its writer goes
//! through.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use hallmark_tests::client::Client;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{self, KEY_ID, REPOSITORY, digest, occurrence, payload};
use hallmark_tests::soak::register::{Order, Register, State};
use hyper::Method;
use serde_json::{Value, json};

use super::site::Site;

/// Attestors that the policy of project `flip` goes through; those with an even number are satisfied.
pub(crate) const FLIPS: [&str; 8] = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"];

/// The key of attestor `qa`.
pub(crate) const QA_KEY_ID: &str = "https://keys.example.com/qa";

const YES: State = State { allowed: true, word: "VERIFIED" };

/// One image of one project.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) project: &'static str,
    /// `sha256:…`.
    pub(crate) digest: String,
    register: Mutex<Register>,
    kind: Kind,
    /// The attestation that comes and goes, and its name, which follows from the content: it is the
    /// same every time.
    attestation: OnceLock<(Value, String)>,
}

/// The part of a project that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Fixed,
    /// The policy.
    Policy,
    /// The keys of attestor `build`.
    Keys,
    /// The attestation of the image.
    Attestation,
    /// The note of attestor `build`, and with it the attestation.
    Note,
}

/// A request, and which refusals of it say that it was carried out before.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) done_before: u16,
}

impl Write {
    fn put(path: String, body: Value) -> Self {
        Self { method: Method::PUT, path, body, done_before: 200 }
    }

    fn post(path: String, body: Value) -> Self {
        Self { method: Method::POST, path, body, done_before: 409 }
    }

    fn delete(path: String) -> Self {
        Self { method: Method::DELETE, path, body: Value::Null, done_before: 404 }
    }
}

impl Subject {
    fn new(project: &'static str, image: &str, kind: Kind, order: Order, first: State) -> Self {
        let register = Mutex::new(Register::new(project, order, first));
        Self { project, digest: digest(image), register, kind, attestation: OnceLock::new() }
    }

    pub(crate) fn all() -> Vec<Self> {
        let fixed = |image: &str, allowed| {
            let word = if allowed { "ATTESTED" } else { "NOT_ATTESTED" };
            Self::new("fixed", image, Kind::Fixed, Order::Monotonic, State { allowed, word })
        };
        vec![
            Self::new("flip", "flip", Kind::Policy, Order::Monotonic, flip(0)),
            Self::new("keys", "keys", Kind::Keys, Order::Monotonic, YES),
            Self::new("evidence", "evidence", Kind::Attestation, Order::Acknowledged, YES),
            Self::new("notes", "notes", Kind::Note, Order::Acknowledged, YES),
            fixed("both", true),
            fixed("only build", false),
            fixed("only qa", false),
            fixed("forged", false),
            fixed("none", false),
        ]
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The word of a decision that tells states apart.
    pub(crate) fn word(&self, decision: &Value) -> String {
        let image = &decision["images"][0];
        let word = match self.kind {
            Kind::Fixed => &image["reason"],
            Kind::Policy => &image["attestors"][0]["attestor"],
            Kind::Keys | Kind::Attestation | Kind::Note => &image["attestors"][0]["reason"],
        };
        let word = word.as_str().unwrap_or_default();
        word.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// The state of this number.
    pub(crate) fn state(&self, number: usize) -> State {
        let no = |word| State { allowed: false, word };
        match (self.kind, number % 4) {
            (Kind::Policy, _) => flip(number),
            (Kind::Keys, 1 | 3) => no("NONE_VERIFIED"),
            (Kind::Keys, 2) => no("NO_KEYS"),
            (Kind::Attestation, 1 | 3) | (Kind::Note, 1..=3) => no("NO_ATTESTATIONS"),
            _ => YES,
        }
    }

    /// The request that leads to the state of this number.
    pub(crate) fn write(&self, site: &Site, number: usize) -> Write {
        let project = self.project;
        let note = || format!("/v1/projects/{project}/notes/build");
        let created = || format!("/v1/projects/{project}/occurrences");
        let filed = || self.attestation.get().expect("filed at the start");
        match (self.kind, number % 4) {
            (Kind::Policy, _) => {
                let policy = policy(project, &[FLIPS[number % FLIPS.len()]]);
                Write::put(format!("/v1/projects/{project}/policy"), policy)
            }
            (Kind::Keys, step) => {
                let keys = match step {
                    0 => vec![(KEY_ID, &site.build)],
                    1 => vec![(KEY_ID, &site.stranger)],
                    2 => vec![],
                    _ => vec![("https://keys.example.com/renamed", &site.build)],
                };
                let path = format!("/v1/projects/{project}/attestors/build");
                Write::put(path, attestor(project, "build", &keys))
            }
            (Kind::Attestation, 1 | 3) | (Kind::Note, 2) => {
                Write::delete(format!("/v1/{}", filed().1))
            }
            (Kind::Attestation, _) | (Kind::Note, 0) => Write::post(created(), filed().0.clone()),
            (Kind::Note, 1) => Write::delete(note()),
            (Kind::Note, _) => {
                Write::post(format!("/v1/projects/{project}/notes?noteId=build"), a_note())
            }
            (Kind::Fixed, _) => unreachable!("nothing changes there"),
        }
    }

    pub(crate) fn image(&self) -> String {
        format!("{REPOSITORY}@{}", self.digest)
    }
}

/// The projects as they are before the first question.
pub(crate) async fn found(client: &Client, site: &Site, subjects: &[Subject]) {
    for project in ["keys", "evidence", "notes", "fixed"] {
        found_attestor(client, project, "build", &[(KEY_ID, &site.build)]).await;
    }
    found_attestor(client, "fixed", "qa", &[(QA_KEY_ID, &site.qa)]).await;
    for (number, id) in FLIPS.iter().enumerate() {
        found_attestor(client, "flip", id, &[(KEY_ID, &site.build)]).await;
        if number.is_multiple_of(2) {
            let image = subjects[0].image();
            file(client, &attestation("flip", id, &image, KEY_ID, &site.build)).await;
        }
    }
    create(client, "/v1/projects/ledger/notes?noteId=n", &a_note()).await;
    for subject in subjects {
        let (project, image) = (subject.project, subject.image());
        let attestors = if subject.kind == Kind::Fixed { &["build", "qa"][..] } else { &["build"] };
        let attestors = if subject.kind == Kind::Policy { &FLIPS[..1] } else { attestors };
        let path = format!("/v1/projects/{project}/policy");
        client.put(&path, &policy(project, attestors)).await.ok();
        if !matches!(subject.kind, Kind::Fixed | Kind::Policy) {
            let attestation = attestation(project, "build", &image, KEY_ID, &site.build);
            let name = file(client, &attestation).await;
            subject.attestation.set((attestation, name)).expect("filed once");
        }
    }
    let by_build = |image: &str, key: &Key| attestation("fixed", "build", image, KEY_ID, key);
    let by_qa = |image: &str| attestation("fixed", "qa", image, QA_KEY_ID, &site.qa);
    let [both, only_build, only_qa, forged] =
        ["both", "only build", "only qa", "forged"].map(project::image);
    for occurrence in [
        by_build(&both, &site.build),
        by_qa(&both),
        by_build(&only_build, &site.build),
        by_qa(&only_qa),
        by_build(&forged, &site.stranger),
        by_qa(&forged),
    ] {
        file(client, &occurrence).await;
    }
}

async fn found_attestor(client: &Client, project: &str, id: &str, keys: &[(&str, &Key)]) {
    create(client, &format!("/v1/projects/{project}/notes?noteId={id}"), &a_note()).await;
    let path = format!("/v1/projects/{project}/attestors?attestorId={id}");
    create(client, &path, &attestor(project, id, keys)).await;
}

async fn create(client: &Client, path: &str, body: &Value) -> Value {
    client.post(path, body).await.ok()
}

async fn file(client: &Client, occurrence: &Value) -> String {
    let note = occurrence["noteName"].as_str().unwrap_or_default();
    let project = note.split('/').nth(1).unwrap_or_default();
    let created = create(client, &format!("/v1/projects/{project}/occurrences"), occurrence).await;
    created["name"].as_str().expect("a name").to_owned()
}

fn flip(number: usize) -> State {
    State { allowed: number.is_multiple_of(2), word: FLIPS[number % FLIPS.len()] }
}

/// A policy that requires these attestors of its own project.
pub(crate) fn policy(project: &str, attestors: &[&str]) -> Value {
    of_project(project, &project::policy("REQUIRE_ATTESTATION", attestors))
}

fn attestor(project: &str, id: &str, keys: &[(&str, &Key)]) -> Value {
    of_project(project, &project::attestor_body(id, keys))
}

fn attestation(project: &str, note: &str, image: &str, id: &str, key: &Key) -> Value {
    let payload = payload(image);
    of_project(project, &occurrence(note, image, &payload, id, &key.sign(&payload)))
}

fn a_note() -> Value {
    json!({"attestation": {"hint": {"humanReadableName": "soak"}}})
}

/// The shared samples speak of project `p`.
fn of_project(project: &str, sample: &Value) -> Value {
    let text = sample.to_string().replace("projects/p/", &format!("projects/{project}/"));
    serde_json::from_str(&text).expect("JSON")
}
