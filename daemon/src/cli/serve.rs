//! `hallmark serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Outcome;
use crate::audit::Durability;
use crate::auth::written::AuthSection;
use crate::config::Config;
use crate::config::audit::AuditSection;
use crate::config::file::{File, TlsSection};
use crate::{app, log};

/// Run the daemon. Stops on SIGTERM after finishing what is under way; SIGHUP reloads.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A configuration file (TOML). Flags win over it.
    #[arg(long, value_name = "FILE", env = "HALLMARK_CONFIG")]
    config: Option<PathBuf>,
    /// Keep resources in a database in this directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Read resources from files under this directory; the API is then read only.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Where to listen; port 0 lets the system choose. [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// A listener of its own for /metrics and the health routes.
    #[arg(long, value_name = "ADDR:PORT")]
    listen_metrics: Option<SocketAddr>,
    /// Serve TLS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM).
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Believe client certificates of these CAs (PEM).
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Revocation lists of --tls-client-ca (PEM); a certificate whose list is missing or expired is
    /// not believed.
    #[arg(long, value_name = "FILE")]
    tls_client_crl: Option<PathBuf>,
    /// Who may do what (TOML, docs/security.md). Without it, everybody on this machine everything.
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,
    /// Refuse files with secrets that others than their owner may read; without it they are named in
    /// a warning. What others may write is always refused.
    #[arg(long)]
    strict_permissions: bool,
    /// Write the bound address to this file.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// A policy document whose allowlist patterns are the system policy, instead of the bundled
    /// one.
    #[arg(long, value_name = "FILE")]
    system_policy: Option<PathBuf>,
    /// Where the audit log lies. [default: audit in the data directory]
    #[arg(long, value_name = "DIR")]
    audit_dir: Option<PathBuf>,
    /// The promise of an answer about its audit record: write survives a crash of the daemon, fsync
    /// a power failure. [default: write]
    #[arg(long, value_name = "write|fsync", value_parser = durability)]
    audit_durability: Option<Durability>,
    /// Log filter, in the syntax of RUST_LOG.
    #[arg(long, value_name = "FILTER", env = "HALLMARK_LOG", default_value = "info")]
    log: String,
    /// Format of log lines.
    #[arg(long, default_value = "text")]
    log_format: log::Format,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        log::start(self.log_format, &self.log)?;
        app::run(&self.config()?)?;
        Ok(Outcome::Done)
    }

    /// The configuration from the flags and the file together.
    pub(super) fn config(self) -> anyhow::Result<Config> {
        let below = self.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let cores = std::thread::available_parallelism().context("how many cores are there?")?;
        Ok(self.file().over(below).resolve(cores.get())?)
    }

    fn file(self) -> File {
        File {
            listen: self.listen,
            listen_metrics: self.listen_metrics,
            port_file: self.port_file,
            data_dir: self.data_dir,
            config_dir: self.config_dir,
            system_policy: self.system_policy,
            strict_permissions: self.strict_permissions.then_some(true),
            tls: TlsSection {
                cert: self.tls_cert,
                key: self.tls_key,
                client_ca: self.tls_client_ca,
                client_crl: self.tls_client_crl,
            },
            auth: self.auth.map(|file| AuthSection { file: Some(file), ..AuthSection::default() }),
            audit: AuditSection {
                dir: self.audit_dir,
                durability: self.audit_durability,
                ..AuditSection::default()
            },
            ..File::default()
        }
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "write" => Ok(Durability::Write),
        "fsync" => Ok(Durability::Fsync),
        _ => Err("expected write or fsync".to_owned()),
    }
}
