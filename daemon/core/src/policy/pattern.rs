//! Allowlist patterns, grammar A.

/// One `namePattern`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowlistPattern {
    text: Box<str>,
}
