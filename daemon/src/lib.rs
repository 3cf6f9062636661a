//! The Hallmark daemon: sockets, files and the clock around the pure [`hallmark_core`].
//!
//! Modules from the top floor to the ground floor; imports point down only.

pub mod cli;

pub mod app;

pub mod config;

pub mod http;

pub mod admit;
pub mod resources;
pub mod snapshot;

pub mod audit;
pub mod auth;
pub mod cache;
pub mod decision_json;
pub mod evidence;
pub mod plugin;
pub mod store;
pub mod verifier;

pub mod bounded;
pub mod followed;
pub mod log;
pub mod metrics;
pub mod public_key;
pub mod regular_file;
pub mod secret_file;
pub mod timed;
pub mod tls;
pub mod toml_text;
pub mod workload;
