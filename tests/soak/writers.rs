//! Those who write: one for each subject that changes, and two who file attestations by the
//! thousand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hallmark_tests::client::Client;
use hallmark_tests::project::{image, occurrence};
use hallmark_tests::soak::ledger::{Batches, check_batches};
use hallmark_tests::soak::{Promise, Violation};
use hyper::Method;
use serde_json::{Value, json};

use super::soak::{Pace, Reply, Soak};
use super::subjects::Write;

/// Occurrences of the ledger that are kept; beyond it the first are deleted.
const KEPT: usize = 300;

/// Occurrences of one batch, and batches that are kept.
const BATCH: usize = 10;
const BATCHES_MAX: u64 = 200;

/// The result of a write.
enum Written {
    /// It is acknowledged.
    Yes,
    /// It may have been carried out or not.
    Perhaps,
}

/// Takes one subject from state to state until the life is over.
pub(crate) async fn write(soak: Arc<Soak>, subject: usize, client: Client, period: Duration) {
    let subject = &soak.subjects[subject];
    let mut pace = Pace::new(period);
    while pace.turn(&soak).await {
        let again = subject.register().is_open();
        if !again {
            let number = subject.register().begun() + 1;
            subject.register().begin(subject.state(number));
        }
        let write = subject.write(&soak.site, subject.register().begun());
        if let Written::Yes = soak.write(&client, &write, again).await {
            subject.register().acknowledge();
            soak.count("writes of states");
        }
    }
}

/// Files occurrences, one by one, and deletes old ones.
pub(crate) async fn file(soak: Arc<Soak>, client: Client, period: Duration) {
    let mut pace = Pace::new(period);
    while pace.turn(&soak).await {
        let body = numbered(soak.next_number());
        let path = "/v1/projects/ledger/occurrences";
        let Some(created) = soak.written(&client, Method::POST, path, &body).await else {
            continue;
        };
        let name = name(&created);
        soak.ledger().created(name);
        let Some(victim) = soak.ledger().begin_deletion(KEPT) else { continue };
        let path = format!("/v1/{victim}");
        if soak.written(&client, Method::DELETE, &path, &Value::Null).await.is_some() {
            soak.ledger().deleted(victim);
        }
    }
}

/// Files occurrences in batches, which are there whole or not at all.
pub(crate) async fn file_batches(soak: Arc<Soak>, client: Client, period: Duration) {
    let mut pace = Pace::new(period);
    while pace.turn(&soak).await {
        if soak.figures().get("writes of batches").is_some_and(|count| *count >= BATCHES_MAX) {
            return;
        }
        let batch = soak.next_number();
        let of_batch = |_| {
            let mut body = numbered(soak.next_number());
            body["remediation"] = json!(format!("batch {batch}"));
            body
        };
        let body = json!({"occurrences": (0..BATCH).map(of_batch).collect::<Vec<_>>()});
        let path = "/v1/projects/batches/occurrences:batchCreate";
        if soak.written(&client, Method::POST, path, &body).await.is_some() {
            soak.count("writes of batches");
        }
    }
}

impl Soak {
    /// Makes a write; `again` if it was begun before and may have been carried out.
    async fn write(&self, client: &Client, write: &Write, again: bool) -> Written {
        let call = (write.method.clone(), write.path.as_str(), "application/json");
        let Reply::Answered(answer) = self.call(client, call, body(&write.body)).await else {
            return Written::Perhaps;
        };
        match answer.status {
            200 => {
                self.trail().written();
                Written::Yes
            }
            status if again && status == write.done_before => Written::Yes,
            status => {
                self.not_written(&write.path, status, &answer.text);
                Written::Perhaps
            }
        }
    }

    /// Makes a write that is unlike every other; answers the resource.
    async fn written(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        resource: &Value,
    ) -> Option<Value> {
        let call = (method, path, "application/json");
        let Reply::Answered(answer) = self.call(client, call, body(resource)).await else {
            return None;
        };
        if answer.status != 200 {
            self.not_written(path, answer.status, &answer.text);
            return None;
        }
        self.trail().written();
        self.count("writes of occurrences");
        Some(answer.json)
    }

    fn not_written(&self, path: &str, status: u16, text: &str) {
        if [408, 429, 500, 503, 504].contains(&status) {
            return self.count("writes refused for now");
        }
        let what = format!("a write of {path} answers {status}: {text}");
        self.found(Violation::new(Promise::NothingLost, what));
    }
}

/// Holds what is there against what was acknowledged, when no write is under way.
pub(crate) async fn check(soak: &Soak, client: &Client) {
    let listed = |project: &'static str| async move {
        let path = format!("/v1/projects/{project}/occurrences");
        client.list(&path, "occurrences", 1_000).await
    };
    let there: BTreeSet<_> = listed("ledger").await.iter().map(name).collect();
    let mut batches = Batches::new();
    let members = listed("batches").await;
    for member in &members {
        let batch = member["remediation"].as_str().unwrap_or_default().to_owned();
        batches.entry(batch).or_default().insert(name(member));
    }
    let whole = soak.figures().get("writes of batches").copied().unwrap_or_default();
    let mut found = soak.ledger().check(there);
    found.extend(check_batches(&batches, BATCH));
    if (batches.len() as u64) < whole {
        let what = format!("{whole} batches acknowledged, {} are there", batches.len());
        found.push(Violation::new(Promise::NothingLost, what));
    }
    found.into_iter().for_each(|violation| soak.found(violation));
}

fn body(resource: &Value) -> String {
    if resource.is_null() { String::new() } else { resource.to_string() }
}

/// An occurrence unlike every other.
fn numbered(number: u64) -> Value {
    let image = image(&format!("written {number}"));
    let mut body =
        occurrence("n", &image, format!("payload {number}").as_bytes(), "https://k", b"signature");
    body["noteName"] = json!("projects/ledger/notes/n");
    body
}

fn name(resource: &Value) -> String {
    resource["name"].as_str().expect("a name").to_owned()
}
