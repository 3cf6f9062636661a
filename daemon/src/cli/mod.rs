//! The command line: one file for each verb.

mod audit;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Binary Authorization that anyone can run.
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
    /// Look after the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Done, or allowed: exit code 0.
    Done,
    /// Denied, or found wanting: exit code 2.
    Denied,
}

/// Runs the command that the arguments name. 0: done or allowed; 2: denied; 1: failed.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Audit(audit) => audit.run(),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Denied) => ExitCode::from(2),
        Err(error) => {
            eprintln!("hallmark: {error:#}");
            ExitCode::FAILURE
        }
    }
}
