//! Those who ask for decisions, at every door.

use std::sync::Arc;
use std::time::Duration;

use hallmark_tests::admission::{CLUSTER, creation, pod};
use hallmark_tests::client::{Answer, Client};
use hallmark_tests::project::REPOSITORY;
use hallmark_tests::soak::register::{Asked, Seen};
use hallmark_tests::soak::trail::tagged;
use hallmark_tests::soak::{Promise, Violation};
use hyper::Method;
use serde_json::{Value, json};

use super::plant::Plant;
use super::soak::{Pace, Reply, Soak};
use super::subjects::{Kind, Subject};

/// Statuses that say only that there is no answer now.
const NOT_NOW: [u16; 4] = [408, 429, 503, 504];

/// Questions of one stream.
const LINES: usize = 8;

/// A dialect in which decisions are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Json,
    Lines,
    Admission,
    ImageReview,
    Gatekeeper,
}

const DOORS: [Door; 5] =
    [Door::Json, Door::Lines, Door::Admission, Door::ImageReview, Door::Gatekeeper];

/// The answer about one image.
#[derive(Debug)]
enum Told {
    /// A verdict, which is in the audit log.
    Verdict(Seen),
    /// A denial because the answer was not available. It is in the log if the log could be written.
    Undetermined { recorded: Option<bool> },
}

/// A question under way.
struct Question<'a> {
    subject: &'a Subject,
    number: u64,
    image: String,
    asked: Asked,
}

/// Asks one question after the other until the life is over.
pub(crate) async fn decide(soak: Arc<Soak>, client: Client, period: Duration) {
    let mut pace = Pace::new(period);
    while pace.turn(&soak).await {
        let door = DOORS[fastrand::usize(..DOORS.len())];
        let count = if door == Door::Lines { LINES } else { 1 };
        let questions: Vec<_> = (0..count).map(|_| soak.question()).collect();
        soak.ask(&client, door, &questions).await;
    }
}

/// Asks about every subject once, when no write is under way.
pub(crate) async fn decide_each(soak: &Soak, client: &Client) {
    for subject in &soak.subjects {
        soak.ask(client, Door::Json, &[soak.question_about(subject)]).await;
    }
}

impl Soak {
    fn question(&self) -> Question<'_> {
        self.question_about(&self.subjects[fastrand::usize(..self.subjects.len())])
    }

    fn question_about<'a>(&self, subject: &'a Subject) -> Question<'a> {
        let number = self.next_number();
        let image = tagged(REPOSITORY, number, &subject.digest);
        Question { subject, number, image, asked: subject.register().ask() }
    }

    async fn ask(&self, client: &Client, door: Door, questions: &[Question<'_>]) {
        let (path, content_type, body) = request(door, questions);
        let call = (Method::POST, path.as_str(), content_type);
        let Reply::Answered(answer) = self.call(client, call, body).await else { return };
        if answer.status != 200 {
            return self.not_answered(door, &answer);
        }
        let told = told(door, questions, &answer);
        if told.len() != questions.len() && !self.is_over() {
            let what = format!("{door:?}: {} answers to {}", told.len(), questions.len());
            self.found(Violation::new(Promise::Serving, what));
        }
        for (question, told) in questions.iter().zip(told) {
            self.judge(door, question, told);
        }
    }

    fn not_answered(&self, door: Door, answer: &Answer) {
        if NOT_NOW.contains(&answer.status) {
            return self.count("not now");
        }
        let what = format!("{door:?} answers {}: {}", answer.status, answer.text);
        self.found(Violation::new(Promise::Serving, what));
    }

    fn judge(&self, door: Door, question: &Question<'_>, told: Result<Told, String>) {
        match told {
            Err(what) => {
                let what = format!("{door:?}, question {}: {what}", question.number);
                self.found(Violation::new(Promise::RightAnswer, what));
            }
            Ok(Told::Undetermined { recorded }) => {
                self.count("undetermined");
                if recorded == Some(true) {
                    self.trail().answered(question.number, false);
                }
            }
            Ok(Told::Verdict(seen)) => {
                self.count(if seen.allowed { "allowed" } else { "denied" });
                self.trail().answered(question.number, seen.allowed);
                let seen = self.planted(question.subject, seen);
                let judged = question.subject.register().answer(question.asked, &seen);
                if let Err(mut violation) = judged {
                    violation.what =
                        format!("{door:?}, question {}: {}", question.number, violation.what);
                    self.found(violation);
                }
            }
        }
    }

    /// The answer that the checker is told: with [`Plant::Stale`], half the time the first answer
    /// of all.
    fn planted(&self, subject: &Subject, seen: Seen) -> Seen {
        let lies = self.plant == Some(Plant::Stale) && subject.kind() == Kind::Policy;
        if lies && seen.word.is_some() && fastrand::bool() {
            let first = subject.state(0);
            return Seen { allowed: first.allowed, word: Some(first.word.to_owned()) };
        }
        seen
    }
}

/// Path, content type and body.
fn request(door: Door, questions: &[Question<'_>]) -> (String, &'static str, String) {
    let json = "application/json";
    let (first, project) = (&questions[0], questions[0].subject.project);
    let kubernetes = |door: &str| format!("/k8s/projects/{project}/clusters/{CLUSTER}/{door}");
    let plain = |question: &Question<'_>| {
        json!({"project": question.subject.project, "cluster": CLUSTER, "namespace": "shop",
            "images": [question.image]})
    };
    match door {
        Door::Json => ("/v1/decisions".to_owned(), json, plain(first).to_string()),
        Door::Lines => {
            let lines = questions.iter().map(|question| format!("{}\n", plain(question)));
            ("/v1/decisions".to_owned(), "application/x-ndjson", lines.collect())
        }
        Door::Admission => {
            (kubernetes("admission"), json, creation(&pod(&[&first.image])).to_string())
        }
        Door::ImageReview => {
            let body = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
                "spec": {"containers": [{"image": first.image}], "namespace": "shop"}});
            (kubernetes("imagereview"), json, body.to_string())
        }
        Door::Gatekeeper => {
            let body = json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1",
                "kind": "ProviderRequest", "request": {"keys": [first.image]}});
            let path = format!("/gatekeeper/projects/{project}/clusters/{CLUSTER}/validate");
            (path, json, body.to_string())
        }
    }
}

/// The answer to each question.
fn told(door: Door, questions: &[Question<'_>], answer: &Answer) -> Vec<Result<Told, String>> {
    let (json, subject) = (&answer.json, questions[0].subject);
    match door {
        Door::Json => vec![decision(subject, json)],
        Door::Lines => {
            let lines = answer.text.lines().map(serde_json::from_str);
            let lines = lines.map(|line| line.unwrap_or(Value::Null));
            questions.iter().zip(lines).map(|(of, line)| decision(of.subject, &line)).collect()
        }
        Door::Admission => {
            let response = &json["response"];
            vec![review(&response["allowed"], &response["status"]["message"], json)]
        }
        Door::ImageReview => {
            vec![review(&json["status"]["allowed"], &json["status"]["reason"], json)]
        }
        Door::Gatekeeper => {
            let (item, broken) = (&json["response"]["items"][0], &json["response"]["systemError"]);
            if broken.as_str().is_some_and(|error| !error.is_empty()) {
                return vec![Ok(Told::Undetermined { recorded: None })];
            }
            vec![review(&json!(item["value"]["allowed"] == true), &item["error"], json)]
        }
    }
}

fn decision(subject: &Subject, decision: &Value) -> Result<Told, String> {
    let Some(allowed) = decision["allowed"].as_bool() else {
        let code = decision["error"]["code"].as_u64().unwrap_or_default();
        let not_now = NOT_NOW.iter().any(|status| u64::from(*status) == code);
        let told = Ok(Told::Undetermined { recorded: None });
        return if not_now { told } else { Err(format!("no decision: {decision}")) };
    };
    let reason = decision["images"][0]["reason"].as_str().unwrap_or_default();
    let recorded = match reason {
        "UNDETERMINED" => Some(true),
        "AUDIT_UNAVAILABLE" | "AUDIT_LIMIT_EXCEEDED" => Some(false),
        _ => return Ok(Told::Verdict(Seen { allowed, word: Some(subject.word(decision)) })),
    };
    if allowed { Err(format!("allowed: {decision}")) } else { Ok(Told::Undetermined { recorded }) }
}

fn review(allowed: &Value, why: &Value, whole: &Value) -> Result<Told, String> {
    let Some(allowed) = allowed.as_bool() else { return Err(format!("no verdict: {whole}")) };
    let why = why.as_str().unwrap_or_default();
    if allowed || !(why.contains("Could not be determined") || why.contains("audit")) {
        return Ok(Told::Verdict(Seen { allowed, word: None }));
    }
    Ok(Told::Undetermined { recorded: None })
}
