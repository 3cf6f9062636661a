//! All algorithms behind one door: which engine of each, keys of any, and batches of mixed checks.

use std::sync::OnceLock;

use crate::digest::Digest;
use crate::rsa::{self, MessageHash, Padding};
use crate::{EngineError, KeyError, PrepareError, ed25519, p256, p384};

/// A way to make signatures: the key's type and the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256, signatures in DER; keys are uncompressed points.
    EcdsaP256(Digest),
    /// ECDSA on P-384, signatures in DER; keys are uncompressed points.
    EcdsaP384(Digest),
    /// Ed25519; keys are 32 bytes, of the group of prime order.
    Ed25519,
    /// RSASSA-PKCS1-v1_5; keys are `RSAPublicKey` in DER, of 2,048, 3,072 or 4,096 bits.
    RsaPkcs1(Digest),
    /// RSASSA-PSS with MGF1 over the same hash, and a salt as long as the hash or as can be; keys
    /// as above.
    RsaPss(Digest),
}

/// Which kernel to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// AVX-512 IFMA: eight signatures an instruction.
    Ifma,
    /// Code that every 64-bit CPU can run.
    Portable,
}

/// The engines of one kernel. That of P-256 is made at once, the others with their first key: each
/// takes some milliseconds and megabytes, and proves itself with known answers before it is used.
#[derive(Debug)]
pub struct Engines {
    kernel: Kernel,
    p256: p256::Engine,
    p384: OnceLock<Result<p384::Engine, EngineError>>,
    ed25519: OnceLock<Result<ed25519::Engine, EngineError>>,
    rsa: OnceLock<Result<rsa::Engine, EngineError>>,
}

/// The values that are computed ahead for one key.
#[derive(Debug)]
pub struct Key(Kind);

#[derive(Debug)]
enum Kind {
    P256(p256::KeyTable),
    P384(p384::KeyTable),
    Ed25519(ed25519::KeyTable),
    Rsa(rsa::KeyTable),
}

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// Of the same engines.
    pub key: &'a Key,
    /// One of the key's type: under any other no signature is good.
    pub algorithm: Algorithm,
    /// The message that should have been signed.
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
        let (p384, ed25519, rsa) = Default::default();
        Ok(Self { kernel, p256, p384, ed25519, rsa })
    }

    /// The kernel of all engines.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// True if the kernel has an engine for the algorithm. There is none for RSA in portable code:
    /// the libraries' assembly is faster than one would be.
    #[must_use]
    pub fn have(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::EcdsaP256(_) | Algorithm::EcdsaP384(_) | Algorithm::Ed25519 => true,
            Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_) => self.kernel == Kernel::Ifma,
        }
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
            Algorithm::Ed25519 => {
                let key = public_key.try_into().map_err(|_| KeyError::Ed25519)?;
                Kind::Ed25519(self.ed25519()?.build_table(key)?)
            }
            Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_) => {
                Kind::Rsa(self.rsa()?.build_table(public_key)?)
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
        each_of_a_kind(checks, good, p256_check, |checks, good| {
            self.p256.verify_batch(checks, good);
        });
        if let Some(Ok(p384)) = self.p384.get() {
            each_of_a_kind(checks, good, p384_check, |checks, good| {
                p384.verify_batch(checks, good);
            });
        }
        if let Some(Ok(ed25519)) = self.ed25519.get() {
            each_of_a_kind(checks, good, ed25519_check, |checks, good| {
                ed25519.verify_batch(checks, good);
            });
        }
        if let Some(Ok(rsa)) = self.rsa.get() {
            each_of_a_kind(checks, good, rsa_check, |checks, good| rsa.verify_batch(checks, good));
        }
    }

    fn p384(&self) -> Result<&p384::Engine, EngineError> {
        let engine = self.p384.get_or_init(|| match self.kernel {
            Kernel::Ifma => p384::Engine::ifma(),
            Kernel::Portable => p384::Engine::portable(),
        });
        engine.as_ref().map_err(|&error| error)
    }

    fn ed25519(&self) -> Result<&ed25519::Engine, EngineError> {
        let engine = self.ed25519.get_or_init(|| match self.kernel {
            Kernel::Ifma => ed25519::Engine::ifma(),
            Kernel::Portable => ed25519::Engine::portable(),
        });
        engine.as_ref().map_err(|&error| error)
    }

    fn rsa(&self) -> Result<&rsa::Engine, EngineError> {
        let engine = self.rsa.get_or_init(|| match self.kernel {
            Kernel::Ifma => rsa::Engine::ifma(),
            Kernel::Portable => Err(EngineError::Unsupported),
        });
        engine.as_ref().map_err(|&error| error)
    }
}

fn p256_check<'a>(check: &Check<'a>) -> Option<p256::LaneCheck<'a>> {
    let Kind::P256(table) = &check.key.0 else { return None };
    let Algorithm::EcdsaP256(digest) = check.algorithm else { return None };
    let message_hash = digest.number_of(check.message);
    Some(p256::LaneCheck { table, message_hash, signature_der: check.signature })
}

fn p384_check<'a>(check: &Check<'a>) -> Option<p384::LaneCheck<'a>> {
    let Kind::P384(table) = &check.key.0 else { return None };
    let Algorithm::EcdsaP384(digest) = check.algorithm else { return None };
    let message_hash = digest.number_of(check.message);
    Some(p384::LaneCheck { table, message_hash, signature_der: check.signature })
}

fn ed25519_check<'a>(check: &Check<'a>) -> Option<ed25519::LaneCheck<'a>> {
    let Kind::Ed25519(table) = &check.key.0 else { return None };
    let (message, signature) = (check.message, check.signature);
    let fits = check.algorithm == Algorithm::Ed25519;
    fits.then_some(ed25519::LaneCheck { table, message, signature })
}

fn rsa_check<'a>(check: &Check<'a>) -> Option<rsa::LaneCheck<'a>> {
    let Kind::Rsa(table) = &check.key.0 else { return None };
    let (padding, digest) = match check.algorithm {
        Algorithm::RsaPkcs1(digest) => (Padding::Pkcs1, digest),
        Algorithm::RsaPss(digest) => (Padding::Pss, digest),
        Algorithm::EcdsaP256(_) | Algorithm::EcdsaP384(_) | Algorithm::Ed25519 => return None,
    };
    let message_hash = MessageHash::new(digest, check.message);
    Some(rsa::LaneCheck { table, padding, message_hash, signature: check.signature })
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
            Kind::Ed25519(table) => table.bytes(),
            Kind::Rsa(table) => table.bytes(),
        }
    }
}
