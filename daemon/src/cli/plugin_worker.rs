//! `hallmark plugin-worker`: what the daemon runs to host a plugin in a process of its own. Not
//! for people.

use anyhow::Context;
use hallmark_plugin_api::host::worker;

use super::Outcome;

pub(super) fn run() -> anyhow::Result<Outcome> {
    worker::main().map(|never| match never {}).context("this is no command for people")
}
