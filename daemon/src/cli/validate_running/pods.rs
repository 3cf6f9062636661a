//! The pods that run in a cluster, as `kubectl` prints them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::workload::{Kind, List, Pod, Use, objects};

/// Pods of one cluster, and the list that they are in. Kubernetes supports 150,000 of them (its
/// scalability thresholds).
const OBJECTS_MAX: usize = 1_000_000;

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
        const HINT: &str = "this is not a List of pods as `kubectl get pods -A -o json` prints it: \
                            pipe its output in, or name a file";
        let json = str::from_utf8(json).context(HINT)?;
        let mut running = Self::default();
        for (index, object) in objects(json, OBJECTS_MAX).context(HINT)?.iter().enumerate() {
            if object.kind != Kind::Pod {
                let kind = &object.named;
                bail!("object {index} is a {kind}, and makes pods: list those that run");
            }
            let read = || format!("pod {index} cannot be read");
            let observed: Observed = hallmark_json::from_str(object.json).with_context(read)?;
            match observed.status.phase.as_deref() {
                Some("Succeeded" | "Failed") => running.ended += 1,
                _ => {
                    let pod = object.pod().with_context(read)?;
                    running.pods.push(RunningPod::new(pod, observed).with_context(read)?);
                }
            }
        }
        Ok(running)
    }
}

/// The parts of a pod beside its specification.
#[derive(Deserialize)]
struct Observed {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
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

impl Status {
    /// The digest that runs where the pod names this image; volumes have no status.
    fn digest(&self, used: &Use) -> Option<String> {
        let statuses = match used.list {
            List::Containers => &self.container_statuses,
            List::Init => &self.init_container_statuses,
            List::Ephemeral => &self.ephemeral_container_statuses,
            List::Volumes => return None,
        };
        digest(&statuses.iter().find(|status| *status.name == *used.name)?.image_id)
    }
}

impl RunningPod {
    fn new(pod: Pod, Observed { metadata, status }: Observed) -> anyhow::Result<Self> {
        let mut images: Vec<_> = pod
            .images
            .iter()
            .map(|used| {
                let running = status.digest(used).filter(|_| !used.image.contains('@'));
                RunningImage { image: used.image.to_string(), running }
            })
            .collect();
        images.sort();
        images.dedup();
        Ok(Self {
            workload: workload(&pod.name, &metadata),
            break_glass: pod.break_glass,
            service_account: pod.account().to_string(),
            namespace: pod.namespace.context("it names no namespace")?.to_string(),
            images,
        })
    }
}

/// `sha256:…` of `docker-pullable://registry/repository@sha256:…`. A node that built the image or was
/// handed it by other ways knows no such digest, and names its own `sha256:…` alone.
fn digest(image_id: &str) -> Option<String> {
    let (_, digest) = image_id.rsplit_once('@')?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

/// The workload that made the pod. A ReplicaSet of a Deployment is named for it, with a hash
/// behind.
fn workload(name: &str, metadata: &Metadata) -> String {
    let Some(owner) = metadata.owner_references.iter().find(|owner| owner.controller) else {
        return format!("Pod/{name}");
    };
    let hash = metadata.labels.get("pod-template-hash").filter(|_| owner.kind == "ReplicaSet");
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    match deployment {
        Some(name) => format!("Deployment/{name}"),
        None => format!("{}/{}", owner.kind, owner.name),
    }
}
