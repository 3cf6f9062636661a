//! Keys from PEM, DER, X.509 and JSON Web Key Sets, and signing with private keys in files.
//!
//! - [`key`]: a `SubjectPublicKeyInfo` and the algorithms it allows; [`algorithm`] has their table
//! - [`pem`], [`certificate`], [`jwks`]: the forms a key comes in; [`material`] tells them apart
//! - [`config`], [`source`]: the files and directories of an instance
//! - [`sign`]: private keys

mod algorithm;
mod certificate;
mod config;
#[cfg(test)]
mod fixture;
mod jwks;
mod key;
mod material;
mod pem;
mod sign;
mod source;
