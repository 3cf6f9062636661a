//! Every reader of bytes from outside, under mutated input: it neither panics nor takes long, and
//! what it reads it writes so that it reads the same again.
//!
//! Each reader has a corpus in `tests/corpus/READER/`, of which `good-…` must be read and `bad-…`
//! refused; `found-…` is what coverage-guided fuzzing came upon (`tests/libfuzzer`), read or refused.
//! The rest of the time goes to mutations. `HALLMARK_FUZZ_SECONDS` says how long (per
//! reader, 2 unless told otherwise), `HALLMARK_FUZZ_SEED` repeats a run.

mod mutate;
mod readers;
mod run;
mod secrets;
mod targets;
