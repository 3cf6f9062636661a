//! The composition root: configuration → metrics, store, plugins, snapshot, gate, listeners.
//!
//! [`run`] builds everything in that order, from the ground up, and serves until a signal says
//! stop. Sockets are bound first, so that a taken port is found before anything is opened.

mod error;
mod listeners;
mod metrics;
mod parts;
pub mod permissions;
mod reload;
mod system_policy;

pub use error::StartError;
pub use parts::{Parts, decide_offline};

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::DumpableBehavior;

use crate::config::Config;
use crate::tls::Tls;
use listeners::{Listeners, StopSignals};

/// Time for blocking work at the end. Requests were given theirs while draining: what is left waits
/// for a disk or a key source that does not answer, and nobody waits for it.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs the daemon until SIGTERM or SIGINT, then lets what is under way finish.
pub fn run(config: &Config) -> Result<(), StartError> {
    close_memory();
    let exposed = permissions::judge(config)?;
    exposed.iter().for_each(|warning| tracing::warn!("{warning}"));
    let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    let listeners = Listeners::bind(config, tls.clone())?;
    let parts = Parts::build(config)?;
    parts.api.engine.readiness.secrets_exposed(exposed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.serve_threads.get())
        .thread_name("serve")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let served = runtime.block_on(async {
        let reloading = reload::start(&parts, config, tls)?;
        // Whoever reads the address may send a signal at once.
        let signals = StopSignals::expect()?;
        announce(config, listeners.address())?;
        listeners.serve(&parts.api, signals).await?;
        reloading.stop();
        Ok(())
    });
    runtime.shutdown_timeout(STOP_TIME_MAX);
    served
}

/// Closes the memory of this process to others of its user, plugins in workers among them. Nothing
/// dumps it any more, either.
fn close_memory() {
    let closed = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = closed {
        tracing::warn!(%error, "the memory of the daemon is open to processes of its user");
    }
}

/// Says where the daemon listens: on standard output, in the log, and in a file for those who asked
/// for port 0. The file appears whole.
fn announce(config: &Config, address: std::net::SocketAddr) -> Result<(), StartError> {
    tracing::info!(%address, "listening");
    // Nobody may be reading, which is no reason not to serve.
    drop(writeln!(std::io::stdout(), "listening on http://{address}"));
    let Some(path) = &config.port_file else { return Ok(()) };
    let write = || {
        let unfinished = path.with_extension("tmp");
        let mut file = std::fs::File::create(&unfinished)?;
        writeln!(file, "{address}")?;
        std::fs::rename(&unfinished, path)
    };
    write().map_err(|source| StartError::PortFile { path: path.clone(), source })
}
