//! Limits on what one decision may cost, each with its source. Reaching one denies with its own
//! reason.

/// The limits a decision is made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Images in one request. A Pod of 1.5 MiB (etcd's object limit) cannot name more.
    pub images_max: usize,
    /// Bytes of one image reference. Registries end repository names at 255, tags at 128.
    pub image_bytes_max: usize,
    /// Attestation occurrences read per note and digest.
    pub occurrences_max: usize,
    /// Signatures examined per attestor and image, over all of its occurrences.
    pub signatures_max: usize,
    /// Bytes of one signed payload. Simple-signing payloads are about 300.
    pub payload_bytes_max: usize,
}

impl Limits {
    /// What the daemon uses unless told otherwise.
    pub const DEFAULT: Self = Self {
        images_max: 1_000,
        image_bytes_max: 1_024,
        occurrences_max: 1_000,
        signatures_max: 1_000,
        payload_bytes_max: 65_536,
    };
}
