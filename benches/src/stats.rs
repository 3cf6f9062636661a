//! Medians, spreads and quantiles.

use std::fmt;

/// Several measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// Takes up all that the other holds.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_by(f64::total_cmp);
    }

    /// The value that half of the measurements do not reach; 0 where there are none.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest measurement that a share `q` of all does not exceed.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let rank = (q * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl fmt::Display for Sample {
    /// The median, with the least and the greatest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3}..{:.3}]", self.median(), self.quantile(0.0), self.quantile(1.0))
    }
}

/// One side of a comparison: how much was done in a second of processor time, and in one by the
/// clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_cpu_second: f64,
    per_second: f64,
}

impl Rate {
    pub(crate) fn new(done: u64, cpu_seconds: f64, seconds: f64) -> Self {
        Self { per_cpu_second: done as f64 / cpu_seconds, per_second: done as f64 / seconds }
    }
}

/// Interleaved pairs of ours and theirs, compared by processor time.
///
/// Where nothing else runs on the core, the clock says the same. Where something does, the clock
/// favours the side with more threads, for the system shares a core out by thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    pub(crate) ours: Sample,
    pub(crate) theirs: Sample,
    pub(crate) ratio: Sample,
    pub(crate) clock_ratio: Sample,
    count: usize,
}

impl Pairs {
    /// Measures `count` pairs, turn about which side goes first, so that a machine that slows
    /// down or is shared does so for both.
    pub(crate) fn measure(
        count: usize,
        mut ours: impl FnMut(usize) -> anyhow::Result<Rate>,
        mut theirs: impl FnMut(usize) -> anyhow::Result<Rate>,
    ) -> anyhow::Result<Self> {
        let mut pairs = Self { count, ..Self::default() };
        for nth in 0..count {
            let (our, their) = if nth % 2 == 0 {
                let our = ours(nth)?;
                (our, theirs(nth)?)
            } else {
                let their = theirs(nth)?;
                (ours(nth)?, their)
            };
            let (ours, theirs) = (our.per_cpu_second, their.per_cpu_second);
            eprintln!("  pair {nth}: {ours:.0} and {theirs:.0} a second of processor time");
            pairs.ours.push(ours);
            pairs.theirs.push(theirs);
            pairs.ratio.push(ours / theirs);
            pairs.clock_ratio.push(our.per_second / their.per_second);
        }
        Ok(pairs)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measurements_by_nearest_rank() {
        let sample: Sample = (1..=1_000).rev().map(f64::from).collect();
        assert_eq!((sample.median(), sample.quantile(0.99)), (500.0, 990.0));
        assert_eq!((sample.quantile(0.999), sample.quantile(1.0)), (999.0, 1_000.0));
        assert_eq!((sample.quantile(0.0), Sample::default().median()), (1.0, 0.0));
    }

    #[test]
    fn a_ratio_is_taken_within_its_pair() {
        let rate = |done| Ok(Rate::new(done, 0.5, 1.0));
        let pairs = Pairs::measure(3, |nth| rate(10 * (nth as u64 + 1)), |_| rate(10)).expect("3");
        assert_eq!((pairs.ratio.median(), pairs.clock_ratio.median()), (2.0, 2.0));
        assert_eq!(pairs.count(), 3);
    }
}
