//! Questions to the daemon, each asked once, and its answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::pods::{Running, RunningImage, RunningPod};
use crate::cli::output::string;

/// One image for whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    namespace: String,
    service_account: String,
    break_glass: bool,
    image: String,
}

impl Question {
    /// Every question, sorted, each once.
    pub(super) fn all(running: &Running) -> Vec<Self> {
        let mut all = BTreeSet::new();
        for pod in &running.pods {
            for image in &pod.images {
                all.insert(Self::named(pod, image));
                all.extend(Self::pinned(pod, image));
            }
        }
        all.into_iter().collect()
    }

    /// About an image as the pod names it: what the webhook would be asked.
    pub(super) fn named(pod: &RunningPod, image: &RunningImage) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            service_account: pod.service_account.clone(),
            break_glass: pod.break_glass,
            image: image.image.clone(),
        }
    }

    /// About the digest that runs, where the pod does not name it.
    pub(super) fn pinned(pod: &RunningPod, image: &RunningImage) -> Option<Self> {
        let digest = image.running.as_deref()?;
        let named = Self::named(pod, image);
        Some(Self { image: format!("{}@{digest}", named.image), ..named })
    }

    pub(super) fn request(&self, project: &str, cluster: Option<&str>) -> Value {
        let mut request = json!({
            "project": project, "namespace": self.namespace,
            "serviceAccount": self.service_account, "images": [self.image],
            "breakGlass": self.break_glass,
        });
        if let Some(cluster) = cluster {
            request["cluster"] = json!(cluster);
        }
        request
    }
}

/// The fate of an image if it were started today, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Allowed,
    DryRun,
    BreakGlass,
    Undetermined,
    Denied,
}

impl Fate {
    pub(super) const ALL: [Self; 5] =
        [Self::Allowed, Self::DryRun, Self::BreakGlass, Self::Undetermined, Self::Denied];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::DryRun => "dry_run",
            Self::BreakGlass => "break_glass",
            Self::Undetermined => "undetermined",
            Self::Denied => "denied",
        }
    }
}

/// The daemon's verdict on one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) fate: Fate,
    pub(super) reason: String,
    pub(super) rule: String,
    pub(super) message: String,
}

impl Verdict {
    /// Reads one line of the daemon's answer.
    pub(super) fn of(answer: &Value) -> Self {
        let image = &answer["images"][0];
        let reason = string(image, "reason");
        if image.is_null() {
            let message = string(&answer["error"], "message");
            let reason = string(&answer["error"], "status");
            return Self { fate: Fate::Undetermined, reason, rule: String::new(), message };
        }
        let undetermined = ["UNDETERMINED", "AUDIT_UNAVAILABLE"].contains(&reason.as_str());
        let fate = match (image["allowed"] == true, answer["allowed"] == true) {
            (true, _) => Fate::Allowed,
            (false, true) if answer["breakGlass"] == true => Fate::BreakGlass,
            (false, true) => Fate::DryRun,
            (false, false) if undetermined => Fate::Undetermined,
            (false, false) => Fate::Denied,
        };
        Self { fate, reason, rule: string(image, "rule"), message: string(image, "message") }
    }
}
