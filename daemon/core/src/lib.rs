//! The pure decision core of Hallmark.
//!
//! Data flows one way, and every step here is a function of its arguments:
//!
//! ```text
//! Request + Policy        ── plan   ──► Plan         allowed already, or these attestors are needed
//! Plan + Evidence         ── pair   ──► Vec<Check>   (key, payload, signature)
//! Plan + Verdicts + now   ── decide ──► Decision     carries its whole explanation
//! ```
//!
//! Kept out: files, sockets, clocks, threads, randomness, the environment. `now` and [`limits`] are
//! arguments. An error is never an allow: whatever could not be determined is a
//! [`decision::Reason`] of its own.

pub mod attestor;
pub mod attributes;
pub mod decision;
pub mod document;
pub mod envelope;
pub mod evaluate;
pub mod excerpt;
pub mod image;
pub mod limits;
pub mod names;
pub mod occurrence;
pub mod payload;
pub mod platform;
pub mod policy;
pub mod resource;
pub mod time;
pub mod verdict;
