//! Signing with the numbers of a secret RSA key, in a time that does not depend on them.
//!
//! The library's own arithmetic takes one that does (RUSTSEC-2023-0071). It reads and checks the
//! numbers, once when a file is loaded, and makes no signature.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::RSA_PKCS1_SHA512;
use crypto_bigint::{BoxedUint, NonZero};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::errors::{Error, Result};
use pgp::types::{
    Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, Password, PlainSecretParams, PublicParams,
    SignatureBytes, SigningKey, Timestamp,
};
use zeroize::{Zeroize, Zeroizing};

use crate::key;

/// The key pair in unlocked parameters; `None` where they are not of RSA.
pub(crate) fn pair(public: &PublicParams, secret: &PlainSecretParams) -> Result<Option<KeyPair>> {
    let PlainSecretParams::RSA(secret) = secret else { return Ok(None) };
    let (modulus, exponent) = key::rsa_numbers(public).ok_or_else(failed)?;
    let (d, p, q, u) = secret.to_bytes();
    let [d, p, q, u] = [d, p, q, u].map(Zeroizing::new);
    let [d_p, d_q] = [remainder(&d, &p)?, remainder(&d, &q)?];
    // OpenPGP's coefficient is that of p modulo q (RFC 9580 §5.5.5.1), PKCS #1's the reverse.
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: modulus.as_slice(), e: exponent.as_slice() },
        d: d.as_slice(),
        p: q.as_slice(),
        q: p.as_slice(),
        dP: &d_q,
        dQ: &d_p,
        qInv: u.as_slice(),
    };
    KeyPair::from_components(&components).map(Some).map_err(|_| failed())
}

/// `d` modulo `prime` − 1.
fn remainder(d: &[u8], prime: &[u8]) -> Result<Zeroizing<Box<[u8]>>> {
    let mut less = Zeroizing::new(prime.to_vec());
    // One less than an odd number: its last bit is off.
    *less.last_mut().ok_or_else(failed)? &= 0xfe;
    let divisor: Option<NonZero<BoxedUint>> = NonZero::new(number(&less)?).into();
    let divisor = divisor.ok_or_else(failed)?;
    let dividend = Zeroizing::new(number(d)?);
    let rest = Zeroizing::new(dividend.rem(&divisor));
    divisor.get().zeroize();
    Ok(Zeroizing::new(rest.to_be_bytes()))
}

fn number(bytes: &[u8]) -> Result<BoxedUint> {
    let bits = u32::try_from(bytes.len() * 8)?;
    BoxedUint::from_be_slice(bytes, bits).map_err(|_| failed())
}

fn failed() -> Error {
    Error::from("the RSA arithmetic failed".to_owned())
}

/// A key of a file that signs with its pair.
#[derive(Debug)]
pub(crate) struct RsaSigner<'a> {
    pub(crate) key: &'a dyn SigningKey,
    pub(crate) pair: &'a KeyPair,
}

impl SigningKey for RsaSigner<'_> {
    fn sign(&self, _: &Password, hash: HashAlgorithm, data: &[u8]) -> Result<SignatureBytes> {
        if hash != self.hash_alg() {
            return Err(failed());
        }
        let digest = Digest::import_less_safe(data, &digest::SHA512).map_err(|_| failed())?;
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign_digest(&RSA_PKCS1_SHA512, &digest, &mut signature);
        signed.map_err(|_| failed())?;
        Ok(SignatureBytes::Mpis(vec![Mpi::from_slice(&signature)]))
    }

    fn hash_alg(&self) -> HashAlgorithm {
        HashAlgorithm::Sha512
    }
}

impl KeyDetails for RsaSigner<'_> {
    fn version(&self) -> KeyVersion {
        self.key.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.key.legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.key.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.key.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.key.legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.key.public_params()
    }
}
