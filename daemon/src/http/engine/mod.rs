//! The server: sockets, limits, draining, routes, who may use them, and the record of writes. It
//! hands each request to the endpoint of its route.

pub mod access;
pub mod browser_guard;
pub mod capacity;
pub mod error;
pub mod exchange;
pub mod limits;
pub mod metrics;
pub mod readiness;
pub mod routes;
pub mod server;
pub mod writing;

pub(super) mod answer_body;
pub(super) mod body;
pub(super) mod dispatch;
pub(super) mod flow;
pub(super) mod guarded_io;
pub(super) mod holder;
pub(super) mod pace;
pub(super) mod room;
pub(super) mod slots;

mod connections;

use crate::tls::metrics::TlsMetrics;
use access::Authorizer;
use browser_guard::BrowserGuard;
use capacity::Capacity;
use limits::ServerLimits;
use metrics::HttpMetrics;
use readiness::Readiness;
use writing::WriteLog;

/// Common parts for serving requests, whatever they ask for. One per daemon.
#[derive(Debug)]
pub struct Engine {
    /// Limits on requests from outside.
    pub limits: ServerLimits,
    /// Room for what is under way, within `limits`.
    pub capacity: Capacity,
    /// Counts requests, connections and sheds.
    pub metrics: HttpMetrics,
    /// Metrics of TLS.
    pub tls_metrics: TlsMetrics,
    /// If requests may come, and when that ends.
    pub readiness: Readiness,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// Tells requests of web pages from those of programs.
    pub browser_guard: BrowserGuard,
    /// The record of writes.
    pub write_log: WriteLog,
}

impl Engine {
    /// Brings up to date what is only measured when somebody looks.
    pub(in crate::http) fn refresh_metrics(&self) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.bodies.set(gauge(self.capacity.bodies.count()));
        self.metrics.answer_bytes.set(gauge(self.capacity.flows.held()));
    }
}
