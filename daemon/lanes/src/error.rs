//! Why an engine or a key is not to be had.

/// Why an engine must not be used here. Verify with another library instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// This CPU lacks AVX-512 IFMA.
    #[error("this CPU has no AVX-512 IFMA, use another engine")]
    Unsupported,
    /// A known answer came out wrong.
    #[error("self-test of the {0} engine failed, do not use it on this machine")]
    SelfTest(&'static str),
}

/// The key is not one of the algorithm, or not in the form that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of {0}, correct the key")]
pub struct KeyError(pub(crate) &'static str);
