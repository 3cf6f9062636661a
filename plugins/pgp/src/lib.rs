//! Keys, signatures and signing in OpenPGP (RFC 9580).
//!
//! - `packet`: armor and framing; `key`: a public key as the host takes it; `signature`: what a
//!   signature is over
//! - `certificate`: which keys of a certificate sign, from and to when; `policy`: what is too weak
//! - `message`: a signature blob, attached or detached
//! - `material`, `config`, `keyring`: the forms and files that certificates come in
//! - `sign`: secret keys in files; `rsa`: the arithmetic of those of RSA
//! - `plugin`: all of it behind the plugin contract

mod certificate;
mod config;
mod key;
mod keyring;
mod material;
mod message;
mod packet;
mod plugin;
mod policy;
mod rsa;
mod sign;
mod signature;
#[cfg(test)]
mod tests;

hallmark_plugin_api::export_plugin!(plugin::Pgp);
