//! The tools of the end-to-end tests: a real daemon, real keys, a real client.

pub mod admission;
pub mod audit;
pub mod client;
pub mod daemon;
pub mod gpg;
pub mod http2;
pub mod keys;
pub mod memory_bound;
pub mod pki;
pub mod project;
pub mod soak;
pub mod token;
pub mod wire;
