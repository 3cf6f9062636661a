//! Signing with a secret key in a file. What is in the file, and its passphrase, appear in no error
//! and no log line.
//!
//! RSA keys sign with the arithmetic of `rsa`, all others with the library's.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aws_lc_rs::rsa::KeyPair;
use hallmark_plugin_api::{Host, textual};
use pgp::armor::BlockType;
use pgp::composed::{
    ArmorOptions, Deserializable, Message, MessageBuilder, SignedSecretKey, SubpacketConfig,
};
use pgp::packet::{SecretSubkey, Subpacket, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, KeyVersion, Password, PublicParams, Timestamp, VerifyingKey};
use zeroize::Zeroizing;

use crate::certificate::{self, Certificate, CertificateError, SigningKey};
use crate::config::SecretFile;
use crate::packet::{self, PacketError};
use crate::rsa::{self, RsaSigner};

/// Bytes of a secret key file, armored, with its certificate.
const FILE_BYTES_MAX: usize = 256 << 10;

/// Why a secret key cannot be loaded, and which file is to blame.
#[derive(Debug, thiserror::Error)]
#[error("signing key {path}: {reason}")]
pub(crate) struct LoadError {
    path: String,
    reason: LoadReason,
}

/// The fault of a secret key file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadReason {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// More bytes than a secret key has.
    #[error("larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not one transferable secret key.
    #[error("not a secret key: export one with gpg --export-secret-keys")]
    NotSecret,
    /// Its packets cannot be read.
    #[error(transparent)]
    Packets(#[from] PacketError),
    /// Its public half gives no key that signs.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The daemon has no passphrase of that name. The name is not shown: it may be the passphrase.
    #[error("its `passphrase` names no secret of this plugin: add it to `secrets`, with its file")]
    Passphrase,
    /// The passphrase is another.
    #[error("the passphrase does not unlock it, or it needs one: name a secret in `passphrase`")]
    Locked,
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignError {
    /// The key is expired or revoked at the time of signing.
    #[error("the key is not valid now")]
    NotValid,
    /// The signature could not be made, or did not verify.
    #[error("signing failed")]
    Failed,
}

/// A secret key that signs.
pub(crate) struct SecretKey {
    secret: SignedSecretKey,
    password: Password,
    /// Its signing keys of RSA, by fingerprint.
    pairs: HashMap<Vec<u8>, KeyPair>,
    pub(crate) certificate: Certificate,
    /// Another id that it has.
    pub(crate) id: Option<String>,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey").field("id", &self.certificate.id).finish_non_exhaustive()
    }
}

impl SecretKey {
    /// Reads a file and tries its passphrase.
    pub(crate) fn load(file: &SecretFile, host: Host) -> Result<Self, LoadError> {
        let fail = |reason| LoadError { path: file.path.clone(), reason };
        let bytes = content(Path::new(&file.path)).map_err(fail)?;
        let password = match &file.passphrase {
            None => Password::empty(),
            Some(name) => {
                let secret = host.secret(name);
                let secret = secret.map_err(|_| fail(LoadReason::Passphrase))?;
                let secret = Zeroizing::new(secret);
                let line = secret.strip_suffix(b"\n").unwrap_or(&secret);
                Password::from(line)
            }
        };
        let (secret, certificate) = parse(&bytes).map_err(fail)?;
        let (id, pairs) = (file.id.clone(), HashMap::new());
        let mut key = Self { secret, password, pairs, certificate, id };
        key.pairs = key.rsa_pairs().ok_or_else(|| fail(LoadReason::Locked))?;
        // Every key may be the one that signs later, so every one has to open.
        let signers = key.certificate.signing_keys.iter();
        let opens = |signer: &SigningKey| key.unlocks(signer);
        if signers.clone().all(opens) { Ok(key) } else { Err(fail(LoadReason::Locked)) }
    }

    /// An armored message that holds `payload` and a signature of `now`.
    pub(crate) fn sign(&self, payload: &[u8], now: i64) -> Result<Vec<u8>, SignError> {
        let signer = self.signer(now).ok_or(SignError::NotValid)?;
        let (secret, public) = self.halves(signer).ok_or(SignError::Failed)?;
        self.message(secret, public, payload, now).map_err(|_| SignError::Failed)
    }

    /// The key that was bound last, of those that are valid.
    fn signer(&self, now: i64) -> Option<&SigningKey> {
        let valid = |key: &&SigningKey| {
            let alive = key.since <= now && key.until.is_none_or(|until| now <= until);
            alive && key.revocation.is_none()
        };
        self.certificate.signing_keys.iter().filter(valid).max_by_key(|key| key.since)
    }

    /// The pairs of the signing keys of RSA; `None` where one does not open.
    fn rsa_pairs(&self) -> Option<HashMap<Vec<u8>, KeyPair>> {
        let mut pairs = HashMap::new();
        for SigningKey { fingerprint, .. } in &self.certificate.signing_keys {
            let primary = &self.secret.primary_key;
            let pair = match self.subkey(fingerprint) {
                Some(subkey) => subkey.unlock(&self.password, rsa::pair),
                None if primary.fingerprint().as_bytes() == fingerprint => {
                    primary.unlock(&self.password, rsa::pair)
                }
                None => return None,
            };
            if let Some(pair) = pair.ok()?.ok()? {
                pairs.insert(fingerprint.clone(), pair);
            }
        }
        Some(pairs)
    }

    fn unlocks(&self, signer: &SigningKey) -> bool {
        self.halves(signer).is_some_and(|(secret, public)| {
            self.message(secret, public, b"to be thrown away", signer.since).is_ok()
        })
    }

    fn message(
        &self,
        secret: &dyn pgp::types::SigningKey,
        public: &dyn VerifyingKey,
        payload: &[u8],
        now: i64,
    ) -> pgp::errors::Result<Vec<u8>> {
        let rsa = match secret.public_params() {
            PublicParams::RSA(_) => {
                let pair = self.pairs.get(secret.fingerprint().as_bytes());
                let pair = pair.ok_or(pgp::errors::Error::MissingKey)?;
                Some(RsaSigner { key: secret, pair })
            }
            _ => None,
        };
        let secret = rsa.as_ref().map_or(secret, |rsa| rsa);
        let at = Timestamp::from_secs(u32::try_from(now)?);
        let mut hashed = vec![
            Subpacket::critical(SubpacketData::SignatureCreationTime(at))?,
            Subpacket::regular(SubpacketData::IssuerFingerprint(secret.fingerprint()))?,
        ];
        if secret.version() == KeyVersion::V4 {
            hashed.push(Subpacket::regular(SubpacketData::IssuerKeyId(secret.legacy_key_id()))?);
        }
        let subpackets = SubpacketConfig::UserDefined { hashed, unhashed: Vec::new() };
        let mut builder = MessageBuilder::from_bytes("", payload.to_vec());
        let password = Password::from(self.password.read().as_slice());
        let hash = secret.hash_alg();
        builder.sign_with_subpackets(secret, password, hash, subpackets);
        let signed = builder.to_armored_string(rand::thread_rng(), ArmorOptions::default())?;
        // A fault while signing can betray the key: nothing leaves that does not verify.
        let (mut message, _) = Message::from_armor(signed.as_bytes())?;
        message.as_data_vec()?;
        message.verify(public)?;
        drop(message);
        Ok(signed.into_bytes())
    }

    fn halves(
        &self,
        signer: &SigningKey,
    ) -> Option<(&dyn pgp::types::SigningKey, &dyn VerifyingKey)> {
        let primary = &self.secret.primary_key;
        if primary.fingerprint().as_bytes() == signer.fingerprint {
            return Some((primary, primary.public_key()));
        }
        let subkey = self.subkey(&signer.fingerprint)?;
        Some((subkey, subkey.public_key()))
    }

    fn subkey(&self, fingerprint: &[u8]) -> Option<&SecretSubkey> {
        let mut subkeys = self.secret.secret_subkeys.iter().map(|subkey| &subkey.key);
        subkeys.find(|key| key.fingerprint().as_bytes() == fingerprint)
    }
}

/// The secret key and its public half, worked out as any certificate is.
fn parse(bytes: &[u8]) -> Result<(SignedSecretKey, Certificate), LoadReason> {
    let binary = match packet::is_text(bytes) {
        true => armored(bytes)?,
        false => Zeroizing::new(textual::without_mark(bytes).to_vec()),
    };
    let secret =
        SignedSecretKey::from_bytes(binary.as_slice()).map_err(|_| LoadReason::NotSecret)?;
    let public = secret.to_public_key().to_bytes().map_err(|_| LoadReason::NotSecret)?;
    let certificates = certificate::read_all(&packet::read(&public)?);
    let certificate = certificates.into_iter().next().ok_or(LoadReason::NotSecret)??;
    Ok((secret, certificate))
}

/// The contents of the one armor of a secret key in a file; text around it is passed over.
fn armored(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, LoadReason> {
    let mut armors = packet::dearmor_all(text)?;
    armors.retain(|(kind, _)| *kind == BlockType::PrivateKey);
    match (armors.pop(), armors.pop()) {
        (Some((_, one)), None) => Ok(one),
        (Some(_), Some(_)) => Err(PacketError::Around.into()),
        (None, _) => Err(LoadReason::NotSecret),
    }
}

/// The content of a secret key file. Who else may read it, the daemon asks.
fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, LoadReason> {
    // All of it reserved at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(LoadReason::TooLarge);
    }
    Ok(bytes)
}
