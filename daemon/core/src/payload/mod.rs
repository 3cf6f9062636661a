//! Which digest a payload vouches for, and which bytes a signature over it covers.
//!
//! [`simple_signing`] is the JSON that an attestation holds. A signature covers either its bytes
//! as stored or their [`pae`] encoding; nothing in the attestation says which.

pub mod pae;
pub mod simple_signing;
