//! Hallmark.
