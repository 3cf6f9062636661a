//! `kill -9` in the middle of everything, a hundred times: what was acknowledged is there, nothing
//! is there by half, and the audit log is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, eventually, hallmark_offline};
use hallmark_tests::project::{image, note, occurrence, policy};
use hyper::Method;
use serde_json::{Value, json};

const KILLS: usize = 100;
const BATCH: usize = 20;

/// The states that a resource may have: as acknowledged last, or as a write says that was cut off.
#[derive(Debug, Default)]
struct Ledger {
    /// Occurrences acknowledged and not deleted since, by name.
    occurrences: BTreeSet<String>,
    /// Deletions of these were cut off.
    perhaps_deleted: BTreeSet<String>,
    /// Descriptions of the policy: the one acknowledged, then those cut off.
    policy: Vec<String>,
    /// Descriptions of each attestor; `None` where it does not exist.
    attestors: BTreeMap<String, Vec<Option<String>>>,
    /// Images of decisions that were answered.
    decided: Vec<String>,
}

/// One life of the daemon, and the one who writes to it.
#[derive(Debug)]
struct Life {
    client: Client,
    ledger: Mutex<Ledger>,
    acknowledged: AtomicUsize,
    number: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_half_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut ledger = Ledger::default();
    let mut number = 0;
    for kill in 0..KILLS {
        let daemon = Daemon::start(dir.path());
        let client = daemon.client.clone();
        if kill == 0 {
            note(&client, "n").await;
            // Of a policy that nobody has written yet: so it stays if the first write is cut off.
            ledger.policy.push(description(&client).await);
        } else {
            check(&client, &mut ledger).await;
        }
        let life = Arc::new(Life {
            client,
            ledger: Mutex::new(ledger),
            acknowledged: AtomicUsize::new(0),
            number: AtomicUsize::new(number),
        });
        live(&life, daemon, 3 + kill * 7 % 23).await;
        let life = Arc::into_inner(life).expect("all writers ended");
        number = life.number.into_inner();
        ledger = life.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        audit_is_whole(dir.path());
    }
    let daemon = Daemon::start(dir.path());
    check(&daemon.client, &mut ledger).await;
    every_decision_is_recorded(dir.path(), &ledger);
}

/// Writes of every kind at once, and the end in the middle of them.
async fn live(life: &Arc<Life>, daemon: Daemon, acknowledgements: usize) {
    let writers = [
        tokio::spawn(Arc::clone(life).write_occurrences()),
        tokio::spawn(Arc::clone(life).write_batches()),
        tokio::spawn(Arc::clone(life).write_policies()),
        tokio::spawn(Arc::clone(life).write_attestors()),
        tokio::spawn(Arc::clone(life).decide()),
    ];
    eventually("acknowledgements", || async {
        (life.acknowledged.load(SeqCst) >= acknowledgements).then_some(())
    })
    .await;
    daemon.kill();
    for writer in writers {
        writer.await.expect("a writer ends where the daemon does");
    }
}

impl Life {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> usize {
        self.number.fetch_add(1, SeqCst)
    }

    /// The answer of 200, or `None` where the daemon is dead.
    async fn call(&self, method: Method, path: &str, body: &Value) -> Option<Value> {
        let body = body.to_string().into();
        let answer = self.client.try_call(method, path, "application/json", body).await.ok()?;
        self.acknowledged.fetch_add(1, SeqCst);
        Some(answer.ok())
    }

    async fn write_occurrences(self: Arc<Self>) {
        loop {
            let body = numbered(self.next());
            let path = "/v1/projects/p/occurrences";
            let Some(created) = self.call(Method::POST, path, &body).await else { return };
            self.ledger().occurrences.insert(name(&created));
            let victim = self.ledger().occurrences.first().cloned().expect("one at least");
            self.ledger().occurrences.remove(&victim);
            self.ledger().perhaps_deleted.insert(victim.clone());
            let path = format!("/v1/{victim}");
            let Some(_) = self.call(Method::DELETE, &path, &Value::Null).await else { return };
            self.ledger().perhaps_deleted.remove(&victim);
        }
    }

    /// All of a batch or none: every occurrence says which batch it is of.
    async fn write_batches(self: Arc<Self>) {
        loop {
            let batch = self.next();
            let of_batch = |member| {
                let mut body = numbered(self.next());
                body["remediation"] = json!(format!("{batch}/{member}"));
                body
            };
            let body = json!({"occurrences": (0..BATCH).map(of_batch).collect::<Vec<_>>()});
            let path = "/v1/projects/p/occurrences:batchCreate";
            let Some(created) = self.call(Method::POST, path, &body).await else { return };
            let created = created["occurrences"].as_array().expect("occurrences").clone();
            assert_eq!(created.len(), BATCH);
            self.ledger().occurrences.extend(created.iter().map(name));
        }
    }

    async fn write_policies(self: Arc<Self>) {
        loop {
            let description = format!("number {}", self.next());
            self.ledger().policy.push(description.clone());
            let mut body = policy("ALWAYS_ALLOW", &[]);
            body["description"] = json!(description);
            let path = "/v1/projects/p/policy";
            let Some(_) = self.call(Method::PUT, path, &body).await else { return };
            self.ledger().policy = vec![description];
        }
    }

    async fn write_attestors(self: Arc<Self>) {
        for round in 0.. {
            let id = format!("a{}", round % 3);
            let description = format!("number {}", self.next());
            let held = self.ledger().attestors.get(&id).cloned().unwrap_or_else(|| vec![None]);
            let exists = matches!(held.as_slice(), [Some(_)]);
            let body = json!({
                "description": description,
                "userOwnedGrafeasNote": {"noteReference": "projects/p/notes/n"},
            });
            let one = format!("/v1/projects/p/attestors/{id}");
            let (method, path, after) = match (exists, round % 5) {
                (false, _) => {
                    let path = format!("/v1/projects/p/attestors?attestorId={id}");
                    (Method::POST, path, Some(description))
                }
                (true, 4) => (Method::DELETE, one, None),
                (true, _) => (Method::PUT, one, Some(description)),
            };
            self.ledger().attestors.insert(id.clone(), [held, vec![after.clone()]].concat());
            let Some(_) = self.call(method, &path, &body).await else { return };
            self.ledger().attestors.insert(id, vec![after]);
        }
    }

    async fn decide(self: Arc<Self>) {
        loop {
            let image = image(&format!("decided {}", self.next()));
            let body = json!({"project": "p", "images": [image]});
            let Some(_) = self.call(Method::POST, "/v1/decisions", &body).await else { return };
            self.ledger().decided.push(image);
        }
    }
}

/// An occurrence unlike every other.
fn numbered(number: usize) -> Value {
    let image = image(&format!("written {number}"));
    occurrence("n", &image, format!("payload {number}").as_bytes(), "https://k", b"signature")
}

fn name(resource: &Value) -> String {
    resource["name"].as_str().expect("a name").to_owned()
}

/// Compares what is there with what was acknowledged, and takes it over: what was cut off is now
/// known to have happened or not.
async fn check(client: &Client, ledger: &mut Ledger) {
    let listed = client.list("/v1/projects/p/occurrences", "occurrences", 1_000).await;
    let there: BTreeSet<_> = listed.iter().map(name).collect();
    let lost: Vec<_> = ledger.occurrences.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    batches_are_whole(&listed, &there, ledger);
    ledger.occurrences = there;
    ledger.perhaps_deleted.clear();

    let description = description(client).await;
    let possible = &ledger.policy;
    assert!(possible.contains(&description), "{description}: {possible:?}");
    ledger.policy = vec![description];

    let attestors = client.list("/v1/projects/p/attestors", "attestors", 100).await;
    for (id, possible) in &mut ledger.attestors {
        let id = format!("projects/p/attestors/{id}");
        let found = attestors.iter().find(|attestor| attestor["name"] == json!(id));
        let found = found.map(|found| found["description"].as_str().unwrap_or_default().to_owned());
        assert!(possible.contains(&found), "{id} is {found:?}, of {possible:?}");
        *possible = vec![found];
    }
}

/// The description of the policy.
async fn description(client: &Client) -> String {
    let policy = client.get("/v1/projects/p/policy").await.ok();
    policy["description"].as_str().unwrap_or_default().to_owned()
}

/// Of each batch all are there but those that were deleted since.
fn batches_are_whole(listed: &[Value], there: &BTreeSet<String>, ledger: &Ledger) {
    let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
    for occurrence in listed.iter().filter(|one| !ledger.occurrences.contains(&name(one))) {
        if let Some((batch, _)) =
            occurrence["remediation"].as_str().and_then(|of| of.split_once('/'))
        {
            *batches.entry(batch).or_default() += 1;
        }
    }
    let perhaps = ledger.perhaps_deleted.intersection(there).count();
    for (batch, count) in batches {
        assert!(count == BATCH || count <= perhaps, "batch {batch}: {count} of {BATCH} are there");
    }
}

fn audit_is_whole(dir: &Path) {
    let audit = dir.join("data/audit");
    let verified = hallmark_offline(&["audit", "verify", &audit.to_string_lossy()]);
    let said = [verified.stdout, verified.stderr].concat();
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&said));
}

fn every_decision_is_recorded(dir: &Path, ledger: &Ledger) {
    let mut log = String::new();
    for entry in std::fs::read_dir(dir.join("data/audit")).expect("a log") {
        log += &std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
    }
    let recorded: BTreeSet<_> =
        log.split('"').filter(|text| text.contains("@sha256:") && !text.contains(' ')).collect();
    assert!(ledger.decided.len() >= KILLS, "{} decisions", ledger.decided.len());
    for image in &ledger.decided {
        assert!(recorded.contains(image.as_str()), "{image} was answered and is not recorded");
    }
}
