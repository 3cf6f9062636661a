//! The images of an object, and whose they are. Only the specification is read: nothing that an
//! owner, a status, an earlier verdict or the end of the object's life says changes what it runs.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::wire::GroupKind;
use crate::http::webhook::{BREAK_GLASS_ANNOTATION, BREAK_GLASS_LABEL, BREAK_GLASS_VALUE};

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

/// What a kind of object has to do with images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// It runs them.
    Pod,
    /// Pods are made from it; the path leads to their template.
    Template(&'static str),
    /// None.
    Nothing,
    /// Nobody knows.
    Unknown,
}

impl Carries {
    /// By group and kind: in every version that there is they are in the same place.
    pub(super) fn of(kind: &GroupKind<'_>) -> Self {
        match (kind.group.as_ref(), kind.kind.as_ref()) {
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

    /// What comes before the `spec` of the pod in the path of a field.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Template(path) => path,
            Self::Pod | Self::Nothing | Self::Unknown => "",
        }
    }
}

/// The pod that an object is, or makes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) service_account: Box<str>,
    pub(super) break_glass: bool,
    pub(super) images: Vec<Use>,
}

/// An image and what it is used for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Use {
    list: List,
    index: usize,
    name: Box<str>,
    pub(super) image: Box<str>,
}

impl Use {
    /// The path of the field from the pod on.
    pub(super) fn field(&self) -> String {
        let member = if self.list == List::Volumes { "image.reference" } else { "image" };
        format!("spec.{}[{}].{member}", self.list, self.index)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum List {
    Containers,
    Init,
    Ephemeral,
    Volumes,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containers => "containers",
            Self::Init => "initContainers",
            Self::Ephemeral => "ephemeralContainers",
            Self::Volumes => "volumes",
        })
    }
}

impl Pod {
    /// Reads the pod of an object of this kind. Fails with what is wrong with it.
    pub(super) fn read(
        json: &RawValue,
        kind: &GroupKind<'_>,
        carries: Carries,
    ) -> Result<Self, String> {
        let object: Object<'_> =
            serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
        let named = object.kind.as_deref().unwrap_or(&kind.kind);
        if named != kind.kind {
            return Err("its kind is not the one that the review is of".to_owned());
        }
        let template = match (carries, kind.kind.as_ref()) {
            (Carries::Pod, _) => {
                Some(Box::new(Template { metadata: object.metadata, spec: object.spec }))
            }
            (_, "PodTemplate") => object.template,
            (_, "CronJob") => object
                .spec
                .and_then(|spec| spec.job_template)
                .and_then(|job| job.spec)
                .and_then(|spec| spec.template),
            _ => object.spec.and_then(|spec| spec.template),
        };
        let template = template.ok_or_else(|| format!("it has no `{}`", carries.path()))?;
        let spec = template.spec.ok_or_else(|| "its pod has no `spec`".to_owned())?;
        Ok(Self::of(template.metadata.unwrap_or_default(), spec))
    }

    fn of(metadata: Metadata, spec: Spec) -> Self {
        let given = |account: Option<Box<str>>| account.filter(|account| !account.is_empty());
        let service_account = given(spec.service_account_name)
            .or_else(|| given(spec.service_account))
            .unwrap_or_else(|| "default".into());
        let mut images = Vec::new();
        for (list, containers) in [
            (List::Containers, spec.containers),
            (List::Init, spec.init_containers),
            (List::Ephemeral, spec.ephemeral_containers),
        ] {
            for (index, container) in containers.into_iter().flatten().enumerate() {
                let name = container.name.unwrap_or_default();
                images.push(Use { list, index, name, image: container.image.unwrap_or_default() });
            }
        }
        for (index, volume) in spec.volumes.into_iter().flatten().enumerate() {
            if let Some(image) = volume.image {
                let name = volume.name.unwrap_or_default();
                let image = image.reference.unwrap_or_default();
                images.push(Use { list: List::Volumes, index, name, image });
            }
        }
        let break_glass = metadata.labels.is_some_and(|labels| labels.0)
            || metadata.annotations.is_some_and(|annotations| annotations.0);
        Self { service_account, break_glass, images }
    }

    /// Leaves the images that `old` does not use for the same thing. Under another service account
    /// every image is judged anew.
    pub(super) fn keep_changed(&mut self, old: Self) {
        if old.service_account != self.service_account {
            return;
        }
        let known: HashSet<_> =
            old.images.into_iter().map(|old| (old.list, old.name, old.image)).collect();
        self.images.retain(|new| !known.contains(&(new.list, new.name.clone(), new.image.clone())));
    }
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    template: Option<Box<Template>>,
}

#[derive(Deserialize)]
struct Template {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    labels: Option<Asks<Label>>,
    annotations: Option<Asks<Annotation>>,
}

/// The specification of a pod, and of what pods are made from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
    volumes: Option<Vec<Volume>>,
    service_account_name: Option<Box<str>>,
    service_account: Option<Box<str>>,
    template: Option<Box<Template>>,
    job_template: Option<Box<Job>>,
}

#[derive(Deserialize)]
struct Job {
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct Container {
    name: Option<Box<str>>,
    image: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Volume {
    name: Option<Box<str>>,
    image: Option<ImageVolume>,
}

#[derive(Deserialize)]
struct ImageVolume {
    reference: Option<Box<str>>,
}

/// Whether labels or annotations ask for break-glass; nothing else of them is kept.
struct Asks<K>(bool, PhantomData<K>);

trait Key {
    const KEY: &'static str;
}

struct Label;
struct Annotation;

impl Key for Label {
    const KEY: &'static str = BREAK_GLASS_LABEL;
}

impl Key for Annotation {
    const KEY: &'static str = BREAK_GLASS_ANNOTATION;
}

impl<'de, K: Key> Deserialize<'de> for Asks<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AsksVisitor(PhantomData))
    }
}

struct AsksVisitor<K>(PhantomData<K>);

impl<'de, K: Key> Visitor<'de> for AsksVisitor<K> {
    type Value = Asks<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels or annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Asks<K>, A::Error> {
        let mut asked = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == K::KEY {
                asked = map.next_value::<Option<Box<str>>>()?.as_deref() == Some(BREAK_GLASS_VALUE);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Asks(asked, PhantomData))
    }
}
