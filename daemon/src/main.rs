//! The `hallmark` binary: maps an outcome to an exit code and does nothing else.

use std::process::ExitCode;

use hallmark::cli;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
