//! One reader under libFuzzer: the one that `HALLMARK_FUZZ_READER` names.
#![no_main]

#[path = "../fuzz/readers/mod.rs"]
mod readers;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static READER: LazyLock<readers::Reader> = LazyLock::new(|| {
    let name = std::env::var("HALLMARK_FUZZ_READER").expect("HALLMARK_FUZZ_READER names a reader");
    readers::reader(&name).unwrap_or_else(|| panic!("no reader is called {name}"))
});

fuzz_target!(|input: &[u8]| {
    // Refusing is what most inputs deserve; panics are faults.
    drop(READER(input));
});
