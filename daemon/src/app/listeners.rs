//! The sockets, and the end of serving.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::StartError;
use crate::config::Config;
use crate::http::Api;
use crate::http::engine::server::{self, Entrance, Reach};
use crate::tls::Tls;

/// Bound, not yet accepting.
#[derive(Debug)]
pub(super) struct Listeners {
    main: StdListener,
    address: SocketAddr,
    metrics: Option<StdListener>,
    tls: Option<Arc<Tls>>,
}

impl Listeners {
    pub(super) fn bind(config: &Config, tls: Option<Arc<Tls>>) -> Result<Self, StartError> {
        raise_descriptor_limit(config.limits.connections_max);
        let main = bind(config.listen)?;
        let bound = main.local_addr();
        let address =
            bound.map_err(|source| StartError::Bind { address: config.listen, source })?;
        Ok(Self { main, address, metrics: config.listen_metrics.map(bind).transpose()?, tls })
    }

    /// Where the main listener is bound.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    pub(super) async fn serve(
        self,
        api: &Arc<Api>,
        mut signals: StopSignals,
    ) -> Result<(), StartError> {
        let main = listen(self.main)?;
        let metrics = self.metrics.map(listen).transpose()?;
        let stop = async {
            signals.received().await;
            tracing::info!("draining");
            api.engine.readiness.start_draining();
        };
        let metrics = async {
            if let Some(listener) = metrics {
                let entrance = Entrance { tls: self.tls.clone(), reach: Reach::Operations };
                let drained = api.engine.readiness.drained();
                server::serve(listener, Arc::clone(api), entrance, drained).await;
            }
        };
        let entrance = Entrance { tls: self.tls.clone(), reach: Reach::Everything };
        let main = server::serve(main, Arc::clone(api), entrance, stop);
        let (drained, ()) = tokio::join!(main, metrics);
        tracing::info!(cut_off = drained.cut_off, "stopped");
        Ok(())
    }
}

/// SIGTERM and SIGINT. From now on they do not end the process by themselves.
#[derive(Debug)]
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Needs a Tokio runtime.
    pub(super) fn expect() -> Result<Self, StartError> {
        let expect = |kind| signal(kind).map_err(StartError::Runtime);
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: expect(terminate)?, interrupt: expect(interrupt)? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Connections that wait to be accepted, up to the system's own limit: a fleet reconnects at once.
/// The standard library asks for 128, and who comes beyond that waits a second to try again.
const BACKLOG: i32 = 4_096;

/// Descriptors beside those of connections: files, the store, plugins and their workers.
const DESCRIPTORS_BESIDE: u64 = 512;

/// Lets the process have as many descriptors as connections need, as far as the system permits: the
/// usual soft limit of 1,024 would be reached by strangers first.
fn raise_descriptor_limit(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(DESCRIPTORS_BESIDE);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    if raised.is_err() || current < needed {
        tracing::warn!(
            descriptors = current,
            needed,
            "fewer file descriptors than connections need: raise the limit (LimitNOFILE=, ulimit \
             -n) or lower limits.connections"
        );
    }
}

fn bind(address: SocketAddr) -> Result<StdListener, StartError> {
    let bound = StdListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    bound.map_err(|source| StartError::Bind { address, source })
}

fn listen(listener: StdListener) -> Result<TcpListener, StartError> {
    TcpListener::from_std(listener).map_err(StartError::Runtime)
}
