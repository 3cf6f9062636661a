//! The program of a worker process, for the tests: the daemon's own does the same when it is
//! called `hallmark plugin-worker`.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;

use hallmark_plugin_api::host::worker;

fn main() -> io::Result<Infallible> {
    worker::main()
}
