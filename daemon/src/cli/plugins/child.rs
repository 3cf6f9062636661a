//! The disposable process in which a plugin is tried: this program again, with a hidden verb.

use std::process::Command;

use hallmark_plugin_api::conformance::{self, Program};
use hallmark_plugin_api::host::{KeyRecord, PluginInfo};

use crate::cli::Outcome;
use crate::{plugin, verifier};

/// The hidden verb.
pub(super) const NAME: &str = "child";

/// Starts this very program, even where its file was replaced meanwhile.
pub(super) fn start() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["plugins", NAME]);
    command
}

pub(super) fn run() -> anyhow::Result<Outcome> {
    let worker_arguments = &["plugin-worker"];
    conformance::answer(Program { verifies: verifier::verify_one, judge, worker_arguments })?;
    Ok(Outcome::Done)
}

fn judge(records: &[KeyRecord], info: &PluginInfo) -> Vec<(String, String)> {
    plugin::judge(records, info).into_iter().map(|refused| (refused.id, refused.why)).collect()
}
