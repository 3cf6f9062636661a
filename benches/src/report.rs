//! The findings of a benchmark, as one line.

use std::fmt;

use crate::stats::Pairs;

/// `cached vs_nginx=0.83 [0.80..0.85] aim 0.80 (decisions/s 41000, nginx 49400, pairs 7)`
#[derive(Clone, Debug)]
pub(crate) struct Line {
    name: &'static str,
    ratio: Option<String>,
    facts: Vec<String>,
}

impl Line {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ratio: None, facts: Vec::new() }
    }

    /// Ours over theirs by processor time; by the clock it is a fact.
    pub(crate) fn ratio(mut self, against: &str, pairs: &Pairs, aim: f64) -> Self {
        self.ratio = Some(format!("{against}={} aim {aim:.2}", pairs.ratio));
        self.fact("pairs", pairs.count()).fact("by the clock", &pairs.clock_ratio)
    }

    pub(crate) fn fact(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.facts.push(format!("{name} {value}"));
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(ratio) = &self.ratio {
            write!(f, " {ratio}")?;
        }
        write!(f, " ({})", self.facts.join(", "))
    }
}
