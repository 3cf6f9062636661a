//! The checker of the soak: it is told what was asked, answered and acknowledged, and knows what
//! can never be. It talks to nobody; `tests/soak` is the client that feeds it.

pub mod ledger;
pub mod register;
pub mod trail;

/// Something that must never happen, in words for whoever reads the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise that was broken.
    pub promise: Promise,
    /// The breach that was seen.
    pub what: String,
}

/// A promise of the daemon, which the checker holds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// An answer reflects every write that was acknowledged before it was asked for.
    NothingStale,
    /// No image is allowed without every attestation that its policy requires.
    NothingUnsigned,
    /// An answer is that of the policy and the evidence in force, whatever junk lies beside them.
    RightAnswer,
    /// A write that was acknowledged survives `kill -9`.
    NothingLost,
    /// Every answered decision is in the audit log once.
    RecordedOnce,
    /// The audit log is one chain that only grows.
    OneChain,
    /// The daemon answers, and does not end by itself.
    Serving,
    /// No token is in the daemon's log.
    NothingShown,
    /// Resident memory stays under the bound of `docs/operating.md`.
    Bounded,
}

impl Violation {
    /// A broken promise.
    pub fn new(promise: Promise, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}
