//! Construction of metrics. Each group stands beside what it measures, in its module's `metrics`,
//! but for [`cache`], which two modules share. Names, units and labels are said there and nowhere
//! else; no label holds an image or a digest.

pub mod cache;

use prometheus::core::{Atomic, Collector, GenericCounter, GenericCounterVec, GenericGauge};
use prometheus::core::{GenericGaugeVec, Opts};
use prometheus::{Error, Histogram, HistogramOpts, HistogramVec, Registry};

/// Buckets of a histogram in seconds, which resolve 10 µs to 1 s, three to four a decade.
pub const LATENCY_BUCKETS: [f64; 18] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.003, 0.005,
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
];

/// Makes the metrics of one group and registers each. The type that takes the metric says whether it
/// counts in whole numbers.
///
/// # Errors
/// A metric of that name is registered already: a defect of this build.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a>(pub &'a Registry);

impl Group<'_> {
    /// A number that only grows.
    pub fn counter<P: Atomic + 'static>(
        &self,
        name: &str,
        help: &str,
    ) -> Result<GenericCounter<P>, Error> {
        self.registered(GenericCounter::new(name, help))
    }

    /// One for each value of `labels`.
    pub fn counter_vec<P: Atomic + 'static>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GenericCounterVec<P>, Error> {
        self.registered(GenericCounterVec::new(Opts::new(name, help), labels))
    }

    /// A number that comes and goes.
    pub fn gauge<P: Atomic + 'static>(
        &self,
        name: &str,
        help: &str,
    ) -> Result<GenericGauge<P>, Error> {
        self.registered(GenericGauge::new(name, help))
    }

    /// One for each value of `labels`.
    pub fn gauge_vec<P: Atomic + 'static>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GenericGaugeVec<P>, Error> {
        self.registered(GenericGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Counts of values that were at most so much, for each of `buckets`.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(Histogram::with_opts(opts))
    }

    /// One for each value of `labels`.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, Error> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(HistogramVec::new(opts, labels))
    }

    fn registered<M: Collector + Clone + 'static>(
        &self,
        made: Result<M, Error>,
    ) -> Result<M, Error> {
        let metric = made?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
