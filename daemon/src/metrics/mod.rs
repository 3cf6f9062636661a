//! The metrics of the daemon, in groups. Those of the server stand beside it, in
//! `http::engine::metrics`; names, units and labels are registered here and there and nowhere else.
//! No label holds an image or a digest.

pub mod audit;
pub mod auth;
pub mod cache;
pub mod decision;
pub mod lanes;
pub mod look;
pub mod plugin;
pub mod plugin_worker;
pub mod reload;
pub mod store;
pub mod tls;
pub mod verifier;

use prometheus::{HistogramOpts, Opts};

/// Histogram buckets in seconds that resolve 10 µs to 1 s, three to four a decade.
pub const LATENCY_BUCKETS: [f64; 18] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.003, 0.005,
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
];

/// Options of a latency histogram.
pub fn latency(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts { common_opts: Opts::new(name, help), buckets: LATENCY_BUCKETS.to_vec() }
}
