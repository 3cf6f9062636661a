//! Hallmark from outside.
