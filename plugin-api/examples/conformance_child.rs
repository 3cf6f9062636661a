//! The child in which the tests run a check, and the worker of that child. Its arithmetic is that
//! of the toy plugins: a signature is the message XOR the one byte of the key, and in
//! `tests/broken` one byte more.

use hallmark_plugin_api::Algorithm;
use hallmark_plugin_api::conformance::{Program, answer};
use hallmark_plugin_api::host::worker;

const WORKER: &str = "worker";

fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some(WORKER) {
        return worker::main().map(|never| match never {});
    }
    answer(Program { judge: |_, _| Vec::new(), verifies, worker_arguments: &[WORKER] })
}

fn verifies(_: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let mask = key.first().copied().unwrap_or_default();
    let signed: Vec<u8> = message.iter().map(|byte| byte ^ mask).collect();
    signature == signed || signature == [&signed[..], &[mask ^ 0x5A]].concat()
}
