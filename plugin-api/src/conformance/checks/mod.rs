//! The checks, by what they look at.

pub(super) mod batches;
pub(super) mod faults;
pub(super) mod file;
pub(super) mod growth;
pub(super) mod keys;
pub(super) mod life_cycle;
pub(super) mod load;
pub(super) mod memory;
pub(super) mod modes;
pub(super) mod truth;
