//! The resources as their callers see them, over a real key and a store that can be made to fail.

mod attestor;
mod fixture;
mod occurrence;
mod policy;
mod publication;
