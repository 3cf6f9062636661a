//! The operational log: text for people, JSON for machines, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Starts logging. `filter` is in the syntax of `RUST_LOG`, such as `info` or `hallmark=debug`.
pub fn start(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| LogError { filter: filter.to_owned(), error: error.to_string() })?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
    Ok(())
}

/// The filter is not one. The operator is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{filter}` is not a log filter: {error}")]
pub struct LogError {
    filter: String,
    error: String,
}
