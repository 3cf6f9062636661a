//! The contract from outside: its header, its loader, a plugin in C and one in Rust.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod c_plugin;
mod fixture;
mod header;
mod hostile;
mod loading;
mod rust_plugin;
mod worker;
