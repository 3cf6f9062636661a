//! After an acknowledged change no later request is answered from before it.
//!
//! A writer goes through states whose answers differ. `begun` and `acknowledged` count its changes;
//! many clients ask meanwhile. An answer may be that of any state between the last one that was
//! acknowledged when the request left and the last one that had begun when the answer came: where
//! these are the same, there is one right answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use hallmark_tests::client::Client;
use hallmark_tests::daemon::eventually;
use hallmark_tests::keys::Key;
use hallmark_tests::project::{
    KEY_ID, World, attestor_body, file, image, note, occurrence, payload, policy, rule,
};
use serde_json::{Value, json};

use crate::platforms;

const ASKING: usize = 8;
/// Answers that each client must get in a state before the next change begins.
const ANSWERS_PER_STATE: usize = 5;

/// The facts that the clients and the writer know of each other.
#[derive(Debug)]
struct Course {
    path: &'static str,
    request: Value,
    /// For each state, the word that its answers carry.
    expected: Vec<&'static str>,
    begun: AtomicUsize,
    acknowledged: AtomicUsize,
    /// By client: answers to requests that left after the last acknowledgement.
    settled: Vec<AtomicUsize>,
    answers: AtomicUsize,
    over: AtomicBool,
}

impl Course {
    fn new(request: Value, cycle: &[&'static str], rounds: usize) -> Arc<Self> {
        Self::at("/v1/decisions", request, cycle, rounds)
    }

    fn at(path: &'static str, request: Value, cycle: &[&'static str], rounds: usize) -> Arc<Self> {
        Arc::new(Self {
            path,
            request,
            expected: cycle.iter().copied().cycle().take(cycle.len() * rounds).collect(),
            begun: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
            settled: (0..ASKING).map(|_| AtomicUsize::new(0)).collect(),
            answers: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// One client, until the course is over.
    async fn ask(self: Arc<Self>, client: Client, number: usize) {
        while !self.over.load(SeqCst) {
            let first = self.acknowledged.load(SeqCst);
            let decision = client.post(self.path, &self.request).await.ok();
            let last = self.begun.load(SeqCst);
            let possible = &self.expected[first..=last];
            let answer = word(&decision);
            assert!(
                possible.contains(&answer),
                "states {first} to {last} answer {possible:?}, not {answer}: {decision:#}"
            );
            self.answers.fetch_add(1, SeqCst);
            if first == last {
                self.settled[number].fetch_add(1, SeqCst);
            }
        }
    }

    /// Goes through all states; `change` makes the one of the number given.
    async fn run(self: &Arc<Self>, client: &Client, change: impl AsyncFn(usize)) {
        change(0).await;
        let asking: Vec<_> = (0..ASKING)
            .map(|number| tokio::spawn(Arc::clone(self).ask(client.clone(), number)))
            .collect();
        for state in 1..self.expected.len() {
            self.until_settled(&asking).await;
            self.begun.store(state, SeqCst);
            change(state).await;
            self.acknowledged.store(state, SeqCst);
            self.settled.iter().for_each(|settled| settled.store(0, SeqCst));
        }
        self.until_settled(&asking).await;
        self.over.store(true, SeqCst);
        for client in asking {
            client.await.expect("no stale answer");
        }
        let answers = self.answers.load(SeqCst);
        assert!(answers >= self.expected.len() * ASKING * ANSWERS_PER_STATE, "{answers}");
    }

    async fn until_settled(&self, asking: &[tokio::task::JoinHandle<()>]) {
        eventually("answers to every client", || async {
            let enough = |count: &AtomicUsize| count.load(SeqCst) >= ANSWERS_PER_STATE;
            let failed = asking.iter().any(tokio::task::JoinHandle::is_finished);
            (failed || self.settled.iter().all(enough)).then_some(())
        })
        .await;
    }
}

/// The word that tells one state's answer from another's: the verdict on a pod, or the reason and
/// what the attestor says.
fn word(decision: &Value) -> &str {
    if let Some(verdict) = decision["verdict"].as_str() {
        return verdict;
    }
    let image = &decision["images"][0];
    let attestor = image["attestors"][0]["reason"].as_str();
    attestor.or_else(|| image["reason"].as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attestations_come_and_go() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("hammered"));
    let bytes = payload(&image);
    let attestation = occurrence("build", &image, &bytes, KEY_ID, &world.key.sign(&bytes));
    // The id of an attestation follows from its content: it is the same every time.
    let name = file(client, &attestation).await;
    let request = json!({"project": "p", "images": [image]});
    let course = Course::new(request, &["NO_ATTESTATIONS", "VERIFIED"], 60);
    course
        .run(client, async |state| {
            if state % 2 == 0 {
                client.delete(&format!("/v1/{name}")).await.ok();
            } else {
                file(client, &attestation).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_replaced_and_attestors_deleted() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("hammered"));
    world.attest(&image).await;
    let stranger = Key::generate("ECDSA_P256_SHA256");
    let path = "/v1/projects/p/attestors/build";
    let with = |id, key| attestor_body("build", &[(id, key)]);
    let request = json!({"project": "p", "images": [image]});
    let cycle =
        ["VERIFIED", "NONE_VERIFIED", "ATTESTOR_UNKNOWN", "NO_KEYS", "VERIFIED", "NONE_VERIFIED"];
    let course = Course::new(request, &cycle, 15);
    course
        .run(client, async |state| {
            let create = "/v1/projects/p/attestors?attestorId=build";
            let answer = match state % cycle.len() {
                0 | 4 => client.put(path, &with(KEY_ID, &world.key)).await,
                1 => client.put(path, &with(KEY_ID, &stranger)).await,
                2 => client.delete(path).await,
                3 => client.post(create, &attestor_body("build", &[])).await,
                // The right key, under another id than the one that the signature names.
                _ => client.put(path, &with("https://keys.example.com/renamed", &world.key)).await,
            };
            answer.ok();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_flips() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("hammered"));
    world.attest(&image).await;
    note(client, "empty").await;
    client
        .post("/v1/projects/p/attestors?attestorId=empty", &attestor_body("empty", &[]))
        .await
        .ok();
    let mut by_namespace = policy("ALWAYS_ALLOW", &[]);
    by_namespace["kubernetesNamespaceAdmissionRules"] =
        json!({"shop": rule("REQUIRE_ATTESTATION", &["empty"])});
    let policies = [
        policy("ALWAYS_DENY", &[]),
        policy("REQUIRE_ATTESTATION", &["build"]),
        by_namespace,
        policy("ALWAYS_ALLOW", &[]),
    ];
    let request = json!({"project": "p", "namespace": "shop", "images": [image]});
    let cycle = ["ALWAYS_DENY", "VERIFIED", "NO_KEYS", "ALWAYS_ALLOW"];
    let course = Course::new(request, &cycle, 25);
    course
        .run(client, async |state| {
            let policy = &policies[state % policies.len()];
            client.put("/v1/projects/p/policy", policy).await.ok();
        })
        .await;
}

/// The inputs of a check of a platform policy: its policy, the attestations of a project, and the
/// notes that they are filed under.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_a_pod_conforms_flips() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("hammered"));
    let bytes = payload(&image);
    let attestation = occurrence("build", &image, &bytes, KEY_ID, &world.key.sign(&bytes));
    let name = file(client, &attestation).await;
    let held = platforms::policy(&world, &["projects/p"]);
    platforms::create(client, "ours", &held).await;
    let pod = json!({"resource": platforms::pod("shop", &[&image])});
    let (yes, no) = ("CONFORMANT", "NON_CONFORMANT");
    let path = "/v1/projects/p/platforms/gke/policies/ours:evaluate";
    let course = Course::at(path, pod, &[yes, no, yes, no, yes, no], 15);
    course
        .run(client, async |state| match state % 6 {
            0 => put_policy(client, &held).await,
            1 => drop(client.delete(&format!("/v1/{name}")).await.ok()),
            2 => drop(file(client, &attestation).await),
            3 => drop(client.delete("/v1/projects/p/notes/build").await.ok()),
            4 => note(client, "build").await,
            _ => put_policy(client, &platforms::policy(&world, &["projects/q"])).await,
        })
        .await;
}

async fn put_policy(client: &Client, policy: &Value) {
    client.put("/v1/projects/p/platforms/gke/policies/ours", policy).await.ok();
}
