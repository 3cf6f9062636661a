//! Hallmark.
fn main() {}
