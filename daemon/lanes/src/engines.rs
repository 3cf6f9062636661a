//! All algorithms behind one door: which engine of each, keys of any, and batches of mixed checks.

use std::sync::OnceLock;

use crate::digest::Digest;
use crate::{EngineError, KeyError, PrepareError, p256, p384};

/// How signatures are made: the key's type and the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256, signatures in DER; keys are uncompressed points.
    EcdsaP256(Digest),
    /// ECDSA on P-384, signatures in DER; keys are uncompressed points.
    EcdsaP384(Digest),
}

/// Which kernel to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// AVX-512 IFMA: eight signatures an instruction.
    Ifma,
    /// What every 64-bit CPU can do.
    Portable,
}

/// The engines of one kernel. That of P-256 is made at once, the others with their first key: each
/// takes some milliseconds and megabytes, and proves itself with known answers before it is used.
#[derive(Debug)]
pub struct Engines {
    kernel: Kernel,
    p256: p256::Engine,
    p384: OnceLock<Result<p384::Engine, EngineError>>,
}

/// What is computed ahead for one key.
#[derive(Debug)]
pub struct Key(Kind);

#[derive(Debug)]
enum Kind {
    P256(p256::KeyTable),
    P384(p384::KeyTable),
}

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// Of the same engines.
    pub key: &'a Key,
    /// One of the key's type: under any other no signature is good.
    pub algorithm: Algorithm,
    /// What should have been signed.
    pub message: &'a [u8],
    /// The signature, in the algorithm's form.
    pub signature: &'a [u8],
}

impl Kernel {
    /// The fastest kernel of this CPU.
    #[must_use]
    pub fn detect() -> Self {
        if p256::Engine::runs_ifma() { Self::Ifma } else { Self::Portable }
    }

    /// For metrics and `version`: `ifma` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ifma => "ifma",
            Self::Portable => "portable",
        }
    }
}

impl Engines {
    /// The engines of one kernel. Fails if this CPU has not what it takes, or computes wrongly.
    pub fn new(kernel: Kernel) -> Result<Self, EngineError> {
        let p256 = match kernel {
            Kernel::Ifma => p256::Engine::ifma(),
            Kernel::Portable => p256::Engine::portable(),
        }?;
        Ok(Self { kernel, p256, p384: OnceLock::new() })
    }

    /// The kernel of all engines.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Computes what verifying with a key takes: some milliseconds. `public_key` is the bits of the
    /// key's `SubjectPublicKeyInfo`.
    pub fn prepare(&self, algorithm: Algorithm, public_key: &[u8]) -> Result<Key, PrepareError> {
        let kind = match algorithm {
            Algorithm::EcdsaP256(_) => {
                let point = public_key.try_into().map_err(|_| KeyError::P256)?;
                Kind::P256(self.p256.build_table(point)?)
            }
            Algorithm::EcdsaP384(_) => {
                let point = public_key.try_into().map_err(|_| KeyError::P384)?;
                Kind::P384(self.p384()?.build_table(point)?)
            }
        };
        Ok(Key(kind))
    }

    /// Sets `good[i]` to whether `checks[i]` holds. `good` must be as long as `checks`.
    ///
    /// # Panics
    /// If it is not.
    pub fn verify_batch(&self, checks: &[Check<'_>], good: &mut [bool]) {
        assert_eq!(checks.len(), good.len(), "one verdict for each check");
        good.fill(false);
        each_of_a_kind(
            checks,
            good,
            |check| match (&check.key.0, check.algorithm) {
                (Kind::P256(table), Algorithm::EcdsaP256(digest)) => Some(p256::LaneCheck {
                    table,
                    message_hash: digest.number_of(check.message),
                    signature_der: check.signature,
                }),
                _ => None,
            },
            |checks, good| self.p256.verify_batch(checks, good),
        );
        let Some(Ok(p384)) = self.p384.get() else { return };
        each_of_a_kind(
            checks,
            good,
            |check| match (&check.key.0, check.algorithm) {
                (Kind::P384(table), Algorithm::EcdsaP384(digest)) => Some(p384::LaneCheck {
                    table,
                    message_hash: digest.number_of(check.message),
                    signature_der: check.signature,
                }),
                _ => None,
            },
            |checks, good| p384.verify_batch(checks, good),
        );
    }

    fn p384(&self) -> Result<&p384::Engine, EngineError> {
        let engine = self.p384.get_or_init(|| match self.kernel {
            Kernel::Ifma => p384::Engine::ifma(),
            Kernel::Portable => p384::Engine::portable(),
        });
        engine.as_ref().map_err(|&error| error)
    }
}

/// Verifies the checks that `pick` takes together, and puts the verdicts where they belong.
fn each_of_a_kind<'a, T>(
    checks: &[Check<'a>],
    good: &mut [bool],
    pick: impl Fn(&Check<'a>) -> Option<T>,
    verify: impl FnOnce(&[T], &mut [bool]),
) {
    let picked = checks.iter().enumerate().filter_map(|(nth, check)| Some((nth, pick(check)?)));
    let (places, picked): (Vec<_>, Vec<_>) = picked.unzip();
    let mut verdicts = vec![false; picked.len()];
    verify(&picked, &mut verdicts);
    for (place, verdict) in places.into_iter().zip(verdicts) {
        good[place] = verdict;
    }
}

impl Key {
    /// The memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Kind::P256(table) => table.bytes(),
            Kind::P384(table) => table.bytes(),
        }
    }
}
