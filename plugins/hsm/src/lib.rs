//! Keys in PKCS#11 tokens: which are there, and signing with them.
//!
//! - `uri`: names of keys (RFC 7512); `config`: what an instance is told
//! - `public_key`, `algorithm`: what a token says of a key, as the host takes it
//! - `module`, `pin`: the vendor's library and the way past its door
//! - `token`: sessions, and how they come back; `objects`: finding keys; `operation`: using them
//! - `plugin`: all of it behind the plugin contract

mod algorithm;
mod config;
mod deadline;
#[cfg(test)]
mod fixture;
mod module;
mod objects;
mod operation;
mod pin;
mod plugin;
mod public_key;
mod token;
mod uri;

hallmark_plugin_api::export_plugin!(plugin::Hsm);
