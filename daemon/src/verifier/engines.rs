//! The engines of lanes: which algorithms they verify, and what each takes of a check.

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::verdict::{Check, SignedForm};
use hallmark_lanes::rsa::{MessageHash, Padding};
use hallmark_lanes::{Engine, EngineError, KeyTable, LaneCheck, rsa, sha256, sha512};

use super::algorithm::key_of_type;
use super::queue::message;

/// What this machine verifies in lanes.
#[derive(Debug)]
pub(super) struct Engines {
    p256: Engine,
    /// Only where the CPU has AVX-512 IFMA: elsewhere the library is as fast.
    rsa: Option<rsa::Engine>,
}

/// The table of one key.
#[derive(Debug)]
pub(super) enum Table {
    P256(KeyTable),
    Rsa(rsa::KeyTable),
}

impl Engines {
    /// Fails if the engine for P-256, which every machine can have, does not hold. An engine for
    /// RSA that does not hold is done without.
    pub(super) fn detect() -> Result<Self, EngineError> {
        let rsa = match rsa::Engine::detect() {
            Err(error @ rsa::EngineError::SelfTest) => {
                tracing::error!(%error, "verifying RSA without lanes");
                None
            }
            found => found.ok(),
        };
        Ok(Self { p256: Engine::detect()?, rsa })
    }

    /// The instructions in use, for metrics and logs.
    pub(super) fn name(&self) -> &'static str {
        self.p256.name()
    }

    /// Whether keys of this algorithm can have a table.
    pub(super) fn have(&self, algorithm: SignatureAlgorithm) -> bool {
        algorithm == SignatureAlgorithm::EcdsaP256Sha256
            || self.rsa.is_some() && rsa_scheme(algorithm).is_some()
    }

    /// Computes a table for signatures of this algorithm only. A key that is not of the algorithm's
    /// type and exact size, or that no engine takes (RSA with an exponent other than 65537), has
    /// none.
    pub(super) fn build(&self, algorithm: SignatureAlgorithm, spki_der: &[u8]) -> Option<Table> {
        let bits = key_of_type(algorithm, spki_der)?;
        if algorithm == SignatureAlgorithm::EcdsaP256Sha256 {
            return self.p256.build_table(bits.try_into().ok()?).ok().map(Table::P256);
        }
        rsa_scheme(algorithm)?;
        self.rsa?.build_table(bits).ok().map(Table::Rsa)
    }

    /// Whether each signature is of this form.
    pub(super) fn good(&self, checks: &[(&Check, &Table)], form: SignedForm) -> Vec<bool> {
        let (mut p256, mut rsa) = (Batch::default(), Batch::default());
        for (slot, &(check, table)) in checks.iter().enumerate() {
            let (message, signature) = (message(check, form), &check.signature[..]);
            match table {
                Table::P256(table) => {
                    let message_hash = sha256(&message);
                    p256.add(slot, LaneCheck { table, message_hash, signature_der: signature });
                }
                Table::Rsa(table) => {
                    let Some((padding, hash)) = rsa_scheme(check.key.algorithm) else { continue };
                    let message_hash = hash(&message);
                    rsa.add(slot, rsa::LaneCheck { table, padding, message_hash, signature });
                }
            }
        }
        let mut good = vec![false; checks.len()];
        p256.settle(&mut good, |checks, good| self.p256.verify_batch(checks, good));
        if let Some(engine) = self.rsa {
            rsa.settle(&mut good, |checks, good| engine.verify_batch(checks, good));
        }
        good
    }
}

impl Table {
    /// The memory that the table takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::P256(table) => table.bytes(),
            Self::Rsa(table) => table.bytes(),
        }
    }
}

/// How a hash is encoded, and which.
type RsaScheme = (Padding, fn(&[u8]) -> MessageHash);

/// The encoding and the hash of an algorithm of RSA. Its size of modulus is that of
/// every key with a table for it.
fn rsa_scheme(algorithm: SignatureAlgorithm) -> Option<RsaScheme> {
    use SignatureAlgorithm as A;
    let by_sha256 = |message: &[u8]| MessageHash::Sha256(sha256(message));
    let by_sha512 = |message: &[u8]| MessageHash::Sha512(sha512(message));
    Some(match algorithm {
        A::RsaPss2048Sha256 | A::RsaPss3072Sha256 | A::RsaPss4096Sha256 => {
            (Padding::Pss, by_sha256)
        }
        A::RsaPss4096Sha512 => (Padding::Pss, by_sha512),
        A::RsaPkcs1_2048Sha256 | A::RsaPkcs1_3072Sha256 | A::RsaPkcs1_4096Sha256 => {
            (Padding::Pkcs1, by_sha256)
        }
        A::RsaPkcs1_4096Sha512 => (Padding::Pkcs1, by_sha512),
        A::EcdsaP256Sha256 | A::EcdsaP384Sha384 | A::EcdsaP521Sha512 | A::MlDsa65 | A::Ed25519 => {
            return None;
        }
    })
}

/// What one engine is asked, and where its verdicts go.
struct Batch<T> {
    slots: Vec<usize>,
    checks: Vec<T>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), checks: Vec::new() }
    }
}

impl<T> Batch<T> {
    fn add(&mut self, slot: usize, check: T) {
        self.slots.push(slot);
        self.checks.push(check);
    }

    fn settle(self, good: &mut [bool], verify: impl FnOnce(&[T], &mut [bool])) {
        let mut verdicts = vec![false; self.checks.len()];
        verify(&self.checks, &mut verdicts);
        for (slot, verdict) in self.slots.into_iter().zip(verdicts) {
            good[slot] = verdict;
        }
    }
}
