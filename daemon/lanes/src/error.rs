//! Reasons why an engine or a key is not available.

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

/// The key is not what it is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of P-256, or not in this form.
    #[error("not an uncompressed point of P-256, correct the key")]
    P256,
    /// Not of Ed25519, or in no form that lanes take.
    #[error("not a canonical point of Ed25519's group of prime order, verify with a library")]
    Ed25519,
    /// Not of P-384, or not in this form.
    #[error("not an uncompressed point of P-384, correct the key")]
    P384,
    /// Not of RSA, or of another size or exponent: a library may well verify with it.
    #[error("not an RSA key of 2048, 3072 or 4096 bits with the exponent 65537, use a library")]
    Rsa,
}

/// Why a key cannot be verified with in lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The fault of the machine, or of this package.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The fault of the key.
    #[error(transparent)]
    Key(#[from] KeyError),
}
