//! The rules of the house, as tests over the source tree.

mod code;
mod floors;
mod packages;
mod prose;
mod source;
