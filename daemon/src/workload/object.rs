//! From an object, or a list of them, to its pods.

use std::borrow::Cow;
use std::str::FromStr;

use hallmark_core::attributes::AttributeError;
use hallmark_core::excerpt::Excerpt;
use serde::Deserialize;

use super::kind::group;
use super::wire::{Head, Metadata, Spec, Template, Wire};
use super::{Kind, List, Pod, Use, WorkloadError};

/// Characters of a kind that an error repeats.
const KIND_CHARS_MAX: usize = 64;

/// One object that is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// It as it came.
    pub json: &'a str,
    /// The relation of its kind to images.
    pub kind: Kind,
    /// The kind as it is named.
    pub named: Box<str>,
}

impl<'a> Object<'a> {
    /// An object of which others say what it is. Fails where it says something else itself.
    pub fn reviewed(json: &'a str, group: &str, kind: &str) -> Result<Self, WorkloadError> {
        let head: Head<'_> = read(json)?;
        let other_kind = head.kind.is_some_and(|own| own != kind);
        let other_group = head.api_version.is_some_and(|own| self::group(&own) != group);
        match other_kind || other_group {
            true => Err(WorkloadError::OtherKind),
            false => Ok(Self { json, kind: Kind::of(group, kind), named: kind.into() }),
        }
    }

    /// The pod that it is, or makes.
    pub fn pod(&self) -> Result<Pod, WorkloadError> {
        let Wire { metadata, spec, template } = read(self.json)?;
        let metadata = metadata.unwrap_or_default();
        let path = self.kind.path();
        let (own, spec) = match path {
            "" => (None, spec),
            _ => {
                let template = match path {
                    "template." => template,
                    "spec.template." => spec.and_then(|spec| spec.template),
                    _ => job_template(spec),
                };
                let found = template.ok_or(WorkloadError::NoTemplate(path))?;
                let Template { metadata, spec } = *found;
                (Some(metadata.unwrap_or_default()), spec)
            }
        };
        let spec = spec.ok_or(WorkloadError::NoSpec)?;
        let break_glass = own.as_ref().unwrap_or(&metadata).asks_for_break_glass();
        pod(self.kind, metadata, spec, break_glass)
    }
}

fn job_template(spec: Option<Spec>) -> Option<Box<Template>> {
    spec?.job_template?.spec?.template
}

fn pod(
    kind: Kind,
    metadata: Metadata,
    spec: Spec,
    break_glass: bool,
) -> Result<Pod, WorkloadError> {
    let account = given(spec.service_account_name).or_else(|| given(spec.service_account));
    let service_account = attribute("service account", account.as_deref())?;
    let namespace = attribute("namespace", given(metadata.namespace).as_deref())?;
    let mut images = Vec::new();
    for (list, containers) in [
        (List::Containers, spec.containers),
        (List::Init, spec.init_containers),
        (List::Ephemeral, spec.ephemeral_containers),
    ] {
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let (name, image) = (container.name, container.image.unwrap_or_default());
            images.push(Use { list, index, name: name.unwrap_or_default(), image });
        }
    }
    for (index, volume) in spec.volumes.into_iter().flatten().enumerate() {
        if let Some(image) = volume.image {
            let (name, image) = (volume.name, image.reference.unwrap_or_default());
            images.push(Use { list: List::Volumes, index, name: name.unwrap_or_default(), image });
        }
    }
    if images.is_empty() {
        return Err(WorkloadError::NoContainers);
    }
    if kind != Kind::Pod {
        // "This field is optional to allow higher level config management to default or override
        // container images in workload controllers", as the API has it of both kinds of images.
        images.retain(|used| !used.image.trim().is_empty());
    }
    let name = metadata.name.unwrap_or_default();
    Ok(Pod { name, namespace, service_account, break_glass, images })
}

/// The text if one is written: to Kubernetes an empty text is none.
fn given(text: Option<Box<str>>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty())
}

fn attribute<T: FromStr<Err = AttributeError>>(
    member: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, WorkloadError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error| WorkloadError::Attribute { member, error })
}

/// The objects in `json`, which is one, or a list of at most `max` in all, lists in it included;
/// each is a pod or makes pods.
pub fn objects(json: &str, max: usize) -> Result<Vec<Object<'_>>, WorkloadError> {
    let mut found = Vec::new();
    // The values left to look at, the next one last, each with the kind that its list gives it.
    let mut rest = vec![(json, String::new())];
    let mut seen = 0;
    while let Some((json, of_list)) = rest.pop() {
        seen += 1;
        if seen > max {
            return Err(WorkloadError::TooMany(max));
        }
        let Head { api_version, kind, items } = read(json)?;
        let named = kind.map_or(of_list, Cow::into_owned);
        let kind = Kind::of_object(api_version.as_deref(), &named);
        if kind.has_pods() {
            found.push(Object { json, kind, named: named.into() });
        } else if let Some(item) = item_kind(api_version.as_deref(), &named) {
            let items = items.ok_or(WorkloadError::NoItems)?.into_iter().rev();
            rest.extend(items.map(|json| (json.get(), item.to_owned())));
        } else {
            return Err(WorkloadError::Kind(Excerpt::<KIND_CHARS_MAX>(&named).to_string()));
        }
    }
    Ok(found)
}

/// The kind that the items of a list may leave out: `Pod` of `PodList`; empty of a `List`, whose
/// items are of any kind. `None` where this is no list of objects with pods.
fn item_kind<'a>(api_version: Option<&str>, kind: &'a str) -> Option<&'a str> {
    let item = kind.strip_suffix("List")?;
    (item.is_empty() || Kind::of_object(api_version, item).has_pods()).then_some(item)
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, WorkloadError> {
    hallmark_json::from_str(json).map_err(|error| WorkloadError::Malformed(error.to_string()))
}
