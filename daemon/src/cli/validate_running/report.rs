//! The results, by namespace and workload, by digest, and in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::pods::{Running, RunningImage};
use super::verdict::{Fate, Question, Verdict};
use crate::cli::output::{self, Column, Format, string};

/// The report.
#[derive(Debug)]
pub(super) struct Report<'a> {
    running: &'a Running,
    workloads: BTreeMap<(&'a str, &'a str), Workload<'a>>,
    digests: BTreeMap<&'a str, Digest<'a>>,
    pods: BTreeMap<(&'a str, Fate), usize>,
}

/// The pods of one workload in one namespace.
#[derive(Debug, Default)]
struct Workload<'a> {
    pods: usize,
    images: BTreeMap<&'a RunningImage, Judged<'a>>,
}

/// One image of a workload.
#[derive(Debug)]
struct Judged<'a> {
    pods: usize,
    /// As the pods name it: what the webhook would say.
    named: &'a Verdict,
    /// As it runs, where the pods do not name that.
    pinned: Option<&'a Verdict>,
}

/// The pods that run one digest.
#[derive(Debug, Default)]
struct Digest<'a> {
    pods: usize,
    images: BTreeSet<&'a str>,
    namespaces: BTreeSet<&'a str>,
    fates: BTreeMap<&'static str, usize>,
}

impl<'a> Report<'a> {
    /// Joins what runs with one verdict for each question; `questions` are sorted.
    pub(super) fn new(
        running: &'a Running,
        questions: &[Question],
        verdicts: &'a [Verdict],
    ) -> Self {
        let find = |question: &Question| {
            let place = questions.binary_search(question).ok()?;
            verdicts.get(place)
        };
        let mut report = Self {
            running,
            workloads: BTreeMap::new(),
            digests: BTreeMap::new(),
            pods: BTreeMap::new(),
        };
        for pod in &running.pods {
            let namespace = pod.namespace.as_str();
            let workload = report.workloads.entry((namespace, &pod.workload)).or_default();
            workload.pods += 1;
            let mut fate = Fate::Allowed;
            for image in &pod.images {
                let Some(named) = find(&Question::named(pod, image)) else { continue };
                let pinned = Question::pinned(pod, image).and_then(|question| find(&question));
                fate = fate.max(named.fate);
                let judged = Judged { pods: 0, named, pinned };
                workload.images.entry(image).or_insert(judged).pods += 1;
                if let Some(digest) = image.digest() {
                    let digest = report.digests.entry(digest).or_default();
                    digest.pods += 1;
                    digest.images.insert(&image.image);
                    digest.namespaces.insert(namespace);
                    *digest.fates.entry(named.fate.word()).or_default() += 1;
                }
            }
            *report.pods.entry((namespace, fate)).or_default() += 1;
        }
        report
    }

    /// True if every pod would be let in.
    pub(super) fn is_clean(&self) -> bool {
        self.count(Fate::Denied) + self.count(Fate::Undetermined) == 0
    }

    /// Pods of this fate.
    fn count(&self, fate: Fate) -> usize {
        self.pods.iter().filter(|((_, known), _)| *known == fate).map(|(_, count)| count).sum()
    }

    /// Everything.
    pub(super) fn json(&self, project: &str, cluster: Option<&str>) -> Value {
        let fates: BTreeMap<_, _> =
            Fate::ALL.map(|fate| (fate.word(), self.count(fate))).into_iter().collect();
        let workloads = self.workloads.iter().map(|((namespace, name), workload)| {
            let images = workload.images.iter().map(|(image, judged)| judged.json(image));
            json!({
                "namespace": namespace, "workload": name, "pods": workload.pods,
                "images": images.collect::<Vec<_>>(),
            })
        });
        let digests = self.digests.iter().map(|(digest, found)| {
            json!({
                "digest": digest, "pods": found.pods, "images": found.images,
                "namespaces": found.namespaces, "verdicts": found.fates,
            })
        });
        json!({
            "project": project, "cluster": cluster,
            "pods": self.running.pods.len(), "podsEnded": self.running.ended,
            "podsByVerdict": fates,
            "workloads": workloads.collect::<Vec<_>>(),
            "digests": digests.collect::<Vec<_>>(),
        })
    }

    /// A line of numbers, and a row for each image that does not conform.
    pub(super) fn print_table(&self) -> anyhow::Result<()> {
        let (pods, digests) = (self.running.pods.len(), self.digests.len());
        let words = Fate::ALL.map(|fate| format!("{} {}", self.count(fate), fate.word()));
        output::line(&format!(
            "{pods} pods running {digests} digests: {}; {} pods have ended",
            words.join(", ").replace('_', " "),
            self.running.ended,
        ))?;
        let mut rows = Vec::new();
        for ((namespace, name), workload) in &self.workloads {
            for (image, judged) in &workload.images {
                if judged.named.fate != Fate::Allowed {
                    let mut row = judged.json(image);
                    row["namespace"] = json!(namespace);
                    row["workload"] = json!(name);
                    rows.push(row);
                }
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        const COLUMNS: [Column; 7] = [
            ("NAMESPACE", |row| string(row, "namespace")),
            ("WORKLOAD", |row| string(row, "workload")),
            ("PODS", |row| row["pods"].to_string()),
            ("VERDICT", |row| string(row, "verdict")),
            ("REASON", |row| string(row, "reason")),
            ("IMAGE", |row| string(row, "image")),
            ("WHAT RUNS", what_runs),
        ];
        output::print_list(Format::Table, &rows, &COLUMNS)
    }

    /// The text format of Prometheus.
    pub(super) fn prometheus(&self) -> String {
        let mut out = String::new();
        let mut family = |name: &str, help: &str, series: &[(String, usize)]| {
            let written = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
            written.expect("a String takes every write");
            for (labels, value) in series {
                writeln!(out, "{name}{labels} {value}").expect("a String takes every write");
            }
        };
        let by_fate = |((namespace, fate), count): (&(&str, Fate), &usize)| {
            (labels(&[("namespace", namespace), ("verdict", fate.word())]), *count)
        };
        let pods: Vec<_> = self.pods.iter().map(by_fate).collect();
        let help = "Running pods, by what would become of them today.";
        family("hallmark_running_pods", help, &pods);
        let mut images = BTreeMap::new();
        for ((namespace, _), workload) in &self.workloads {
            for (image, judged) in &workload.images {
                let Verdict { fate, reason, .. } = judged.named;
                let key = (*namespace, fate.word(), reason.as_str());
                images.entry(key).or_insert_with(BTreeSet::new).insert(*image);
            }
        }
        let by_reason =
            |((namespace, verdict, reason), images): (&(&str, &str, &str), &BTreeSet<_>)| {
                let labels =
                    [("namespace", *namespace), ("verdict", *verdict), ("reason", *reason)];
                (self::labels(&labels), images.len())
            };
        let images: Vec<_> = images.iter().map(by_reason).collect();
        let help = "Images of running pods, by what would become of them today and why.";
        family("hallmark_running_images", help, &images);
        let help = "Digests that run.";
        family("hallmark_running_digests", help, &[(String::new(), self.digests.len())]);
        out
    }
}

impl Judged<'_> {
    fn json(&self, image: &RunningImage) -> Value {
        let mut json = json!({
            "image": image.image, "digest": image.digest(), "pods": self.pods,
            "verdict": self.named.fate.word(), "reason": self.named.reason,
            "rule": self.named.rule,
        });
        if self.named.fate != Fate::Allowed {
            json["message"] = json!(self.named.message);
        }
        if let (Some(digest), Some(pinned)) = (&image.running, self.pinned) {
            json["running"] = json!({
                "digest": digest, "verdict": pinned.fate.word(), "reason": pinned.reason,
            });
        }
        json
    }
}

/// The digest that runs behind a tag, in short, and what would be said of it.
fn what_runs(row: &Value) -> String {
    let running = &row["running"];
    let digest: String = string(running, "digest").chars().take(19).collect();
    if digest.is_empty() { digest } else { format!("{digest}… {}", string(running, "verdict")) }
}

fn labels(labels: &[(&str, &str)]) -> String {
    let quoted = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{{}}}", labels.iter().map(quoted).collect::<Vec<_>>().join(","))
}
