//! Key versions of Cloud KMS, or of the daemon's routes of that shape: `--keyversion` and its
//! sisters, the public key, and signing.

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hallmark_core::attestor::{HashFunction, SignatureAlgorithm, algorithm_named};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::client::{Client, Target, encode};
use super::output::string;

/// The prefix before the name of a key version in the id of its key.
const KEY_ID_PREFIX: &str = "//cloudkms.googleapis.com/v1/";
/// The collections of the name of a key version.
const COLLECTIONS: [&str; 5] =
    ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];

/// Which key version.
#[derive(Debug, Args)]
pub(super) struct KeyVersion {
    /// A key version of Cloud KMS: its number, or its whole name
    /// projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N.
    #[arg(long, value_name = "VERSION")]
    keyversion: Option<String>,
    /// The key of the version.
    #[arg(long, value_name = "KEY", requires = "keyversion")]
    keyversion_key: Option<String>,
    /// The key ring of the key.
    #[arg(long, value_name = "KEYRING", requires = "keyversion")]
    keyversion_keyring: Option<String>,
    /// The location of the key ring.
    #[arg(long, value_name = "LOCATION", requires = "keyversion")]
    keyversion_location: Option<String>,
    /// The project of the key ring, where it is another.
    #[arg(long, value_name = "PROJECT", requires = "keyversion")]
    keyversion_project: Option<String>,
}

/// A key version by its whole name.
#[derive(Debug)]
pub(super) struct KeyName([String; 5]);

/// The public half of a key version.
#[derive(Debug)]
pub(super) struct PublicHalf {
    pub(super) pem: String,
    pub(super) algorithm: SignatureAlgorithm,
}

impl KeyVersion {
    /// The key version that the flags name, if they name one.
    pub(super) fn name(&self, target: &Target) -> anyhow::Result<Option<KeyName>> {
        let Some(version) = &self.keyversion else { return Ok(None) };
        let parts = [&self.keyversion_location, &self.keyversion_keyring, &self.keyversion_key];
        if version.contains('/') {
            if parts.into_iter().chain([&self.keyversion_project]).any(Option::is_some) {
                bail!("--keyversion {version} is a whole name: leave the other --keyversion-* out");
            }
            return whole(version).map(Some);
        }
        let [Some(location), Some(ring), Some(key)] = parts else {
            bail!(
                "--keyversion {version} is in which key? say --keyversion-location, \
                 --keyversion-keyring and --keyversion-key, or give its whole name"
            );
        };
        let project = match &self.keyversion_project {
            Some(project) => project,
            None => target.project()?,
        };
        let ids = [project, location.as_str(), ring.as_str(), key.as_str(), version.as_str()];
        Ok(Some(KeyName(ids.map(str::to_owned))))
    }
}

fn whole(name: &str) -> anyhow::Result<KeyName> {
    let short = name.strip_prefix("https:").unwrap_or(name);
    let short = short.strip_prefix(KEY_ID_PREFIX).unwrap_or(short);
    let segments: Vec<_> = short.split('/').collect();
    let named = segments.len() == 10
        && segments.iter().step_by(2).eq(COLLECTIONS.iter())
        && segments.iter().all(|segment| !segment.is_empty());
    let form = "projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N";
    if !named {
        bail!("--keyversion {name} is neither a version nor a name of the form {form}");
    }
    let mut ids = segments.iter().skip(1).step_by(2).map(|id| (*id).to_owned());
    Ok(KeyName(std::array::from_fn(|_| ids.next().unwrap_or_default())))
}

impl KeyName {
    /// The id by which signatures name the key.
    pub(super) fn key_id(&self) -> String {
        let segments: Vec<_> =
            COLLECTIONS.iter().zip(&self.0).map(|(name, id)| format!("{name}/{id}")).collect();
        format!("{KEY_ID_PREFIX}{}", segments.join("/"))
    }

    fn path(&self) -> String {
        let segments = COLLECTIONS.iter().zip(&self.0);
        let segments = segments.map(|(name, id)| format!("/{name}/{}", encode(id)));
        format!("/v1{}", segments.collect::<String>())
    }

    /// Fetches the public half.
    pub(super) fn public(&self, client: &Client) -> anyhow::Result<PublicHalf> {
        let answer = client.get(&format!("{}/publicKey", self.path()))?;
        let named = string(&answer, "algorithm");
        // Cloud KMS grows, and what it adds may go by the name that Binary Authorization has for it.
        let algorithm = SignatureAlgorithm::from_kms_name(&named)
            .map_or_else(|| algorithm_named(&named), Ok)
            .with_context(|| format!("{} signs with", self.key_id()))?;
        Ok(PublicHalf { pem: string(&answer, "pem"), algorithm })
    }

    /// Has `message` signed.
    pub(super) fn sign(
        &self,
        client: &Client,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let answer =
            client.post(&format!("{}:asymmetricSign", self.path()), &asked(algorithm, message))?;
        STANDARD
            .decode(string(&answer, "signature"))
            .with_context(|| format!("{} answered a signature that is not base64", self.key_id()))
    }
}

/// The digest of the message, or the message itself for algorithms that take no digest.
fn asked(algorithm: SignatureAlgorithm, message: &[u8]) -> Value {
    let Some(hash) = algorithm.hash() else {
        return json!({"data": STANDARD.encode(message)});
    };
    let digest = match hash {
        HashFunction::Sha256 => STANDARD.encode(Sha256::digest(message)),
        HashFunction::Sha384 => STANDARD.encode(Sha384::digest(message)),
        HashFunction::Sha512 => STANDARD.encode(Sha512::digest(message)),
    };
    json!({"digest": {hash.name(): digest}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

    #[test]
    fn a_whole_name_is_read_with_or_without_its_host() {
        for name in [
            NAME.to_owned(),
            format!("//cloudkms.googleapis.com/v1/{NAME}"),
            format!("https://cloudkms.googleapis.com/v1/{NAME}"),
        ] {
            let read = whole(&name).expect(&name);
            assert_eq!(read.key_id(), format!("//cloudkms.googleapis.com/v1/{NAME}"));
            assert_eq!(read.path(), format!("/v1/{NAME}"));
        }
        for name in ["projects/p", "a/b", &NAME.replace("keyRings", "rings"), &format!("{NAME}/")] {
            let refused = whole(name).expect_err(name).to_string();
            assert!(refused.contains("cryptoKeyVersions/N"), "{refused}");
        }
    }

    #[test]
    fn what_is_sent_to_be_signed_fits_the_algorithm() {
        for (algorithm, field, bytes) in [
            (SignatureAlgorithm::EcdsaP256Sha256, "sha256", 32),
            (SignatureAlgorithm::EcdsaP384Sha384, "sha384", 48),
            (SignatureAlgorithm::RsaPss4096Sha512, "sha512", 64),
        ] {
            let asked = asked(algorithm, b"message");
            let digest = asked["digest"][field].as_str().expect("a digest");
            assert_eq!(STANDARD.decode(digest).expect("base64").len(), bytes);
        }
        for algorithm in [SignatureAlgorithm::MlDsa65, SignatureAlgorithm::Ed25519] {
            assert_eq!(asked(algorithm, b"message"), json!({"data": STANDARD.encode("message")}));
        }
    }
}
