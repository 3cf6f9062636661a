//! Arguments of every verb that asks a daemon for one resource and prints it.

use clap::Args;
use serde_json::Value;

use super::client::{Client, Target};
use super::output::{self, Format};

/// Which daemon, and how to print what it answers.
#[derive(Debug, Args)]
pub(super) struct OnDaemon {
    #[command(flatten)]
    pub(super) target: Target,
    /// Output format.
    #[arg(long, default_value = "yaml")]
    pub(super) format: Format,
}

impl OnDaemon {
    /// A client for the daemon.
    pub(super) fn connect(&self) -> anyhow::Result<Client> {
        self.target.connect()
    }

    /// Prints a resource.
    pub(super) fn print(&self, resource: &Value) -> anyhow::Result<()> {
        output::print(self.format, resource)
    }
}
