//! The resources as their callers see them, over a real key and a store that can be made to fail.

mod attestor;
pub(crate) mod fixture;
mod occurrence;
mod policy;
mod publication;
mod replicas;
