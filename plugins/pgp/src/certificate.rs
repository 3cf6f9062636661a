//! A certificate, worked out once: which of its keys sign, and from when to when.
//!
//! Independent of the time of day, so that what is worked out when an attestor is written holds
//! until it is written again; the host holds the dates against its clock and against the date of
//! every signature.
//!
//! - The latest self-signature governs expiry and usage; a key is bound since its first one.
//! - A subkey signs where the latest binding says so and holds the subkey's own signature over the
//!   primary key, or anybody could adopt the signing key of another.
//! - A subkey is never better than its primary key: it expires and is revoked with it.
//! - A revocation is hard (nothing the key ever signed counts) unless it says that the key is
//!   superseded or retired. It may stand anywhere in the certificate and rest on any hash.
//! - Signatures of third parties say nothing here, designated revokers among them.

use pgp::packet::{PublicKey, PublicSubkey, RevocationCode, Signature, SignatureType, UserId};
use pgp::types::{KeyDetails, KeyVersion, Tag};

use crate::key::{self, HostKey};
use crate::packet::Packet;
use crate::policy;
use crate::signature::{self, Dates};

/// Subkeys of one certificate.
pub(crate) const SUBKEYS_MAX: usize = 64;
/// Self-signatures of one certificate: each is arithmetic to check.
pub(crate) const SELF_SIGNATURES_MAX: usize = 500;

/// Why a certificate gives no key to trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A private key where a public one belongs.
    #[error(
        "a private key: give the public one (gpg --export --armor), and replace this one if others could read it"
    )]
    Private,
    /// It begins with something else.
    #[error("a certificate begins with its public key, this with {0:?}")]
    Start(Tag),
    /// A packet of the certificate cannot be read.
    #[error("a packet of {0:?} is damaged: export the certificate again")]
    Packet(Tag),
    /// A packet that belongs into no certificate.
    #[error("a packet of {0:?} belongs into no certificate")]
    Foreign(Tag),
    /// Version 3, or one of the future.
    #[error("a key of version {0:?} is refused: 4 or 6")]
    Version(KeyVersion),
    /// More subkeys than there may be.
    #[error("more than {SUBKEYS_MAX} subkeys")]
    TooManySubkeys,
    /// More arithmetic than it is worth.
    #[error("more than {SELF_SIGNATURES_MAX} self-signatures")]
    TooManySignatures,
    /// The primary key vouches for nothing.
    #[error("its primary key is {0}, which vouches for nothing")]
    Weak(String),
    /// No self-signature verifies.
    #[error(
        "no self-signature of {0} is valid and of a strong hash: make one (gpg --quick-set-expire)"
    )]
    Unsigned(String),
    /// No key that may sign.
    #[error("no key of it can sign: {0}")]
    NoSigner(String),
}

/// When a key was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Superseded or retired at this second.
    Soft(i64),
    /// Nothing it ever signed counts. With the second at which it was said.
    Hard(i64),
}

/// One key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningKey {
    /// In upper-case hexadecimal.
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) key: HostKey,
    /// First second at which it is bound and valid.
    pub(crate) since: i64,
    /// Last second at which it is.
    pub(crate) until: Option<i64>,
    pub(crate) revocation: Option<Revocation>,
}

/// A certificate with at least one key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Fingerprint of the primary key in upper-case hexadecimal.
    pub(crate) id: String,
    pub(crate) user_ids: Vec<String>,
    pub(crate) signing_keys: Vec<SigningKey>,
}

/// The state of one key by its self-signatures.
#[derive(Clone, Copy, Debug)]
struct Standing {
    since: i64,
    until: Option<i64>,
    signs: bool,
    revocation: Option<Revocation>,
}

/// The certificates in packets, each worked out or with why not. Empty where there are no packets.
pub(crate) fn read_all(packets: &[Packet]) -> Vec<Result<Certificate, CertificateError>> {
    let begins = |packet: &Packet| matches!(packet.tag(), Tag::PublicKey | Tag::SecretKey);
    let mut rest = packets;
    let mut certificates = Vec::new();
    while let Some((first, others)) = rest.split_first() {
        let length = others.iter().position(begins).unwrap_or(others.len());
        let (own, next) = others.split_at(length);
        certificates.push(read(first, own));
        rest = next;
    }
    certificates
}

fn read(first: &Packet, rest: &[Packet]) -> Result<Certificate, CertificateError> {
    let parts = Parts::of(first, rest)?;
    if let Some(weakness) = policy::weakness(&parts.primary) {
        return Err(CertificateError::Weak(weakness));
    }
    let id = key::id(&parts.primary.fingerprint());
    let primary = parts.primary_standing().ok_or_else(|| CertificateError::Unsigned(id.clone()))?;
    let (mut signing_keys, mut passed) = (Vec::new(), Vec::new());
    let mut take = |candidate: Result<SigningKey, String>, name: String| match candidate {
        Ok(key) => signing_keys.push(key),
        Err(why) => passed.push(format!("{name}: {why}")),
    };
    take(signer(&parts.primary, primary), id.clone());
    for subkey in &parts.subkeys {
        let standing = parts.subkey_standing(subkey).map(|own| own.under(primary));
        let candidate = standing.and_then(|standing| signer(&subkey.key, standing));
        take(candidate, key::id(&subkey.key.fingerprint()));
    }
    if signing_keys.is_empty() {
        return Err(CertificateError::NoSigner(passed.join("; ")));
    }
    // Only what the primary key vouches for: anything can stand in a packet of this kind.
    let vouched = parts.users.iter().filter(|user| !parts.certifications(user).is_empty());
    let user_ids = vouched.map(|user| shown(&user.id)).collect();
    Ok(Certificate { id, user_ids, signing_keys })
}

fn signer(key: &impl KeyDetails, standing: Standing) -> Result<SigningKey, String> {
    if !standing.signs {
        return Err("its key flags do not say that it signs".to_owned());
    }
    Ok(SigningKey {
        fingerprint: key.fingerprint().as_bytes().to_vec(),
        key: key::host_key(key.public_params())?,
        since: standing.since,
        until: standing.until,
        revocation: standing.revocation,
    })
}

fn shown(id: &UserId) -> String {
    let text = String::from_utf8_lossy(id.id());
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// A certificate by its parts.
struct Parts {
    primary: PublicKey,
    /// Direct-key signatures.
    direct: Vec<Signature>,
    /// Key revocations, wherever they stood.
    revocations: Vec<Signature>,
    /// Subkey revocations, wherever they stood.
    subkey_revocations: Vec<Signature>,
    users: Vec<User>,
    subkeys: Vec<Subkey>,
}

struct User {
    id: UserId,
    signatures: Vec<Signature>,
}

struct Subkey {
    key: PublicSubkey,
    bindings: Vec<Signature>,
}

/// The subject of the signatures that follow.
enum Subject {
    Primary,
    User,
    Subkey,
    /// A photograph, or what is not known here.
    Other,
}

impl Parts {
    fn of(first: &Packet, rest: &[Packet]) -> Result<Self, CertificateError> {
        let primary: PublicKey = match first.tag() {
            Tag::PublicKey => parse(first)?,
            Tag::SecretKey | Tag::SecretSubkey => return Err(CertificateError::Private),
            other => return Err(CertificateError::Start(other)),
        };
        if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
            return Err(CertificateError::Version(primary.version()));
        }
        let mut parts = Self {
            primary,
            direct: Vec::new(),
            revocations: Vec::new(),
            subkey_revocations: Vec::new(),
            users: Vec::new(),
            subkeys: Vec::new(),
        };
        let mut subject = Subject::Primary;
        let mut own_signatures = 0;
        for packet in rest {
            match packet.tag() {
                Tag::Signature => {
                    let signature = parse::<Signature>(packet)?;
                    if !parts.is_own(&signature) {
                        continue;
                    }
                    own_signatures += 1;
                    if own_signatures > SELF_SIGNATURES_MAX {
                        return Err(CertificateError::TooManySignatures);
                    }
                    parts.file(signature, &subject);
                }
                _ => subject = parts.begin(packet)?.unwrap_or(subject),
            }
        }
        Ok(parts)
    }

    /// Takes up what the next signatures are about; `None` for a packet that changes nothing.
    fn begin(&mut self, packet: &Packet) -> Result<Option<Subject>, CertificateError> {
        match packet.tag() {
            Tag::UserId => {
                self.users.push(User { id: parse(packet)?, signatures: Vec::new() });
                Ok(Some(Subject::User))
            }
            Tag::PublicSubkey => {
                if self.subkeys.len() == SUBKEYS_MAX {
                    return Err(CertificateError::TooManySubkeys);
                }
                self.subkeys.push(Subkey { key: parse(packet)?, bindings: Vec::new() });
                Ok(Some(Subject::Subkey))
            }
            Tag::UserAttribute => Ok(Some(Subject::Other)),
            Tag::Trust | Tag::Marker | Tag::Padding => Ok(None),
            Tag::SecretKey | Tag::SecretSubkey => Err(CertificateError::Private),
            // RFC 9580 §4.3: 40 to 63 are for those who know them.
            Tag::UnassignedNonCritical(_) | Tag::Experimental(_) => Ok(Some(Subject::Other)),
            other => Err(CertificateError::Foreign(other)),
        }
    }

    /// True if it claims to be of the primary key, or claims nothing.
    fn is_own(&self, signature: &Signature) -> bool {
        let issuer = signature::issuer(signature);
        let own = key::id(&self.primary.fingerprint());
        let half = own.starts_with(&issuer) || own.ends_with(&issuer);
        issuer.is_empty() || (half && issuer.len() >= 16)
    }

    fn file(&mut self, signature: Signature, subject: &Subject) {
        match (signature.typ(), subject) {
            (Some(SignatureType::KeyRevocation), _) => self.revocations.push(signature),
            (Some(SignatureType::SubkeyRevocation), _) => self.subkey_revocations.push(signature),
            (Some(SignatureType::Key), Subject::Primary) => self.direct.push(signature),
            (Some(_), Subject::User) => {
                self.users
                    .last_mut()
                    .into_iter()
                    .for_each(|user| user.signatures.push(signature.clone()));
            }
            (Some(SignatureType::SubkeyBinding), Subject::Subkey) => {
                self.subkeys
                    .last_mut()
                    .into_iter()
                    .for_each(|key| key.bindings.push(signature.clone()));
            }
            _ => {}
        }
    }

    fn primary_standing(&self) -> Option<Standing> {
        let mut own: Vec<_> = self.direct.iter().filter_map(|it| self.direct_dates(it)).collect();
        // RFC 9580 §10.1.1: what holds for a version 6 key stands in a direct-key signature.
        if self.primary.version() != KeyVersion::V6 {
            own.extend(self.users.iter().flat_map(|user| self.certifications(user)));
        }
        let revocation = revoked(&self.revocations, |it| it.verify_key(&self.primary).is_ok());
        standing(&self.primary, &own, revocation)
    }

    fn direct_dates<'a>(&self, signature: &'a Signature) -> Option<Own<'a>> {
        let dates = binding_dates(signature)?;
        signature.verify_key(&self.primary).ok()?;
        Some(Own { signature, dates })
    }

    /// The certifications of a user id, none where it is revoked.
    fn certifications<'a>(&self, user: &'a User) -> Vec<Own<'a>> {
        let verifies = |signature: &Signature| {
            signature.verify_certification(&self.primary, Tag::UserId, &user.id).is_ok()
        };
        let revocations = user.signatures.iter().filter(|it| is(it, SignatureType::CertRevocation));
        let revoked_at = revocations
            .filter(|it| verifies(it))
            .map(|it| signature::created(it).unwrap_or(i64::MAX))
            .max();
        let certifications = user.signatures.iter().filter(|it| it.is_certification());
        let certifications = certifications
            .filter(|it| !is(it, SignatureType::CertRevocation))
            .filter_map(|signature| Some(Own { signature, dates: binding_dates(signature)? }))
            .filter(|own| verifies(own.signature));
        let latest_first: Vec<_> = certifications.collect();
        let latest = latest_first.iter().map(|own| own.dates.created).max();
        match (revoked_at, latest) {
            (Some(revoked_at), Some(latest)) if revoked_at >= latest => Vec::new(),
            _ => latest_first,
        }
    }

    fn subkey_standing(&self, subkey: &Subkey) -> Result<Standing, String> {
        if subkey.key.version() != self.primary.version() {
            return Err("it is of another version than its primary key".to_owned());
        }
        let bound = |signature: &Signature| {
            signature.verify_subkey_binding(&self.primary, &subkey.key).is_ok()
        };
        let own: Vec<_> = subkey
            .bindings
            .iter()
            .filter_map(|signature| Some(Own { signature, dates: binding_dates(signature)? }))
            .filter(|own| bound(own.signature))
            .collect();
        let governing = governing(&own).ok_or("no binding of it is valid")?;
        if !governing.signature.key_flags().sign() {
            return Err("its key flags do not say that it signs".to_owned());
        }
        if !self.consents(subkey, governing.signature) {
            return Err("its binding has no valid signature of its own (0x19)".to_owned());
        }
        let signing: Vec<_> = own
            .into_iter()
            .filter(|own| own.signature.key_flags().sign() && self.consents(subkey, own.signature))
            .collect();
        let revocation = revoked(&self.subkey_revocations, bound);
        standing(&subkey.key, &signing, revocation).ok_or_else(|| "it is not bound".to_owned())
    }

    /// True if the binding holds the subkey's signature over the primary key.
    fn consents(&self, subkey: &Subkey, binding: &Signature) -> bool {
        binding.embedded_signature().is_some_and(|back| {
            binding_dates(back).is_some()
                && back.verify_primary_key_binding(&subkey.key, &self.primary).is_ok()
        })
    }
}

/// A self-signature that verifies.
struct Own<'a> {
    signature: &'a Signature,
    dates: Dates,
}

/// The dates of a signature within a certificate, if it may be believed.
fn binding_dates(signature: &Signature) -> Option<Dates> {
    let config = signature.config()?;
    let dates = signature::dates(config).ok()?;
    policy::binds(config.hash_alg).then_some(dates)
}

fn is(signature: &Signature, kind: SignatureType) -> bool {
    signature.typ() == Some(kind)
}

/// The latest; of several in one second the last.
fn governing<'a, 'b>(own: &'b [Own<'a>]) -> Option<&'b Own<'a>> {
    own.iter().max_by_key(|own| own.dates.created)
}

fn standing(
    key: &impl KeyDetails,
    own: &[Own<'_>],
    revocation: Option<Revocation>,
) -> Option<Standing> {
    let governing = governing(own)?;
    let born = i64::from(key.created_at().as_secs());
    let first = own.iter().map(|own| own.dates.created).min()?;
    let lifetime =
        governing.signature.key_expiration_time().map(|after| i64::from(after.as_secs()));
    // Zero is never. The second at which it expires is the first at which it is not valid.
    let key_ends = lifetime.filter(|&seconds| seconds != 0).map(|seconds| born + seconds - 1);
    let binding_ends = governing.dates.expires.map(|at| at - 1);
    Some(Standing {
        since: born.max(first),
        until: earlier(key_ends, binding_ends),
        signs: governing.signature.key_flags().sign(),
        revocation,
    })
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// The worst of the revocations that verify.
fn revoked(revocations: &[Signature], verifies: impl Fn(&Signature) -> bool) -> Option<Revocation> {
    let read = |signature: &Signature| {
        let at = signature::created(signature);
        match (signature.revocation_reason_code(), at) {
            (Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired), Some(at)) => {
                Revocation::Soft(at)
            }
            (_, at) => Revocation::Hard(at.unwrap_or(i64::MIN)),
        }
    };
    let valid = revocations.iter().filter(|it| verifies(it)).map(read);
    valid.min_by_key(severity)
}

/// The less, the worse.
fn severity(revocation: &Revocation) -> (u8, i64) {
    match *revocation {
        Revocation::Hard(at) => (0, at),
        Revocation::Soft(at) => (1, at),
    }
}

impl Standing {
    /// No better than that of the primary key.
    fn under(self, primary: Self) -> Self {
        Self {
            since: self.since.max(primary.since),
            until: earlier(self.until, primary.until),
            signs: self.signs,
            revocation: self.revocation.into_iter().chain(primary.revocation).min_by_key(severity),
        }
    }
}

fn parse<T: FromPacket>(packet: &Packet) -> Result<T, CertificateError> {
    T::from_packet(packet).map_err(|_| CertificateError::Packet(packet.tag()))
}

/// The parsers of the library, under one name.
trait FromPacket: Sized {
    fn from_packet(packet: &Packet) -> pgp::errors::Result<Self>;
}

macro_rules! from_packet {
    ($($kind:ty),*) => {$(
        impl FromPacket for $kind {
            fn from_packet(packet: &Packet) -> pgp::errors::Result<Self> {
                Self::try_from_reader(packet.header, packet.body.as_slice())
            }
        }
    )*};
}

from_packet!(PublicKey, PublicSubkey, UserId, Signature);
