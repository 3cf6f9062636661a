//! Why the daemon did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::audit::OpenError;
use crate::auth::AuthFileError;
use crate::config::ConfigError;
use crate::plugin::PluginError;
use crate::secret_file::SecretFileError;
use crate::store::StoreError;
use crate::store::files::FilesError;
use crate::tls::TlsError;
use crate::verifier::VerifierError;

/// Why the daemon did not start. The operator, or the machine, is at fault.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be.
    #[error("the configuration cannot be")]
    Config(#[from] ConfigError),
    /// The certificates cannot be used.
    #[error("cannot serve TLS")]
    Tls(#[from] TlsError),
    /// It is not clear who may do what.
    #[error("cannot read who may do what")]
    Auth(#[from] AuthFileError),
    /// A file that holds a secret is missing, or not its owner's alone. A missing one is not named:
    /// the secret itself may have been written where its file belongs.
    #[error("the file of {setting}")]
    SecretFile {
        /// The setting that names the file.
        setting: String,
        /// Who else may do what.
        #[source]
        error: SecretFileError,
    },
    /// Others may read a secret, and `strict_permissions` forbids it.
    #[error("{0} (strict_permissions)")]
    ReadableSecret(String),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// `--data-dir` cannot be used.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// `--config-dir` does not make sense.
    #[error("cannot read the resources")]
    Files(#[from] FilesError),
    /// A plugin cannot be loaded or configured.
    #[error("cannot load the plugins")]
    Plugin(#[from] PluginError),
    /// The system policy cannot be read.
    #[error("cannot read the system policy {path}: {error}")]
    SystemPolicy {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The arithmetic is wrong, or there are no threads for it.
    #[error("cannot start the verifier")]
    Verifier(#[from] VerifierError),
    /// The audit log cannot be opened; without it everything would be denied.
    #[error("cannot open the audit log in {dir}")]
    Audit {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// Two metrics of one name: a defect of this build.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The system gives no threads.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The port file cannot be written.
    #[error("cannot write the port file {path}")]
    PortFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
