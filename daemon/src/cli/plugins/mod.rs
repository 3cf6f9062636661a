//! `hallmark plugins`: the installed plugins, and the tools of whoever makes one.

mod bench;
mod child;
mod conformance;
mod inspect;
mod installed;
mod pin;
mod probe;
mod subject;

use clap::Subcommand;

use super::Outcome;

/// Look at plugins, and try one before it is trusted.
#[derive(Debug, Subcommand)]
pub(super) enum Plugins {
    List(installed::List),
    Describe(installed::Describe),
    Inspect(inspect::Inspect),
    Probe(probe::Probe),
    Conformance(conformance::Conformance),
    Bench(bench::Bench),
    Pin(pin::Pin),
    #[command(hide = true, name = child::NAME)]
    Child,
}

impl Plugins {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::List(list) => list.run(),
            Self::Describe(describe) => describe.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Probe(probe) => probe.run(),
            Self::Conformance(conformance) => conformance.run(),
            Self::Bench(bench) => bench.run(),
            Self::Pin(pin) => pin.run(),
            Self::Child => child::run(),
        }
    }
}
