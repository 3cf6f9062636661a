//! Common parts of the dialects of Kubernetes: the cluster, the time to answer, and the wording of
//! a denial.

use std::fmt::Write;
use std::time::{Duration, Instant};

use hallmark_core::attributes::{ClusterName, Namespace};
use hallmark_core::decision::{Decision, ImageDecision};
use hallmark_core::evaluate::Request;
use hallmark_core::excerpt::{Ends, Excerpt};
use hallmark_core::names::ProjectId;
use tokio::time::timeout_at;

use crate::admit::{Gate, Origin, Recorded, admit};
use crate::http::dialect::Dialect;
use crate::http::engine::dispatch::GRACE;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Exchange;
use crate::http::google::shared::project;

/// Keys of audit annotations; the API server puts the name of the webhook and `/` before them.
pub(in crate::http) const BREAK_GLASS_KEY: &str = "break-glass";
pub(in crate::http) const DRY_RUN_KEY: &str = "dry-run";
pub(in crate::http) const OVERRIDDEN_KEY: &str = "overridden-verification-result";

/// Most bytes of a denial in one text. An event, where it surfaces, shows 1,024 of them; the whole
/// explanation is in the audit log.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// Characters of a duration that an error repeats.
const TIMEOUT_CHARS_SHOWN: usize = 96;

/// The project and the cluster that the path names.
#[derive(Clone, Debug)]
pub(in crate::http) struct Cluster {
    pub(in crate::http) project: ProjectId,
    pub(in crate::http) name: ClusterName,
    principal: Option<String>,
}

impl Cluster {
    pub(in crate::http) fn of(exchange: &Exchange) -> Result<Self, HttpError> {
        Ok(Self {
            project: project(exchange)?,
            name: exchange.param("cluster").parse()?,
            principal: exchange.caller.principal().map(str::to_owned),
        })
    }

    /// Who asks in this dialect.
    pub(in crate::http) fn origin(&self, dialect: Dialect) -> Origin {
        Origin { api: dialect.name(), principal: self.principal.clone(), review: None }
    }

    /// A request of this cluster for images, by nobody in particular in this namespace.
    pub(in crate::http) fn request(
        &self,
        namespace: Option<Namespace>,
        images: Vec<Box<str>>,
    ) -> Request {
        Request {
            project: self.project.clone(),
            cluster: Some(self.name.clone()),
            namespace,
            service_account: None,
            istio_identity: None,
            images,
            break_glass: false,
        }
    }
}

/// When an answer is of use.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Time {
    /// The instant after which anything undetermined is denied as such.
    deadline: Instant,
    /// When the denial must be on its way, whatever happens.
    latest: Instant,
}

impl Time {
    /// As long as the server gives a request, or as long as its `?timeout=` says, less a margin for
    /// the answer to arrive: a tenth, half of which is kept for what runs late.
    pub(in crate::http) fn of(exchange: &Exchange) -> Result<Self, HttpError> {
        let own = Self { deadline: exchange.deadline, latest: exchange.deadline + GRACE / 2 };
        let Some(written) = exchange.query("timeout")? else { return Ok(own) };
        let timeout = go_duration(&written).ok_or_else(|| {
            let written = Excerpt::<TIMEOUT_CHARS_SHOWN>(&written);
            HttpError::InvalidArgument(format!(
                "query parameter `timeout` is no duration, such as `10s`: {written}"
            ))
        })?;
        // A timeout of centuries is as good as none.
        let Some(end) = exchange.received.checked_add(timeout) else { return Ok(own) };
        let margin = timeout / 10;
        let theirs = Self { deadline: end - margin, latest: end - margin / 2 };
        Ok(if theirs.latest < own.latest { theirs } else { own })
    }
}

/// A Go duration, as the API server writes them: `10s`, `1m30s`, `2.5s`, `500ms`.
fn go_duration(written: &str) -> Option<Duration> {
    let mut rest = written;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (value, unit) = rest.split_at(number);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        let each = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += value.parse::<f64>().ok()? * each;
        rest = after;
    }
    (!written.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// Decides in time: `None` where that could not be done.
pub(in crate::http) async fn decide(
    gate: &Gate,
    origin: &Origin,
    requests: Vec<Request>,
    time: Time,
) -> Option<Vec<Recorded>> {
    let asked = requests.len();
    let decided = timeout_at(time.latest.into(), admit(gate, origin, requests, time.deadline));
    decided.await.ok().filter(|decisions| decisions.len() == asked)
}

/// Why there is no decision to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum Undecided {
    /// [`decide`] came to nothing.
    #[error("the deadline of the review passed")]
    Late,
    /// There was no room for it.
    #[error("more reviews arrive than can be decided")]
    Overloaded,
}

impl Undecided {
    /// For whoever wanted to run something.
    pub(in crate::http) fn denial(self) -> String {
        format!("denied by Binary Authorization: Could not be determined: {self}")
    }
}

/// The images that do not conform, whatever became of that.
pub(in crate::http) fn denied(decision: &Decision) -> impl Iterator<Item = &ImageDecision> {
    decision.images.iter().filter(|image| !image.allowed)
}

/// The messages of all images that do not conform, as far as there is room.
pub(in crate::http) fn message(decision: &Decision) -> String {
    joined(denied(decision).map(|image| image.message()), ". ")
}

/// The causes of all images that do not conform, as far as there is room.
pub(in crate::http) fn causes(decision: &Decision) -> String {
    joined(denied(decision).map(cause), "")
}

fn joined(texts: impl Iterator<Item = String>, between: &str) -> String {
    let mut out = String::new();
    let mut left_out = 0_usize;
    for text in texts {
        if !out.is_empty() && out.len() + text.len() > TEXT_BYTES_MAX {
            left_out += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(between);
        }
        out.push_str(&text);
    }
    if left_out > 0 {
        write!(out, "{between}{left_out} more images denied").expect("a String takes every write");
    }
    out
}

/// An image for people; where it is long, its beginning and its end.
pub(in crate::http) fn shown(image: &str) -> Ends<'_, 96, 24> {
    Ends(image)
}

/// One image's cause, as Google's service writes it: `'IMAGE' : …` and a line break.
pub(in crate::http) fn cause(image: &ImageDecision) -> String {
    format!("'{}' : {}\n", shown(&image.image), image.cause())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::holding_gate;

    #[tokio::test]
    async fn a_gate_that_is_late_has_not_decided() {
        let (gate, _turns, image) = holding_gate().await;
        let (origin, now) = (Origin { api: "test", principal: None, review: None }, Instant::now());
        let cluster = Cluster {
            project: "p".parse().expect("a project"),
            name: "l.c".parse().expect("a cluster"),
            principal: None,
        };
        let request = cluster.request(None, vec![image.into()]);
        let time = Time { deadline: now + Duration::from_secs(600), latest: now };
        assert_eq!(decide(&gate, &origin, vec![request], time).await, None);
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let seconds = |written| go_duration(written).map(|read| read.as_secs_f64());
        for (written, expected) in [
            ("10s", 10.0),
            ("1m30s", 90.0),
            ("2.5s", 2.5),
            ("500ms", 0.5),
            ("1h0m1s", 3_601.0),
            ("30µs", 3e-5),
            ("0s", 0.0),
        ] {
            assert_eq!(seconds(written), Some(expected), "{written}");
        }
        for written in ["", "10", "s", "-1s", "1d", "1s!", "1.2.3s", "1e3s", "NaNs", " 1s"] {
            assert_eq!(seconds(written), None, "{written}");
        }
    }

    #[test]
    fn a_long_image_is_shown_by_its_ends() {
        let image = format!("registry/{}@sha256:{}", "x".repeat(900), "a".repeat(64));
        let shown = shown(&image).to_string();
        assert_eq!(shown.chars().count(), 96 + 1 + 24);
        assert!(shown.starts_with("registry/x") && shown.ends_with("aaa"), "{shown}");
        let whole = format!("registry.example.com/a/b@sha256:{}", "a".repeat(64));
        assert_eq!(super::shown(&whole).to_string(), whole);
        assert_eq!(super::shown("a\nb").to_string(), "a\\nb");
    }
}
