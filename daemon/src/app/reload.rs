//! Puts another snapshot in force while requests go on: files that changed, keys that changed, a
//! SIGHUP. What does not fully parse changes nothing; the last good snapshot stays and `/readyz`
//! says why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::metrics::ReloadMetrics;
use super::{Parts, StartError, permissions, system_policy};
use crate::auth::AuthFileError;
use crate::bounded::Bounded;
use crate::cache::EvidenceEpochs;
use crate::config::Config;
use crate::followed::metrics as look;
use crate::http::engine::Engine;
use crate::plugin::Catalog;
use crate::snapshot::Snapshots;
use crate::store::{NextState, Store, Watch, WatchError};
use crate::tls::{Tls, TlsError};

/// Whatever reloads, until stopped.
#[derive(Debug)]
pub(super) struct Reloading {
    _watch: Option<Arc<dyn Watch>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Reloading {
    /// Stops reloading.
    pub(super) fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Time that a reload or a look may take before a message says so: each of its files and key
/// sources ends its own waiting after ten seconds.
const RELOAD_WAIT: Duration = Duration::from_secs(60);
/// Interval at which the files of TLS and of who may do what are compared with what they were.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Starts to follow everything that a snapshot is made of, the certificates and who may do what.
/// Needs a Tokio runtime.
pub(super) fn start(
    parts: &Parts,
    config: &Config,
    tls: Option<Arc<Tls>>,
) -> Result<Reloading, StartError> {
    let reload = Reload {
        store: Arc::clone(&parts.store),
        catalog: Arc::clone(&parts.catalog),
        snapshots: Arc::clone(&parts.snapshots),
        epochs: Arc::clone(&parts.epochs),
        engine: Arc::clone(&parts.api.engine),
        metrics: parts.reloads.clone(),
        config: Arc::new(config.clone()),
        tls,
    };
    let told = reload.clone();
    let told = move |next: Result<NextState, WatchError>| match next {
        Ok(next) => told.everything(Some(next)),
        Err(error) => told.failed(&error),
    };
    let watch = Arc::clone(&parts.store).watch(Box::new(told));
    let watch = watch.map_err(|WatchError::Files(error)| StartError::Files(error))?;
    let watch: Option<Arc<dyn Watch>> = watch.map(Arc::from);
    reload.show_expiry();
    reload.show_looks(watch.as_deref());
    let hangup = signal(SignalKind::hangup()).map_err(StartError::Runtime)?;
    let keys = reload.clone();
    let keys = Arc::clone(&parts.catalog).keep_fresh(move || keys.keys());
    let looking = tokio::spawn(reload.clone().look_from_time_to_time());
    let on_signal = tokio::spawn(reload.on_signal(hangup, watch.clone()));
    Ok(Reloading { _watch: watch, tasks: vec![on_signal, tokio::spawn(keys), looking] })
}

#[derive(Clone)]
struct Reload {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    snapshots: Arc<Snapshots>,
    epochs: Arc<EvidenceEpochs>,
    engine: Arc<Engine>,
    metrics: ReloadMetrics,
    config: Arc<Config>,
    tls: Option<Arc<Tls>>,
}

impl Reload {
    /// Reads the system policy, every project and every key again, of the store its `next` state.
    /// Blocks on the disk.
    fn everything(&self, next: Option<NextState>) {
        let rebuilt = system_policy::read(&self.config).and_then(|system| {
            // All of it or nothing: not before everything else could be read.
            if let Some(next) = next {
                next.put_in_force();
            }
            let generation =
                self.snapshots.rebuild_all(&*self.store, &*self.catalog, Arc::new(system))?;
            // After the swap of the store, before anybody is told: no evaluation of the evidence
            // before it is found again.
            self.epochs.bump_all();
            Ok(generation)
        });
        match rebuilt {
            Ok(generation) => self.loaded(generation),
            Err(error) => self.failed(&error),
        }
    }

    fn loaded(&self, generation: u64) {
        tracing::info!(generation, "reloaded");
        self.metrics.taken();
        self.engine.readiness.snapshot_loaded(generation);
    }

    fn failed(&self, error: &dyn std::error::Error) {
        let chain = chain(error);
        self.metrics.refused();
        tracing::error!(error = %chain, "not reloaded: the last good state stays in force");
        self.engine.readiness.reload_failed(chain);
    }

    async fn on_signal(
        self,
        mut hangup: tokio::signal::unix::Signal,
        watch: Option<Arc<dyn Watch>>,
    ) {
        let reloads = Bounded::new(1);
        while hangup.recv().await.is_some() {
            let (reload, watch) = (self.clone(), watch.clone());
            let work = move || {
                reload.tls_reloaded(reload.tls.as_ref().map(|tls| tls.reload()));
                let guard = &reload.engine.authorizer.guard;
                reload.auth_reloaded(guard.asks().then(|| guard.reload()));
                reload.judge_permissions();
                reload.catalog.refresh();
                match watch {
                    Some(watch) => watch.look_again(),
                    None => reload.everything(None),
                }
            };
            if let Err(error) = reloads.run(Instant::now() + RELOAD_WAIT, work).await {
                self.failed(&error);
            }
        }
    }

    /// Says again which files with secrets others may read. What they may write is not read again.
    fn judge_permissions(&self) {
        let exposed = permissions::judge(&self.config);
        let exposed = exposed.unwrap_or_else(|error| vec![chain(&error)]);
        exposed.iter().for_each(|warning| tracing::warn!("{warning}"));
        self.engine.readiness.secrets_exposed(exposed);
    }

    async fn look_from_time_to_time(self) {
        if self.tls.is_none() && !self.engine.authorizer.guard.asks() {
            return;
        }
        let mut clock = tokio::time::interval(LOOK_INTERVAL);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looks = Bounded::new(1);
        loop {
            clock.tick().await;
            let reload = self.clone();
            let work = move || {
                reload.tls_reloaded(reload.tls.as_ref().and_then(|tls| tls.look()));
                reload.auth_reloaded(reload.engine.authorizer.guard.look());
            };
            if let Err(error) = looks.run(Instant::now() + RELOAD_WAIT, work).await {
                tracing::error!(%error, "certificates and permissions are not looked at");
            }
        }
    }

    /// `None`: nothing has changed.
    fn tls_reloaded(&self, reloaded: Option<Result<(), TlsError>>) {
        let Some(reloaded) = reloaded else { return };
        let error = reloaded.err().map(|error| chain(&error));
        match &error {
            None => tracing::info!("certificates read"),
            Some(error) => {
                tracing::error!(error, "certificates not read: the last good ones serve")
            }
        }
        self.engine.readiness.tls_reloaded(error);
        self.show_expiry();
    }

    /// Has `/readyz` and `/metrics` say when files were last looked at.
    fn show_looks(&self, watch: Option<&dyn Watch>) {
        let looks = [
            (look::CONFIG_DIR, watch.map(Watch::look_time)),
            (look::TLS, self.tls.as_ref().map(|tls| tls.look_time())),
            (look::AUTH, self.engine.authorizer.guard.look_time()),
        ];
        for (files, time) in looks {
            if let Some(time) = time {
                self.engine.readiness.looks_at(files, time);
            }
        }
    }

    fn show_expiry(&self) {
        if let Some(tls) = &self.tls {
            self.engine.tls_metrics.not_after.set(tls.not_after());
        }
    }

    /// `None`: nothing has changed.
    fn auth_reloaded(&self, reloaded: Option<Result<(), AuthFileError>>) {
        let Some(reloaded) = reloaded else { return };
        let error = reloaded.err().map(|error| chain(&error));
        match &error {
            None => tracing::info!("who may do what: read"),
            Some(error) => {
                tracing::error!(error, "who may do what: not read, the last good state holds");
            }
        }
        self.engine.readiness.auth_reloaded(error);
    }

    /// Takes up the keys that the catalog holds now. Blocks while keys are resolved.
    fn keys(&self) {
        let generation = self.snapshots.keys_changed(&*self.catalog);
        tracing::info!(generation, "took up changed keys");
        self.engine.readiness.keys_taken_up(generation);
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
