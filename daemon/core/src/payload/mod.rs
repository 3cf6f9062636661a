//! Which digest a payload vouches for, and which bytes a signature over it covers.

pub mod pae;
pub mod simple_signing;
