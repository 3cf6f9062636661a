//! The loader, and the safe view of a loaded plugin.
//!
//! `file` reads the bytes and holds them against the pin, `image` maps them and copies the table,
//! `services` is what the daemon does for a plugin, `instance` makes the calls, `batch` and `keys`
//! check everything that comes back.
//!
//! The rest of the daemon may rely on this: the code that runs is the code that was hashed; an
//! image is never unloaded; an instance ends after its last call and snapshot; every length, count,
//! id and verdict in what this module returns was checked. What it cannot give in one process is
//! safety from a plugin that writes where it likes or never returns.

pub(crate) mod batch;
mod error;
mod file;
pub(crate) mod image;
pub(crate) mod in_process;
mod instance;
pub(crate) mod keys;
pub(crate) mod services;
mod throttle;
pub mod worker;

pub use error::{CallError, LoadError, LoadReason, WorkerFault};
pub use file::Pin;
pub use image::{PluginImage, PluginInfo};
pub use instance::{Circumstances, Instance};
pub use keys::{KeyRecord, KeySnapshot};
pub use services::Services;
pub use throttle::Throttle;
pub use worker::{BreakerState, WorkerFiles, WorkerOptions, WorkerStatus};

/// Bounds on what a plugin may say, each far above what any known key or format needs.
pub mod limits {
    /// Bytes of a plugin file. A Rust plugin with a TLS stack and debug lines is about 20 MiB.
    pub const FILE_BYTES: u64 = 64 << 20;
    /// Keys in one snapshot or one piece of inline material.
    pub const KEYS: usize = 65_536;
    /// Bytes of one key id. A Cloud KMS resource name ends at about 500.
    pub const ID_BYTES: usize = 2_048;
    /// Ids of one key.
    pub const IDS: usize = 16;
    /// Bytes of one SubjectPublicKeyInfo. RSA-16384 needs 2,086, ML-DSA-87 2,614.
    pub const SPKI_BYTES: usize = 8_192;
    /// Bytes of a format's own fingerprint.
    pub const FINGERPRINT_BYTES: usize = 64;
    /// Algorithms of one key or plugin.
    pub const ALGORITHMS: usize = 64;
    /// Bytes of the extra attributes of a key.
    pub const ATTRS_BYTES: usize = 16_384;
    /// Bytes of one signature. SLH-DSA-256f, the longest standardised, needs 49,856.
    pub const SIGNATURE_BYTES: usize = 65_536;
    /// Signatures in one blob.
    pub const SIGNATURES: usize = 16;
    /// Bytes of one decoded message or payload.
    pub const MESSAGE_BYTES: usize = 1 << 20;
    /// Bytes of all that is taken out of one blob: 64 KiB of payload, the longest that is stored, once
    /// by itself and once in what was signed for each of its signatures, with 8 KiB beside. A blob
    /// that comes to more is refused, and nothing that came with it in the same call.
    pub const BLOB_BYTES: usize = (64 << 10) + SIGNATURES * ((64 + 8) << 10);
    /// Bytes of an error text or a log line; what is longer is cut.
    pub const TEXT_BYTES: usize = 2_048;
    /// Bytes of the configuration schema.
    pub const SCHEMA_BYTES: usize = 65_536;
    /// URI schemes, and forms, of one plugin.
    pub const CLAIMS: usize = 16;
}
