//! `hallmark serve` on one core: one thread that serves, one that verifies, audit log on.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use serde_json::{Value, json};

use crate::connection::{Connection, request};
use crate::corpus::{Attested, PROJECT};
use crate::server::Server;
use crate::{cores, ndjson};

/// Occurrences in one `batchCreate`: the limit of the API.
const BATCH: usize = 1_000;

/// Bytes that the daemon may remember.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caches {
    pub(crate) verdict_mib: u64,
    pub(crate) evaluation_mib: u64,
}

impl Caches {
    /// The daemon's own defaults.
    pub(crate) const DEFAULT: Self = Self { verdict_mib: 64, evaluation_mib: 256 };
}

/// A daemon and the directory that it lives in.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) server: Server,
}

impl Daemon {
    /// Starts a daemon on the store in `dir`, with all defaults but the threads, `caches`, and what
    /// one principal may have recorded: one client at full speed is what is measured.
    pub(crate) fn start(dir: &Path, caches: Caches) -> anyhow::Result<Self> {
        Self::start_with(dir, caches, "")
    }

    /// The same, with this configuration beside.
    pub(crate) fn start_with(dir: &Path, caches: Caches, toml: &str) -> anyhow::Result<Self> {
        let (config, port_file) = (dir.join("hallmark.toml"), dir.join("address"));
        std::fs::write(&config, configuration(caches) + toml)?;
        if port_file.exists() {
            std::fs::remove_file(&port_file)?;
        }
        let mut command = cores::on_server_core(binary()?);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--config").arg(&config);
        command.arg("--data-dir").arg(dir.join("data"));
        command.arg("--port-file").arg(&port_file);
        command.env("HALLMARK_LOG", "warn").stdout(Stdio::null());
        let address = || std::fs::read_to_string(&port_file).ok()?.trim().parse().ok();
        Ok(Self { server: Server::start(&mut command, address)? })
    }

    /// Creates the policy and the attestor, by these calls.
    pub(crate) fn set_up(&self, calls: Vec<(&str, String, Value)>) -> anyhow::Result<()> {
        let mut connection = self.connect()?;
        for (method, path, body) in calls {
            let request = request(method, &path, body.to_string().as_bytes());
            connection.call(&request).with_context(|| format!("{method} {path}"))?;
        }
        Ok(())
    }

    /// Files the attestations through the API.
    pub(crate) fn file(&self, images: &[Attested]) -> anyhow::Result<()> {
        let mut connection = self.connect()?;
        let path = format!("/v1/projects/{PROJECT}/occurrences:batchCreate");
        for batch in images.chunks(BATCH) {
            let occurrences: Vec<_> = batch.iter().map(Attested::occurrence).collect();
            let body = json!({"occurrences": occurrences}).to_string();
            connection.call(&request("POST", &path, body.as_bytes()))?;
        }
        Ok(())
    }

    /// Asks for every image once, through one stream.
    pub(crate) fn stream(&self, images: &[String]) -> anyhow::Result<ndjson::Streamed> {
        ndjson::ask(self.connect()?, images)
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.server.address, false)
    }
}

/// True if the body of an answer allows. The decision says so first.
pub(crate) fn allows(body: &[u8]) -> bool {
    body.starts_with(br#"{"allowed":true,"#)
}

/// True if the body of an answer about one image says that it was worked out before.
pub(crate) fn is_cached(body: &[u8]) -> bool {
    body.ends_with(br#""cached":true}]}"#)
}

fn configuration(caches: Caches) -> String {
    let Caches { verdict_mib, evaluation_mib } = caches;
    format!(
        "serve_threads = 1\n\
         [audit]\nprincipal_kib_per_second = 1048576\nprincipal_burst_mib = 8192\n\
         [verifier]\nthreads = 1\n\
         [cache]\nverdict_mib = {verdict_mib}\nevaluation_mib = {evaluation_mib}\n"
    )
}

pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("hallmark");
    anyhow::ensure!(path.exists(), "{} is not built: run `make bench`", path.display());
    Ok(path)
}
