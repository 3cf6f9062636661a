//! The relation of each kind of Kubernetes object to images.

/// Kinds of the core group that carry no image. Of the same name in another group nobody knows.
const CORE_WITHOUT_IMAGES: [&str; 13] = [
    "Binding",
    "ConfigMap",
    "Endpoints",
    "Event",
    "LimitRange",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// Groups that come with Kubernetes, none of whose kinds carries an image. Named one by one:
/// `x-k8s.io` and other extensions have kinds that do.
const GROUPS_WITHOUT_IMAGES: [&str; 20] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// The kinds that pods are made from, one name each, for messages.
pub const MAKE_PODS: &str = "CronJob, DaemonSet, Deployment, Job, PodTemplate, ReplicaSet, \
     ReplicationController or StatefulSet";

/// The groups that have kinds with pods, for objects that do not name theirs.
const GROUPS_WITH_PODS: [&str; 3] = ["", "apps", "batch"];

/// The relation of a kind of object to images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It runs them.
    Pod,
    /// Pods are made from it; the path leads to their template, and ends with a dot.
    Template(&'static str),
    /// None.
    Nothing,
    /// Nobody knows.
    Unknown,
}

impl Kind {
    /// By group and kind: in every version that there is they are in the same place.
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Pod") => Self::Pod,
            ("apps" | "extensions", "Deployment" | "ReplicaSet" | "DaemonSet")
            | ("apps", "StatefulSet")
            | ("batch", "Job")
            | ("", "ReplicationController") => Self::Template("spec.template."),
            ("batch", "CronJob") => Self::Template("spec.jobTemplate.spec.template."),
            ("", "PodTemplate") => Self::Template("template."),
            ("", core) if CORE_WITHOUT_IMAGES.contains(&core) => Self::Nothing,
            ("apps" | "extensions", "Scale") | ("apps", "ControllerRevision") => Self::Nothing,
            (group, _) if GROUPS_WITHOUT_IMAGES.contains(&group) => Self::Nothing,
            _ => Self::Unknown,
        }
    }

    /// By what an object says of itself. Items of a list of one kind, and objects written by hand,
    /// may leave `apiVersion` out: then the kind alone says it.
    pub(super) fn of_object(api_version: Option<&str>, kind: &str) -> Self {
        if let Some(version) = api_version {
            return Self::of(group(version), kind);
        }
        let known = GROUPS_WITH_PODS.into_iter().map(|group| Self::of(group, kind));
        known.into_iter().find(|kind| *kind != Self::Unknown).unwrap_or(Self::Unknown)
    }

    /// True if its objects are pods or make them.
    pub(super) fn has_pods(self) -> bool {
        matches!(self, Self::Pod | Self::Template(_))
    }

    /// The text before the `spec` of the pod in the path of a field.
    pub fn path(self) -> &'static str {
        match self {
            Self::Template(path) => path,
            Self::Pod | Self::Nothing | Self::Unknown => "",
        }
    }
}

/// The group of an `apiVersion`: `apps` of `apps/v1`; the core group has no name.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
