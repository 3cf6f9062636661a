//! Keys from PEM, DER, X.509 and JSON Web Key Sets, and signing with private keys in files.
//!
//! - `key`: a `SubjectPublicKeyInfo` and what it allows; `algorithm` has the table of algorithms
//! - `pem`, `certificate`, `jwks`: the forms a key comes in; `material` tells them apart
//! - `config`, `source`: the files and directories of an instance
//! - `sign`: private keys
//! - `plugin`: all of it behind the plugin contract

mod algorithm;
mod certificate;
mod config;
#[cfg(test)]
mod fixture;
mod jwks;
mod key;
mod material;
mod pem;
mod plugin;
mod sign;
mod source;

hallmark_plugin_api::export_plugin!(plugin::Pkix);
