//! Who is at fault when there is no plugin, no key or no signature.

use hallmark_plugin_api::host::{CallError, LoadError};
use hallmark_plugin_api::{ErrorKind, Failure};

/// The daemon cannot start with these plugins: whoever configures it has to act.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A file was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The directory of the bundled plugins cannot be listed.
    #[error("cannot list the bundled plugins in {}: {source}", dir.display())]
    Directory {
        /// Which.
        dir: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An instance refuses its configuration.
    #[error("plugin `{name}`: {error}")]
    Create {
        /// The instance.
        name: String,
        /// The error that it reports.
        error: CallError,
    },
    /// Two instances have one name.
    #[error("two plugins are named `{0}`: give each a name of its own")]
    Twice(String),
    /// An instance is given ids that its plugin has no keys by.
    #[error(
        "plugin `{name}` has no keys with ids like `{id}`: begin `ids` with its schemes, `{schemes}:`"
    )]
    ForeignIds {
        /// The instance.
        name: String,
        /// The id that it is given.
        id: String,
        /// The schemes that its plugin claims.
        schemes: String,
    },
    /// Two instances are given the same ids.
    #[error("plugins `{}` and `{}` are both given the ids `{id}`: give them to one", names[0], names[1])]
    IdsTwice {
        /// The id that they are given.
        id: String,
        /// The instances.
        names: [String; 2],
    },
    /// A plugin was configured without a path, and none of that name is bundled.
    #[error("no plugin `{0}` comes with this daemon: set its `path` and `sha256`")]
    NotBundled(String),
}

/// A key as written cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The attestor's writer has to act: the material is not a usable key of the declared
    /// algorithm, or the id names nothing.
    #[error("{0}")]
    Material(String),
    /// The key source or its plugin has to act; the key may be right.
    #[error("{0}")]
    Unavailable(String),
}

impl KeyError {
    /// The error for a plugin's answer about inline material.
    pub(super) fn of_material(plugin: &str, error: CallError) -> Self {
        match error {
            CallError::Refused { kind: ErrorKind::Malformed, text } => Self::Material(text),
            error => Self::Unavailable(format!("plugin `{plugin}`: {error}")),
        }
    }
}

/// Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The caller has to act: no instance of this name.
    #[error("no plugin is named `{0}`")]
    UnknownPlugin(String),
    /// The caller has to act: the instance has no such key, or it cannot sign.
    #[error("plugin `{plugin}` has no key `{key}` that can sign")]
    UnknownKey {
        /// The instance.
        plugin: String,
        /// The key.
        key: String,
    },
    /// The plugin lists a public half that may not enter, or of another algorithm.
    #[error("plugin `{plugin}` lists `{key}` with a public key that is refused: {text}")]
    WrongKey {
        /// The instance.
        plugin: String,
        /// The key.
        key: String,
        /// Why.
        text: String,
    },
    /// The plugin refuses this key or algorithm.
    #[error("plugin `{plugin}` does not sign with `{key}`: {failure:?}")]
    Refused {
        /// The instance.
        plugin: String,
        /// The key.
        key: String,
        /// Why.
        failure: Failure,
    },
    /// The key source or its plugin has to act.
    #[error("plugin `{plugin}` cannot sign now: {text}")]
    Unavailable {
        /// The instance.
        plugin: String,
        /// Why.
        text: String,
    },
}
