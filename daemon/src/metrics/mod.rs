//! Placeholder.

pub mod cache;
pub mod verifier;
