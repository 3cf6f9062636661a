//! The sliver of Google's Cloud KMS API that signing an attestation needs: the public half of a key
//! version, and a signature by it. The keys are those of plugins; the configuration names them.
//!
//! Checksums are CRC32C, as clients send and check them against corruption on the way.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, Crc};
use hallmark_core::attestor::{HashFunction, SignatureAlgorithm};
use hallmark_core::document::DocumentLimits;
use hallmark_core::document::read::{Field, Object, resource};
use hallmark_core::excerpt::Excerpt;
use serde_json::{Map, Value, json as value};

use super::shared::answer;
use super::shared::document;
use crate::http::Api;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::plugin::{KeyVersion, ProtectionLevel};
use crate::plugin::{KeyVersions, PublicHalf, SignError, WhatToSign};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Bytes of `data`. Google's limit.
const DATA_BYTES_MAX: usize = 64 << 10;

/// The digests that clients send.
const DIGESTS: [&str; 3] =
    [HashFunction::Sha256.name(), HashFunction::Sha384.name(), HashFunction::Sha512.name()];

/// `GET …/cryptoKeyVersions/*`.
pub(in crate::http) fn get_key_version(
    api: &Api,
    exchange: &Exchange,
) -> Result<Answer, HttpError> {
    let (versions, version) = (&api.key_versions, find(api, exchange)?);
    let public = versions.public_half(version)?;
    let described = value!({
        "name": version.name,
        "state": "ENABLED",
        "protectionLevel": protection_level(version),
        "algorithm": kms_algorithm(public.algorithm)?,
    });
    answer(exchange, described)
}

/// `GET …/cryptoKeyVersions/*/publicKey?publicKeyFormat=`.
pub(in crate::http) fn get_public_key(api: &Api, exchange: &Exchange) -> Result<Answer, HttpError> {
    let (versions, version) = (&api.key_versions, find(api, exchange)?);
    let public = versions.public_half(version)?;
    let mut described = Map::new();
    described.insert("name".to_owned(), version.name.clone().into());
    described.insert("algorithm".to_owned(), kms_algorithm(public.algorithm)?.into());
    described.insert("protectionLevel".to_owned(), protection_level(version).into());
    let asked = exchange.query("publicKeyFormat")?;
    match asked.as_deref() {
        None | Some("" | "PUBLIC_KEY_FORMAT_UNSPECIFIED" | "0" | "PEM" | "1") => {
            let pem = pem(&public);
            described.insert("pemCrc32c".to_owned(), checksum(pem.as_bytes()).into());
            if asked.is_some() {
                described.insert("publicKey".to_owned(), checksummed(pem.as_bytes()));
            }
            described.insert("publicKeyFormat".to_owned(), "PEM".into());
            described.insert("pem".to_owned(), pem.into());
        }
        Some("DER" | "2") => {
            described.insert("publicKeyFormat".to_owned(), "DER".into());
            described.insert("publicKey".to_owned(), checksummed(&public.spki_der));
        }
        Some(_) => {
            let problem = "query parameter `publicKeyFormat`: PEM and DER are given out";
            return Err(HttpError::InvalidArgument(problem.to_owned()));
        }
    }
    answer(exchange, described.into())
}

/// `POST …/cryptoKeyVersions/*:asymmetricSign`.
pub(in crate::http) async fn asymmetric_sign(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let (versions, version) = (&api.key_versions, find(api, &exchange)?);
    let document = document(&exchange, &DocumentLimits::OCCURRENCE)?;
    let request = resource(document.root(), sign_request)?;
    let mut signed = Map::new();
    if request.checked {
        let member = match request.what {
            What::Digest { .. } => "verifiedDigestCrc32c",
            What::Data(_) => "verifiedDataCrc32c",
        };
        signed.insert(member.to_owned(), true.into());
    }
    let signature = sign(versions, version, request.what, exchange.deadline).await?;
    signed.insert("name".to_owned(), version.name.clone().into());
    signed.insert("protectionLevel".to_owned(), protection_level(version).into());
    signed.insert("signatureCrc32c".to_owned(), checksum(&signature).into());
    signed.insert("signature".to_owned(), STANDARD.encode(signature).into());
    answer(&exchange, signed.into())
}

/// The message or digest that a client wants signed, and whether it sent a checksum along.
struct SignRequest {
    what: What,
    checked: bool,
}

enum What {
    Digest { hash: HashFunction, digest: Vec<u8> },
    Data(Vec<u8>),
}

async fn sign(
    versions: &KeyVersions,
    version: &KeyVersion,
    what: What,
    deadline: Instant,
) -> Result<Vec<u8>, HttpError> {
    let what = match what {
        What::Digest { hash, digest } => {
            check_hash(versions.public_half(version)?.algorithm, hash)?;
            WhatToSign::Digest(digest)
        }
        What::Data(data) => WhatToSign::Message(data),
    };
    Ok(versions.sign(version, what, deadline).await?.signature)
}

/// Checks that digests of `hash` are what the key signs.
fn check_hash(algorithm: SignatureAlgorithm, hash: HashFunction) -> Result<(), HttpError> {
    match algorithm.hash() {
        Some(wanted) if wanted == hash => Ok(()),
        Some(wanted) => Err(HttpError::InvalidArgument(format!(
            "digest: the key signs with {algorithm}: send digest.{wanted}, not digest.{hash}"
        ))),
        None => Err(HttpError::InvalidArgument(format!(
            "digest: the key signs with {algorithm}, which takes the message: send data"
        ))),
    }
}

fn sign_request(root: &Field<'_>) -> Option<SignRequest> {
    let object = root.object(&["name", "digest", "digestCrc32c", "data", "dataCrc32c"])?;
    match (object.get("digest"), object.get("data")) {
        (Some(_), Some(data)) => {
            data.fail("beside digest; send one of the two");
            None
        }
        (Some(digest), None) => {
            let (hash, bytes) = digest_bytes(&digest)?;
            let checked = check(&object, "digestCrc32c", &bytes)?;
            Some(SignRequest { what: What::Digest { hash, digest: bytes }, checked })
        }
        (None, Some(data)) => {
            let bytes = data.bytes()?;
            if bytes.len() > DATA_BYTES_MAX {
                data.fail(format!("{} bytes; at most {DATA_BYTES_MAX}", bytes.len()));
            }
            let checked = check(&object, "dataCrc32c", &bytes)?;
            Some(SignRequest { what: What::Data(bytes), checked })
        }
        (None, None) => {
            root.fail("nothing to sign: send digest or data");
            None
        }
    }
}

fn digest_bytes(field: &Field<'_>) -> Option<(HashFunction, Vec<u8>)> {
    let object = field.object(&DIGESTS)?;
    let mut set =
        HashFunction::ALL.iter().filter_map(|&hash| Some((hash, object.get(hash.name())?)));
    let (Some((hash, value)), None) = (set.next(), set.next()) else {
        field.fail("set one of sha256, sha384 and sha512");
        return None;
    };
    let bytes = value.bytes()?;
    let size = hash.digest_bytes();
    if bytes.len() != size {
        value.fail(format!("{} bytes; a digest of {hash} has {size}", bytes.len()));
    }
    Some((hash, bytes))
}

/// Says if a checksum was sent. One that is not that of `bytes` is an error.
fn check(object: &Object<'_>, member: &'static str, bytes: &[u8]) -> Option<bool> {
    let Some(field) = object.get(member) else { return Some(false) };
    let sent = field.integer(0, i64::from(u32::MAX))?;
    if sent != i64::from(CRC32C.checksum(bytes)) {
        field.fail("is not the CRC32C of what arrived: it was corrupted on the way, send it again");
        return None;
    }
    Some(true)
}

fn find<'a>(api: &'a Api, exchange: &Exchange) -> Result<&'a KeyVersion, HttpError> {
    let part = |name| exchange.param(name);
    let name = format!(
        "projects/{}/locations/{}/keyRings/{}/cryptoKeys/{}/cryptoKeyVersions/{}",
        part("project"),
        part("location"),
        part("ring"),
        part("key"),
        part("version")
    );
    api.key_versions.get(&name).ok_or_else(|| {
        let name = Excerpt::<512>(&name);
        HttpError::NotFound(format!("CryptoKeyVersion {name} not found: name it in [[kms_keys]]"))
    })
}

fn kms_algorithm(algorithm: SignatureAlgorithm) -> Result<&'static str, HttpError> {
    algorithm.kms().map(|kms| kms.name).ok_or_else(|| {
        HttpError::FailedPrecondition(format!(
            "Cloud KMS has no name for {algorithm}: map a key of another algorithm"
        ))
    })
}

fn protection_level(version: &KeyVersion) -> &'static str {
    match version.protection_level {
        ProtectionLevel::Software => "SOFTWARE",
        ProtectionLevel::Hsm => "HSM",
    }
}

/// RFC 7468 §13: lines of 64 characters.
fn pem(public: &PublicHalf) -> String {
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let mut text = STANDARD.encode(&public.spki_der);
    while !text.is_empty() {
        let rest = text.split_off(text.len().min(64));
        pem.extend([&text, "\n"]);
        text = rest;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

fn checksummed(bytes: &[u8]) -> Value {
    value!({"data": STANDARD.encode(bytes), "crc32cChecksum": checksum(bytes)})
}

/// As proto3 JSON writes 64-bit numbers: in a string.
fn checksum(bytes: &[u8]) -> String {
    CRC32C.checksum(bytes).to_string()
}

impl From<SignError> for HttpError {
    fn from(error: SignError) -> Self {
        let text = error.to_string();
        match error {
            SignError::UnknownPlugin(_) | SignError::UnknownKey { .. } => Self::FailedPrecondition(
                "the key of this key version is not there: see [[kms_keys]]".to_owned(),
            ),
            SignError::Refused { .. } | SignError::WrongKey { .. } => {
                Self::FailedPrecondition(text)
            }
            SignError::Unavailable { .. } => Self::Unavailable { inside: text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_hash_of_the_key_or_refused_with_what_to_send() {
        use SignatureAlgorithm::{EcdsaP256Sha256, EcdsaP384Sha384, Ed25519, RsaPss4096Sha512};
        let checked = |algorithm, hash| match check_hash(algorithm, hash) {
            Ok(()) => String::new(),
            Err(HttpError::InvalidArgument(text)) => text,
            Err(other) => panic!("{other:?}"),
        };
        for (algorithm, own) in [
            (EcdsaP256Sha256, HashFunction::Sha256),
            (EcdsaP384Sha384, HashFunction::Sha384),
            (RsaPss4096Sha512, HashFunction::Sha512),
        ] {
            for hash in HashFunction::ALL {
                assert_eq!(checked(algorithm, hash).is_empty(), hash == own, "{algorithm}, {hash}");
            }
        }
        assert_eq!(
            checked(EcdsaP384Sha384, HashFunction::Sha256),
            "digest: the key signs with ECDSA_P384_SHA384: send digest.sha384, not digest.sha256"
        );
        assert_eq!(
            checked(Ed25519, HashFunction::Sha512),
            "digest: the key signs with ED25519, which takes the message: send data"
        );
    }

    #[test]
    fn cloud_kms_has_names_for_twelve_algorithms() {
        let named = SignatureAlgorithm::all().filter(|one| kms_algorithm(*one).is_ok());
        assert_eq!(named.count(), 12);
        let error = kms_algorithm(SignatureAlgorithm::EcdsaP521Sha512).expect_err("no name");
        assert!(
            matches!(&error, HttpError::FailedPrecondition(text) if text
                == "Cloud KMS has no name for ECDSA_P521_SHA512: map a key of another algorithm"),
            "{error:?}"
        );
    }
}
