//! The plugin contract of Hallmark.
//!
//! - [`abi`]: the C ABI, layout only; `include/hallmark_plugin.h` is generated from it.
//! - The SDK, for a plugin written in Rust: implement [`Plugin`] in safe code and end the crate
//!   with [`export_plugin!`].
//! - [`textual`]: what a message may say of a text that may hold a private key.
//! - [`host`] (feature `host`): the loader and the safe view of a loaded plugin.
//! - [`conformance`] (feature `conformance`): the vendor kit, which tries a plugin.
//!
//! Three invariants hold on both sides: no memory changes owner across the boundary, nothing
//! unwinds across it, and memory that was not written can never read as "valid".

pub mod abi;

pub mod textual;

mod borrowed;
mod sdk;

/// Configurations and key sets, which come from outside, read strictly.
pub use hallmark_json as json;

pub use sdk::{
    Algorithm, Call, Caps, Curve, Decoded, Error, ErrorKind, Failure, HashFunction, Host, Info,
    Item, Key, KeyFlags, LogLevel, Material, Plugin, Refusal, Scheme, Signed, Snapshot, agreeing,
};

#[doc(hidden)]
pub use sdk::{manifest, thunks};

#[cfg(feature = "host")]
pub mod host;

#[cfg(feature = "conformance")]
pub mod conformance;
