//! Kubernetes objects, and the images that they start: the one reader for every caller.
//!
//! Only the specification is read: nothing that an owner, a status, an earlier verdict or the end
//! of the object's life says changes what it runs. Members that nobody here needs are passed over,
//! so that objects of every version of Kubernetes are understood; those that are read are read
//! strictly.

mod kind;
mod object;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::HashSet;
use std::fmt;

use hallmark_core::attributes::{AttributeError, Namespace, ServiceAccount};

pub use kind::{Kind, MAKE_PODS};
pub use object::{Object, objects};
pub use wire::{Annotations, Few};

/// The label of a pod that asks for break-glass, where it is [`BREAK_GLASS_VALUE`].
pub const BREAK_GLASS_LABEL: &str = "image-policy.k8s.io/break-glass";

/// The annotation that asked for it before the label did, and is still heard.
pub const BREAK_GLASS_ANNOTATION: &str = "alpha.image-policy.k8s.io/break-glass";

/// The only value of either that asks for anything.
pub const BREAK_GLASS_VALUE: &str = "true";

/// Why an object was refused. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Not JSON, or a member that is read is of another type.
    #[error("{0}")]
    Malformed(String),
    /// It says that it is of another kind than the one that it came as.
    #[error("its kind is not the one that the review is of")]
    OtherKind,
    /// It should make pods and does not say which.
    #[error("it has no `{0}`")]
    NoTemplate(&'static str),
    /// Its pod says nothing of what it runs.
    #[error("its pod has no `spec`")]
    NoSpec,
    /// Its pod runs nothing.
    #[error("it has no containers")]
    NoContainers,
    /// Its namespace or service account is none.
    #[error("its {member} {error}")]
    Attribute {
        /// Which of them.
        member: &'static str,
        /// The fault in it.
        error: AttributeError,
    },
    /// A list that says nothing of what is in it.
    #[error("it is a list and has no `items`")]
    NoItems,
    /// A list of more objects than the caller reads.
    #[error("more than {0} objects: evaluate fewer")]
    TooMany(usize),
    /// An object of a kind that has nothing to do with pods, or that nobody knows.
    #[error("kind `{0}` has no pods: send a Pod, List, {MAKE_PODS}")]
    Kind(String),
}

/// The pod that an object is, or makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The name of the object; empty where it has none.
    pub name: Box<str>,
    /// The namespace of the object, where it names one. A template has no say in it.
    pub namespace: Option<Namespace>,
    /// The service account, where one is named.
    pub service_account: Option<ServiceAccount>,
    /// True if a label or an annotation asks for it.
    pub break_glass: bool,
    /// The images that it starts, in the order of the specification; the same image may stand there
    /// twice. A template may leave images blank, which are not among these: others fill them in,
    /// and the pods are judged.
    pub images: Vec<Use>,
}

/// An image and what it is used for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    /// The list that it stands in.
    pub list: List,
    /// Its place there, from 0.
    pub index: usize,
    /// The name of the container or volume; empty where it has none.
    pub name: Box<str>,
    /// The image as it is named; blank where it is not.
    pub image: Box<str>,
}

/// The lists of a pod that name images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// Those that run.
    Containers,
    /// Those that run first.
    Init,
    /// Those that are added to a running pod.
    Ephemeral,
    /// Those that are mounted.
    Volumes,
}

impl fmt::Display for List {
    /// As the specification spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containers => "containers",
            Self::Init => "initContainers",
            Self::Ephemeral => "ephemeralContainers",
            Self::Volumes => "volumes",
        })
    }
}

impl Use {
    /// The path of the field from the pod on.
    pub fn field(&self) -> String {
        let member = if self.list == List::Volumes { "image.reference" } else { "image" };
        format!("spec.{}[{}].{member}", self.list, self.index)
    }
}

impl Pod {
    /// The service account that it runs as.
    pub fn account(&self) -> ServiceAccount {
        self.service_account.clone().unwrap_or_default()
    }

    /// Each image once, in the order of the specification.
    pub fn distinct_images(&self) -> Vec<Box<str>> {
        let mut seen = HashSet::new();
        let images = self.images.iter().map(|used| &used.image);
        images.filter(|image| seen.insert(*image)).cloned().collect()
    }

    /// Leaves the images that `old` does not use for the same thing. Under another service account
    /// every image is judged again.
    pub fn keep_changed(&mut self, old: Self) {
        if old.account() != self.account() {
            return;
        }
        let known: HashSet<_> =
            old.images.into_iter().map(|old| (old.list, old.name, old.image)).collect();
        self.images.retain(|new| !known.contains(&(new.list, new.name.clone(), new.image.clone())));
    }
}
