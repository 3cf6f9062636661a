//! `hallmark decide IMAGE…`, and how a decision is shown to a person.

use clap::Args;
use hallmark_core::evaluate::Request;
use serde_json::{Value, json};

use super::Outcome;
use super::client::Target;
use super::output::{self, Format, shown};

/// Ask whether images may run.
///
/// Exits with 0 where the request is allowed, 2 where it is denied.
#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    target: Target,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

/// The question to the daemon.
#[derive(Debug, Args)]
pub(super) struct Question {
    /// The images, as a workload names them: registry/repository@sha256:…
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// LOCATION.CLUSTER.
    #[arg(long)]
    cluster: Option<String>,
    /// Kubernetes namespace.
    #[arg(long)]
    namespace: Option<String>,
    /// Kubernetes service account of that namespace.
    #[arg(long, requires = "namespace")]
    service_account: Option<String>,
    /// Lift enforcement for this request. The decision is recorded as such.
    #[arg(long)]
    break_glass: bool,
}

impl Question {
    /// The question as the core asks it.
    pub(super) fn request(self, project: &str) -> anyhow::Result<Request> {
        Ok(Request {
            project: project.parse()?,
            cluster: self.cluster.as_deref().map(str::parse).transpose()?,
            namespace: self.namespace.as_deref().map(str::parse).transpose()?,
            service_account: self.service_account.as_deref().map(str::parse).transpose()?,
            istio_identity: None,
            images: self.images.into_iter().map(Into::into).collect(),
            break_glass: self.break_glass,
        })
    }

    fn body(&self, project: &str) -> Value {
        let mut body = json!({
            "project": project, "images": self.images, "breakGlass": self.break_glass,
        });
        let optional = [
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
            ("serviceAccount", &self.service_account),
        ];
        for (member, value) in optional {
            if let Some(value) = value {
                body[member] = json!(value);
            }
        }
        body
    }
}

impl Decide {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let body = self.question.body(self.target.project()?);
        let decision = self.target.connect()?.post("/v1/decisions", &body)?;
        report(&decision, self.format)
    }
}

/// Prints a decision and says how the command ends.
pub(super) fn report(decision: &Value, format: Format) -> anyhow::Result<Outcome> {
    match format {
        Format::Table => output::text(&explain(decision))?,
        Format::Json | Format::Yaml => output::print(format, decision)?,
    }
    Ok(if decision["allowed"] == json!(true) { Outcome::Done } else { Outcome::Denied })
}

/// The whole explanation, indented.
fn explain(decision: &Value) -> String {
    let word = if decision["allowed"] == json!(true) { "ALLOWED" } else { "DENIED" };
    let lifted = match (&decision["breakGlass"], &decision["dryRun"]) {
        (Value::Bool(true), _) => " (break-glass: enforcement lifted, recorded)",
        (_, Value::Bool(true)) => " (dry run: enforcement off, recorded)",
        _ => "",
    };
    let mut out = format!("{word}{lifted}\n");
    for image in items(decision, "images") {
        let verdict = if image["allowed"] == json!(true) { "conforms" } else { "does not conform" };
        let cached = if image["cached"] == json!(true) { ", from the cache" } else { "" };
        out += &format!("  {}\n", shown(image, "image"));
        out += &format!("    {verdict}: {}{cached}\n", shown(image, "reason"));
        if image["rule"].is_string() {
            out += &format!("    rule: {}\n", shown(image, "rule"));
        }
        if image["allowed"] != json!(true) {
            out += &format!("    {}\n", shown(image, "message"));
        }
        for attestor in items(image, "attestors") {
            out += &attestor_lines(attestor);
        }
    }
    out
}

fn attestor_lines(attestor: &Value) -> String {
    let mut out =
        format!("    attestor {}: {}\n", shown(attestor, "attestor"), shown(attestor, "reason"));
    for trial in items(attestor, "trials") {
        let detail = trial["detail"].is_string().then(|| format!(" ({})", shown(trial, "detail")));
        out += &format!(
            "      key {} on {}: {}{}\n",
            shown(trial, "keyId"),
            shown(trial, "occurrence"),
            shown(trial, "outcome"),
            detail.unwrap_or_default(),
        );
    }
    for (outcome, count) in attestor["otherOutcomes"].as_object().into_iter().flatten() {
        out += &format!("      {count} more: {outcome}\n");
    }
    out
}

fn items<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_begins_no_line_and_moves_no_cursor() {
        let forged = "a:x\nALLOWED\n\u{1b}[2J\u{9b}1m\u{202e}";
        let decision = json!({"allowed": false, "images": [{
            "image": forged, "reason": forged, "rule": forged, "message": forged,
            "attestors": [{"attestor": forged, "reason": forged, "trials": [
                {"keyId": forged, "occurrence": forged, "outcome": forged, "detail": forged}
            ]}],
        }]});
        let shown = explain(&decision);
        assert_eq!(shown.lines().count(), 7, "{shown}");
        assert!(shown.lines().skip(1).all(|line| line.starts_with("  ")), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{shown}");
    }
}
