//! The command line: one file for each noun. `serve` runs the daemon, `audit` and `plugins` look
//! after what it keeps and loads, the others talk to a daemon over HTTP. `gcloud` is why a script
//! for Google's tool runs.

mod attestations;
mod attestors;
mod audit;
mod check;
mod client;
mod decide;
mod documents;
mod gcloud;
mod iam;
mod identity;
mod kms;
mod notes;
mod on_daemon;
mod output;
mod platform;
mod plugin_worker;
mod plugins;
mod policy;
mod public_keys;
mod serve;
mod sign;
mod token;
mod transfer;
mod validate_running;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::log;

/// Binary Authorization that anyone can run.
///
/// A script for Google's tool runs with `hallmark` in the place of `gcloud`: the words `container
/// binauthz`, with `beta` or `alpha` before them, and --project, --format and --quiet before all
/// words are understood.
///
/// Exit codes: 0 done or allowed, 2 denied, 1 failed.
#[derive(Debug, Parser)]
#[command(name = "hallmark", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(Box<serve::Serve>),
    Check(Box<check::Check>),
    Decide(decide::Decide),
    ValidateRunning(validate_running::ValidateRunning),
    /// Read, write and try out a project's policy.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// The authorities whose keys are trusted.
    #[command(subcommand)]
    Attestors(attestors::Attestors),
    /// The notes under which attestations are filed.
    #[command(subcommand)]
    Notes(notes::Notes),
    /// Signed statements about image digests.
    #[command(subcommand)]
    Attestations(Box<attestations::Attestations>),
    CreateSignaturePayload(attestations::CreateSignaturePayload),
    Export(transfer::Export),
    Import(transfer::Import),
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// Host a plugin for the daemon that started this process.
    #[command(hide = true)]
    PluginWorker,
    /// Look after the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Print the version, and what verifies signatures in lanes on this machine.
    Version,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The outcome of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Done, or allowed: exit code 0.
    Done,
    /// Denied, or found wanting: exit code 2.
    Denied,
}

/// Runs the command that the arguments name. 0: done or allowed; 2: denied; 1: failed.
pub fn main() -> ExitCode {
    keep_memory_private();
    let cli = match Cli::try_parse_from(gcloud::arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Denied) => ExitCode::from(2),
        Err(error) => {
            eprintln!("hallmark: {}", log::shown(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Keeps keys, PINs and tokens in memory out of core files, and memory from being read by other
/// processes of the same user.
fn keep_memory_private() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let private = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let coreless = rustix::process::setrlimit(Resource::Core, none);
    if let Err(error) = private.and(coreless) {
        eprintln!("hallmark: a core file of this process may hold keys: {error}");
    }
}

/// Prints help, the version or what is wrong with the arguments. Wrong arguments are 1, for 2 says
/// that an image was denied.
fn usage(error: &clap::Error) -> ExitCode {
    if let Err(unprintable) = error.print() {
        eprintln!("hallmark: {unprintable}");
    }
    if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Command {
    fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Check(check) => check.run(),
            Self::Decide(decide) => decide.run(),
            Self::ValidateRunning(validate) => validate.run(),
            Self::Policy(policy) => policy.run(),
            Self::Attestors(attestors) => attestors.run(),
            Self::Notes(notes) => notes.run(),
            Self::Attestations(attestations) => attestations.run(),
            Self::CreateSignaturePayload(create) => create.run(),
            Self::Export(export) => export.run(),
            Self::Import(import) => import.run(),
            Self::Plugins(plugins) => plugins.run(),
            Self::PluginWorker => plugin_worker::run(),
            Self::Audit(audit) => audit.run(),
            Self::Version => {
                let lanes = hallmark_lanes::Kernel::detect().name();
                output::bytes(concat!("hallmark ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())?;
                output::bytes(format!("lanes {lanes}\n").as_bytes())?;
                Ok(Outcome::Done)
            }
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "hallmark", &mut script);
                output::bytes(&script)?;
                Ok(Outcome::Done)
            }
        }
    }
}
