//! What runs: the pods of a cluster, as `kubectl` prints them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;

/// Everything that runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pods: Vec<RunningPod>,
    /// Pods that have ended: nothing of them runs.
    pub(super) ended: usize,
}

/// One pod that has not ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunningPod {
    pub(super) namespace: String,
    /// `KIND/NAME` of what made it, or `Pod/NAME`.
    pub(super) workload: String,
    pub(super) service_account: String,
    pub(super) break_glass: bool,
    /// Each image once.
    pub(super) images: Vec<RunningImage>,
}

/// An image as the pod names it, and what it turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunningImage {
    pub(super) image: String,
    /// The digest that runs, where the node has said so and the image does not name it itself.
    pub(super) running: Option<String>,
}

impl RunningImage {
    /// The digest that the image names or, failing that, that runs.
    pub(super) fn digest(&self) -> Option<&str> {
        self.image.split_once('@').map(|(_, digest)| digest).or(self.running.as_deref())
    }
}

impl Running {
    /// Reads a `List` of pods, or one pod.
    pub(super) fn read(json: &[u8]) -> anyhow::Result<Self> {
        let list: PodList = serde_json::from_slice(json).context(
            "this is not what `kubectl get pods -A -o json` prints: pipe its output in, or name a file",
        )?;
        let pods = match (list.kind.as_str(), list.items) {
            ("List" | "PodList", Some(pods)) => pods,
            ("Pod", _) => vec![serde_json::from_slice(json).context("this pod cannot be read")?],
            (kind, _) => bail!("this is a {kind}, not a List of pods"),
        };
        let mut running = Self::default();
        for pod in pods {
            match pod.status.phase.as_deref() {
                Some("Succeeded" | "Failed") => running.ended += 1,
                _ => running.pods.push(pod.into()),
            }
        }
        Ok(running)
    }
}

#[derive(Deserialize)]
struct PodList {
    kind: String,
    items: Option<Vec<Pod>>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    init_containers: Vec<Container>,
    #[serde(default)]
    ephemeral_containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
    service_account_name: Option<String>,
    service_account: Option<String>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    image: String,
}

#[derive(Deserialize)]
struct Volume {
    image: Option<ImageVolume>,
}

#[derive(Deserialize)]
struct ImageVolume {
    #[serde(default)]
    reference: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    #[serde(default)]
    container_statuses: Vec<ContainerStatus>,
    #[serde(default)]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(default)]
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    name: String,
    #[serde(default, rename = "imageID")]
    image_id: String,
}

impl From<Pod> for RunningPod {
    fn from(pod: Pod) -> Self {
        let Pod { metadata, spec, status } = pod;
        let given = |account: Option<String>| account.filter(|account| !account.is_empty());
        let service_account = given(spec.service_account_name)
            .or_else(|| given(spec.service_account))
            .unwrap_or_else(|| "default".to_owned());
        let mut images = Vec::new();
        for (containers, statuses) in [
            (spec.containers, status.container_statuses),
            (spec.init_containers, status.init_container_statuses),
            (spec.ephemeral_containers, status.ephemeral_container_statuses),
        ] {
            for container in containers {
                let status = statuses.iter().find(|status| status.name == container.name);
                let running = status.and_then(|status| digest(&status.image_id));
                let running = running.filter(|_| !container.image.contains('@'));
                images.push(RunningImage { image: container.image, running });
            }
        }
        let volumes = spec.volumes.into_iter().filter_map(|volume| volume.image);
        images.extend(volumes.map(|image| RunningImage { image: image.reference, running: None }));
        images.sort();
        images.dedup();
        Self {
            workload: workload(&metadata),
            break_glass: break_glass(&metadata),
            namespace: metadata.namespace,
            service_account,
            images,
        }
    }
}

/// `sha256:…` of `docker-pullable://registry/repository@sha256:…`. A node that built the image or was
/// handed it by other ways knows no such digest, and names its own `sha256:…` alone.
fn digest(image_id: &str) -> Option<String> {
    let (_, digest) = image_id.rsplit_once('@')?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

/// What made the pod. A ReplicaSet of a Deployment is named for it, with a hash behind.
fn workload(metadata: &Metadata) -> String {
    let Some(owner) = metadata.owner_references.iter().find(|owner| owner.controller) else {
        return format!("Pod/{}", metadata.name);
    };
    let hash = metadata.labels.get("pod-template-hash").filter(|_| owner.kind == "ReplicaSet");
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    match deployment {
        Some(name) => format!("Deployment/{name}"),
        None => format!("{}/{}", owner.kind, owner.name),
    }
}

/// The label and the annotation that the webhook heeds.
fn break_glass(metadata: &Metadata) -> bool {
    let is_true = |value: Option<&String>| value.is_some_and(|value| value == "true");
    is_true(metadata.labels.get("image-policy.k8s.io/break-glass"))
        || is_true(metadata.annotations.get("alpha.image-policy.k8s.io/break-glass"))
}
