//! A signature packet: what it says, the exact bytes that it is over, and its numbers in the form
//! that the host's arithmetic takes.
//!
//! The signed bytes are put together of the octets as they came, never of what was parsed of them.

use hallmark_plugin_api::Algorithm;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, SubpacketData};
use pgp::types::SignatureBytes;

use crate::key::{hex, sequence, unsigned};
use crate::packet::Packet;
use crate::policy;

/// Why a signature is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    /// Not a signature packet, or a damaged one.
    #[error("the signature packet is damaged")]
    Damaged,
    /// Version 3, or one of the future.
    #[error("a signature of version {0} is refused: 4 or 6")]
    Version(u8),
    /// Not over a document, or over a text with its line ends changed.
    #[error("a signature of type {0:?} is refused: sign as binary, without --textmode")]
    Type(SignatureType),
    /// No date, and so no way to tell whether its key was valid.
    #[error("the signature has no creation time")]
    Undated,
    /// Two statements where one decides.
    #[error("the signature has two subpackets of one kind, {0}")]
    Twice(&'static str),
    /// It demands to be refused by those who do not know this.
    #[error("the signature has a critical {0}, which is not known here")]
    Critical(String),
    /// A hash that collides, or none that is known.
    #[error("the signature rests on {0}: use SHA-256, SHA-384 or SHA-512")]
    Hash(HashAlgorithm),
    /// A key type that the host has no arithmetic for.
    #[error("a signature of algorithm {0:?} is not supported")]
    Algorithm(PublicKeyAlgorithm),
    /// Numbers that no key of the algorithm makes.
    #[error("its numbers are not a signature of {0:?} with a key that is supported")]
    Numbers(PublicKeyAlgorithm),
    /// A salt that is not as long as its hash wants.
    #[error("its salt is not as long as {0} wants")]
    Salt(HashAlgorithm),
    /// It names no key.
    #[error("the signature does not say which key made it")]
    Anonymous,
    /// The two octets of the hash that it repeats are not those of what it should be over.
    #[error("it is over something else: the hash it repeats is not that of this payload")]
    HashValue,
}

/// The subpackets that decide, each at most once, from the hashed area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dates {
    /// When it was made, Unix time.
    pub(crate) created: i64,
    /// When it ends, Unix time.
    pub(crate) expires: Option<i64>,
}

/// Reads what every signature must say, of a payload or in a certificate.
pub(crate) fn dates(config: &SignatureConfig) -> Result<Dates, SignatureError> {
    let (mut created, mut lifetime) = (None, None);
    let mut key_lifetime = None;
    let mut flags = None;
    for subpacket in config.hashed_subpackets() {
        let twice = match &subpacket.data {
            SubpacketData::SignatureCreationTime(at) => {
                created.replace(i64::from(at.as_secs())).map(|_| "creation time")
            }
            SubpacketData::SignatureExpirationTime(after) => {
                lifetime.replace(i64::from(after.as_secs())).map(|_| "expiration time")
            }
            SubpacketData::KeyExpirationTime(_) => {
                key_lifetime.replace(()).map(|()| "key expiration time")
            }
            SubpacketData::KeyFlags(_) => flags.replace(()).map(|()| "key flags"),
            SubpacketData::Experimental(number, _) | SubpacketData::Other(number, _)
                if subpacket.is_critical =>
            {
                return Err(SignatureError::Critical(format!("subpacket {number}")));
            }
            SubpacketData::Notation(notation) if subpacket.is_critical => {
                let name = String::from_utf8_lossy(&notation.name);
                return Err(SignatureError::Critical(format!("notation `{name}`")));
            }
            _ => None,
        };
        if let Some(what) = twice {
            return Err(SignatureError::Twice(what));
        }
    }
    let created = created.ok_or(SignatureError::Undated)?;
    // RFC 9580 §5.2.3.18: zero is never.
    let expires = lifetime.filter(|&seconds| seconds != 0).map(|seconds| created + seconds);
    Ok(Dates { created, expires })
}

/// A signature over a payload, before arithmetic.
#[derive(Debug)]
pub(crate) struct DataSignature {
    config: SignatureConfig,
    hash_value: [u8; 2],
    numbers: SignatureBytes,
    /// From its version to the end of its hashed subpackets, as it came.
    hashed: Vec<u8>,
    dates: Dates,
}

/// A signature in the form that the host verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostSignature {
    pub(crate) algorithm: Algorithm,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl DataSignature {
    /// The signature in a packet, if it may be believed at all.
    pub(crate) fn read(packet: &Packet, signature: &Signature) -> Result<Self, SignatureError> {
        let version = u8::from(signature.version());
        let damaged = || SignatureError::Damaged;
        let (length_at, length_of) = match version {
            4 => (4, 2),
            6 => (4, 4),
            other => return Err(SignatureError::Version(other)),
        };
        let config = signature.config().ok_or(SignatureError::Version(version))?.clone();
        if config.typ != SignatureType::Binary {
            return Err(SignatureError::Type(config.typ));
        }
        let dates = dates(&config)?;
        if !policy::signs(config.hash_alg) {
            return Err(SignatureError::Hash(config.hash_alg));
        }
        let octets = packet.body.get(length_at..length_at + length_of).ok_or_else(damaged)?;
        let length = octets.iter().fold(0_usize, |sum, &octet| (sum << 8) | usize::from(octet));
        let hashed = packet.body.get(..length_at + length_of + length).ok_or_else(damaged)?;
        let (Some(hash_value), Some(numbers)) =
            (signature.signed_hash_value(), signature.signature().cloned())
        else {
            return Err(damaged());
        };
        Ok(Self { hashed: hashed.to_vec(), config, hash_value, numbers, dates })
    }

    pub(crate) fn dates(&self) -> Dates {
        self.dates
    }

    /// The signature that the host verifies, if this is over `payload`. For EdDSA the message is
    /// the digest.
    pub(crate) fn over(&self, payload: &[u8]) -> Result<HostSignature, SignatureError> {
        let message = self.message(payload)?;
        let hash = self.config.hash_alg;
        let digest = hash.digest(&message).map_err(|_| SignatureError::Hash(hash))?;
        if !digest.starts_with(&self.hash_value) {
            return Err(SignatureError::HashValue);
        }
        let (algorithm, signature) = self.raw()?;
        let message = if algorithm == Algorithm::Ed25519 { digest } else { message };
        Ok(HostSignature { algorithm, message, signature })
    }

    /// RFC 9580 §5.2.4: salt, payload, the hashed part of the packet, and how long that is.
    fn message(&self, payload: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let hash = self.config.hash_alg;
        let salt: &[u8] = match &self.config.version_specific {
            pgp::packet::SignatureVersionSpecific::V6 { salt } => salt,
            _ => &[],
        };
        if self.hashed.first() == Some(&6) && Some(salt.len()) != hash.salt_len() {
            return Err(SignatureError::Salt(hash));
        }
        let length = u32::try_from(self.hashed.len()).map_err(|_| SignatureError::Damaged)?;
        let version = self.hashed.first().copied().unwrap_or_default();
        let trailer = [&[version, 0xff][..], &length.to_be_bytes()].concat();
        Ok([salt, payload, &self.hashed, &trailer].concat())
    }

    /// The numbers in the host's form. The size of RSA keys and the curve are told by the length
    /// of the numbers: shorter than their key by enough to be mistaken, they are by a chance of
    /// less than 2⁻²⁵⁰, and then verify nothing.
    fn raw(&self) -> Result<(Algorithm, Vec<u8>), SignatureError> {
        let algorithm = self.config.pub_alg;
        let wrong = || SignatureError::Numbers(algorithm);
        let hash = hash_index(self.config.hash_alg).ok_or_else(wrong)?;
        match (algorithm, &self.numbers) {
            (PublicKeyAlgorithm::RSA | PublicKeyAlgorithm::RSASign, SignatureBytes::Mpis(mpis)) => {
                let [number] = mpis.as_slice() else { return Err(wrong()) };
                let (size, algorithms) = sized(&RSA, number.as_ref().len()).ok_or_else(wrong)?;
                Ok((algorithms[hash], padded(number.as_ref(), size)))
            }
            (PublicKeyAlgorithm::ECDSA, SignatureBytes::Mpis(mpis)) => {
                let [r, s] = mpis.as_slice() else { return Err(wrong()) };
                let longest = r.as_ref().len().max(s.as_ref().len());
                let (_, algorithms) = sized(&ECDSA, longest).ok_or_else(wrong)?;
                let numbers = [unsigned(r.as_ref()), unsigned(s.as_ref())].concat();
                Ok((algorithms[hash], sequence(&numbers)))
            }
            (PublicKeyAlgorithm::EdDSALegacy, SignatureBytes::Mpis(mpis)) => {
                let [r, s] = mpis.as_slice() else { return Err(wrong()) };
                if r.as_ref().len() > 32 || s.as_ref().len() > 32 {
                    return Err(wrong());
                }
                let numbers = [padded(r.as_ref(), 32), padded(s.as_ref(), 32)].concat();
                Ok((Algorithm::Ed25519, numbers))
            }
            (PublicKeyAlgorithm::Ed25519, SignatureBytes::Native(bytes)) if bytes.len() == 64 => {
                Ok((Algorithm::Ed25519, bytes.to_vec()))
            }
            (PublicKeyAlgorithm::Ed25519, _) => Err(wrong()),
            _ => Err(SignatureError::Algorithm(algorithm)),
        }
    }
}

/// The signature in a packet, whatever it says.
pub(crate) fn parse(packet: &Packet) -> Result<Signature, SignatureError> {
    Signature::try_from_reader(packet.header, packet.body.as_slice())
        .map_err(|_| SignatureError::Damaged)
}

/// When it says it was made, Unix time.
pub(crate) fn created(signature: &Signature) -> Option<i64> {
    signature.created().map(|at| i64::from(at.as_secs()))
}

/// The name that a signature has for its key: a fingerprint, or else the part of one that is a key
/// id. Empty where it names none.
pub(crate) fn issuer(signature: &Signature) -> String {
    let fingerprints = signature.issuer_fingerprint();
    let key_ids = signature.issuer_key_id();
    let fingerprint = fingerprints.first().map(|it| hex(it.as_bytes()));
    let key_id = || key_ids.first().filter(|it| !it.is_wildcard()).map(|it| hex(it.as_ref()));
    fingerprint.or_else(key_id).unwrap_or_default()
}

/// By octets of the modulus, with SHA-256, SHA-384 and SHA-512.
const RSA: [(usize, [Algorithm; 3]); 3] = {
    use Algorithm::*;
    [
        (256, [RsaPkcs1_2048Sha256, RsaPkcs1_2048Sha384, RsaPkcs1_2048Sha512]),
        (384, [RsaPkcs1_3072Sha256, RsaPkcs1_3072Sha384, RsaPkcs1_3072Sha512]),
        (512, [RsaPkcs1_4096Sha256, RsaPkcs1_4096Sha384, RsaPkcs1_4096Sha512]),
    ]
};

/// By octets of the group's order, with SHA-256, SHA-384 and SHA-512.
const ECDSA: [(usize, [Algorithm; 3]); 3] = {
    use Algorithm::*;
    [
        (32, [EcdsaP256Sha256, EcdsaP256Sha384, EcdsaP256Sha512]),
        (48, [EcdsaP384Sha256, EcdsaP384Sha384, EcdsaP384Sha512]),
        (66, [EcdsaP521Sha256, EcdsaP521Sha384, EcdsaP521Sha512]),
    ]
};

/// The row of the smallest key that makes numbers of this length.
fn sized(rows: &[(usize, [Algorithm; 3])], octets: usize) -> Option<(usize, [Algorithm; 3])> {
    rows.iter().find(|&&(size, _)| octets <= size).copied()
}

fn hash_index(hash: HashAlgorithm) -> Option<usize> {
    let order = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];
    order.into_iter().position(|it| it == hash)
}

/// A number with zeros before it. It is no longer than that.
fn padded(number: &[u8], octets: usize) -> Vec<u8> {
    let mut padded = vec![0; octets.saturating_sub(number.len())];
    padded.extend_from_slice(number);
    padded
}
