//! Platform policies: `hallmark policy create|update|describe|delete|list|evaluate`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::client::{Target, encode, read_input};
use super::on_daemon::OnDaemon;
use super::output::{self, Format, id, string};
use super::{Outcome, documents};

/// Which platform policy.
#[derive(Debug, Args)]
pub(super) struct Name {
    /// Id of the policy, or its whole name projects/P/platforms/PLATFORM/policies/ID.
    #[arg(value_name = "POLICY")]
    policy: String,
    /// The platform, gke or cloudRun, where POLICY is an id.
    #[arg(long)]
    platform: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    on: OnDaemon,
}

#[derive(Debug, Args)]
pub(super) struct Write {
    #[command(flatten)]
    name: Name,
    /// A YAML or JSON file with the policy.
    #[arg(long, value_name = "FILE")]
    policy_file: PathBuf,
    #[command(flatten)]
    on: OnDaemon,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The platform, gke or cloudRun; or its whole name projects/P/platforms/PLATFORM.
    platform: String,
    #[command(flatten)]
    target: Target,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

/// Evaluate a platform policy for a Kubernetes resource or for images.
///
/// Exits with 0 where the verdict is CONFORMANT, otherwise with 2.
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    #[command(flatten)]
    name: Name,
    /// A YAML or JSON file with a Kubernetes resource that has or makes Pods.
    #[arg(long, value_name = "FILE", required_unless_present = "image", conflicts_with = "image")]
    resource: Option<PathBuf>,
    /// An image, as if a Pod without namespace and service account ran it. May be repeated.
    #[arg(long, value_name = "IMAGE")]
    image: Vec<String>,
    #[command(flatten)]
    on: OnDaemon,
}

impl Name {
    /// The path of the collection that holds the policy, and its id.
    fn parts<'a>(&'a self, target: &'a Target) -> anyhow::Result<(String, &'a str)> {
        let segments: Vec<_> = self.policy.split('/').collect();
        let (project, platform, policy) = match segments.as_slice() {
            ["projects", project, "platforms", platform, "policies", policy] => {
                (*project, *platform, *policy)
            }
            _ => {
                let platform = self.platform.as_deref();
                let platform = platform.context("which platform? say --platform gke")?;
                (target.project()?, platform, self.policy.as_str())
            }
        };
        Ok((collection(project, platform), policy))
    }

    fn path(&self, target: &Target) -> anyhow::Result<String> {
        let (collection, policy) = self.parts(target)?;
        Ok(format!("{collection}/{}", encode(policy)))
    }
}

fn collection(project: &str, platform: &str) -> String {
    format!("/v1/projects/{}/platforms/{}/policies", encode(project), encode(platform))
}

impl Write {
    pub(super) fn create(self) -> anyhow::Result<()> {
        let body = documents::value(&self.policy_file)?;
        let (collection, policy) = self.name.parts(&self.on.target)?;
        let path = format!("{collection}?policyId={}", encode(policy));
        self.on.print(&self.on.connect()?.post(&path, &body)?)
    }

    pub(super) fn replace(self) -> anyhow::Result<()> {
        let body = documents::value(&self.policy_file)?;
        let path = self.name.path(&self.on.target)?;
        self.on.print(&self.on.connect()?.put(&path, &body)?)
    }
}

impl One {
    pub(super) fn describe(self) -> anyhow::Result<()> {
        let path = self.name.path(&self.on.target)?;
        self.on.print(&self.on.connect()?.get(&path)?)
    }

    pub(super) fn delete(self) -> anyhow::Result<()> {
        let path = self.name.path(&self.on.target)?;
        self.on.connect()?.delete(&path).map(drop)
    }
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let segments: Vec<_> = self.platform.split('/').collect();
        let collection = match segments.as_slice() {
            ["projects", project, "platforms", platform] => collection(project, platform),
            _ => collection(self.target.project()?, &self.platform),
        };
        let path = format!("{collection}?pageSize=100");
        let policies = self.target.connect()?.list(&path, "platformPolicies")?;
        output::print_list(
            self.format,
            &policies,
            &[("NAME", id), ("DESCRIPTION", |policy| string(policy, "description"))],
        )
    }
}

impl Evaluate {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let resource = match &self.resource {
            Some(file) => kubernetes_resource(file)?,
            None => pod(&self.image),
        };
        let path = format!("{}:evaluate", self.name.path(&self.on.target)?);
        let answer = self.on.connect()?.post(&path, &json!({"resource": resource}))?;
        self.on.print(&answer)?;
        Ok(if answer["verdict"] == "CONFORMANT" { Outcome::Done } else { Outcome::Denied })
    }
}

/// A Pod that runs the images and says nothing else.
fn pod(images: &[String]) -> Value {
    let containers: Vec<_> = images.iter().map(|image| json!({"image": image})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": ""},
        "spec": {"containers": containers},
    })
}

/// Manifests use more of YAML than resources of Hallmark do, such as anchors.
fn kubernetes_resource(file: &PathBuf) -> anyhow::Result<Value> {
    let bytes = read_input(file)?;
    let what = || format!("{} is not one Kubernetes resource in YAML or JSON", file.display());
    serde_saphyr::from_slice(&bytes).with_context(what)
}
