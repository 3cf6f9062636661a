//! Limits on requests and on what is stored, each with its source. A request beyond one is denied
//! with its own reason. Stored evidence never is: what is beyond a limit is refused at the write,
//! and a decision examines whatever it finds, a portion at a time.

/// The limits a decision is made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Images in one request. A Pod of 1.5 MiB (etcd's object limit) cannot name more.
    pub images_max: usize,
    /// Bytes of one image reference. Registries end repository names at 255, tags at 128.
    pub image_bytes_max: usize,
    /// Attestation occurrences that anybody who may attach can file for one note and digest. A
    /// digest has one for each attestor and pipeline run, some dozens.
    pub occurrences_max: usize,
    /// Signatures of one attestation, and of all attestations that anybody who may attach can file
    /// for one note and digest.
    pub signatures_max: usize,
    /// Bytes of all attestations that anybody who may attach can file for one note and digest: as
    /// many as one read of the store holds.
    pub evidence_bytes_max: usize,
    /// The multiple of one note's limits that may be filed in one project for one digest under all
    /// notes together. A project has a note for each step of its pipeline that signs.
    pub notes_in_project_max: usize,
    /// Attestations beyond these limits that are accepted for one note, digest and key, because the
    /// key verifies them at the write. Each is of another message, so only the key's owner makes
    /// them.
    pub reserved_per_key_max: usize,
    /// Bytes of one signed payload. Simple-signing payloads are about 300.
    pub payload_bytes_max: usize,
}

impl Limits {
    /// The limits of the daemon unless told otherwise.
    pub const DEFAULT: Self = Self {
        images_max: 1_000,
        image_bytes_max: 1_024,
        occurrences_max: 1_000,
        signatures_max: 1_000,
        evidence_bytes_max: 16 << 20,
        notes_in_project_max: 4,
        reserved_per_key_max: 1_000,
        payload_bytes_max: 65_536,
    };
}
