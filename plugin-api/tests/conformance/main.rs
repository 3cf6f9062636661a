//! The vendor kit against plugins that keep the contract, and against those that break it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken;
mod fixture;
mod growth;
mod honest;
