//! The JSON of an object, as far as it is read.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use hallmark_json::AtMost;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{BREAK_GLASS_ANNOTATION, BREAK_GLASS_LABEL, BREAK_GLASS_VALUE};

/// A list of what is small in JSON and larger in memory. A pod of 1.5 MiB (etcd's object limit) that
/// can run has far fewer of anything.
pub type Few<T> = AtMost<T, 10_000>;

/// The members that say what an object is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head<'a> {
    #[serde(borrow, default)]
    pub(super) api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) items: Option<Few<&'a RawValue>>,
}

/// An object that is a pod or makes pods.
#[derive(Deserialize)]
pub(super) struct Wire {
    pub(super) metadata: Option<Metadata>,
    pub(super) spec: Option<Spec>,
    pub(super) template: Option<Box<Template>>,
}

#[derive(Deserialize)]
pub(super) struct Template {
    pub(super) metadata: Option<Metadata>,
    pub(super) spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: Option<Box<str>>,
    pub(super) namespace: Option<Box<str>>,
    labels: Option<Asks<Label>>,
    annotations: Option<Annotations>,
}

impl Metadata {
    /// True if its labels or annotations ask for break-glass.
    pub(super) fn asks_for_break_glass(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.0)
            || self.annotations.as_ref().is_some_and(Annotations::ask_for_break_glass)
    }
}

/// The specification of a pod, and of what pods are made from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) containers: Option<Few<Container>>,
    pub(super) init_containers: Option<Few<Container>>,
    pub(super) ephemeral_containers: Option<Few<Container>>,
    pub(super) volumes: Option<Few<Volume>>,
    pub(super) service_account_name: Option<Box<str>>,
    pub(super) service_account: Option<Box<str>>,
    pub(super) template: Option<Box<Template>>,
    pub(super) job_template: Option<Box<Job>>,
}

#[derive(Deserialize)]
pub(super) struct Job {
    pub(super) spec: Option<Spec>,
}

#[derive(Deserialize)]
pub(super) struct Container {
    pub(super) name: Option<Box<str>>,
    pub(super) image: Option<Box<str>>,
}

#[derive(Deserialize)]
pub(super) struct Volume {
    pub(super) name: Option<Box<str>>,
    pub(super) image: Option<ImageVolume>,
}

#[derive(Deserialize)]
pub(super) struct ImageVolume {
    pub(super) reference: Option<Box<str>>,
}

/// Annotations of a pod.
pub type Annotations = Asks<Annotation>;

/// Labels or annotations that may ask for break-glass; nothing else of them is kept.
#[derive(Debug)]
pub struct Asks<K>(bool, PhantomData<K>);

impl<K> Asks<K> {
    /// True if they do.
    pub fn ask_for_break_glass(&self) -> bool {
        self.0
    }
}

/// The key that asks.
trait Key {
    const KEY: &'static str;
}

/// Of labels.
#[derive(Debug)]
struct Label;
/// Of annotations.
#[derive(Debug)]
pub struct Annotation;

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
