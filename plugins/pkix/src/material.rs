//! Key material in whatever form it comes: PEM, DER, X.509 or a JSON Web Key Set, told apart by
//! its content.

use hallmark_plugin_api::textual;

use crate::certificate::{self, CertificateError, Validity};
use crate::jwks::{self, Jwks, JwksError};
use crate::key::{Key, KeyError};
use crate::pem::{self, Block, PemError};

/// Bytes of one file or one inline text. A set of 1000 RSA-4096 keys has about 0.8 MiB.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Why material gives no keys. Never holds any of the material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MaterialError {
    /// Nothing there.
    #[error("empty: expected a public key in PEM, DER, X.509 or JWKS")]
    Empty,
    /// More bytes than material may have.
    #[error("larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// None of the forms known.
    #[error("neither PEM, DER, X.509 nor JWKS")]
    Form,
    /// A form that is known, and holds no key for here.
    #[error("neither PEM, DER, X.509 nor JWKS: it is {0}")]
    OtherForm(&'static str),
    /// A form that is for files only.
    #[error("a JSON Web Key Set cannot be given inline: give one key in PEM")]
    InlineJwks,
    /// A private key where a public one belongs.
    #[error("a private key: give the public key, and replace this one if others could read it")]
    Private,
    /// PEM of something else.
    #[error("a PEM block of `{0}` is not a public key or certificate")]
    Label(&'static str),
    /// Not one key where one belongs.
    #[error("{0} keys where exactly one is expected")]
    NotOne(usize),
    /// Not PEM after all.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not a certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Not a key set.
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

/// A public key with what its form says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundKey {
    /// The key.
    pub(crate) key: Key,
    /// When a certificate says it is valid.
    pub(crate) validity: Option<Validity>,
}

impl From<Key> for FoundKey {
    fn from(key: Key) -> Self {
        Self { key, validity: None }
    }
}

/// The contents of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    /// Keys in PEM, DER or certificates, in their order, each with why it gives none where it does
    /// not. Never empty.
    Keys(Vec<Result<FoundKey, MaterialError>>),
    /// A key set.
    Set(Jwks),
}

/// Reads the content of a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Material, MaterialError> {
    if bytes.len() > BYTES_MAX {
        return Err(MaterialError::TooLarge);
    }
    if bytes.trim_ascii().is_empty() {
        return Err(MaterialError::Empty);
    }
    let text = textual::without_mark(bytes).trim_ascii();
    if text.starts_with(b"{") {
        return Ok(Material::Set(jwks::parse(text)?));
    }
    if textual::has_blocks(bytes) {
        return pem(bytes).map(Material::Keys);
    }
    if textual::is_private_der(bytes) {
        return Err(MaterialError::Private);
    }
    if bytes.starts_with(&[DER_SEQUENCE]) {
        return der(bytes).map(|found| Material::Keys(vec![Ok(found)]));
    }
    Err(textual::form(bytes).map_or(MaterialError::Form, MaterialError::OtherForm))
}

/// Reads the key of an attestor: exactly one, in PEM, DER or a certificate.
pub(crate) fn read_inline(bytes: &[u8]) -> Result<FoundKey, MaterialError> {
    let Material::Keys(keys) = read(bytes)? else { return Err(MaterialError::InlineJwks) };
    let [found] = <[_; 1]>::try_from(keys).map_err(|keys| MaterialError::NotOne(keys.len()))?;
    found
}

/// The identifier octet that every DER form here begins with.
const DER_SEQUENCE: u8 = 0x30;

/// The keys in PEM blocks. OpenSSL writes the curve of a key in a block of its own before it.
fn pem(text: &[u8]) -> Result<Vec<Result<FoundKey, MaterialError>>, MaterialError> {
    // Before anything is read: a private key stays one, whatever else is wrong with the text.
    if textual::mentions_private_key(text) {
        return Err(MaterialError::Private);
    }
    let blocks = pem::blocks(text)?;
    let keys = blocks.iter().filter(|block| block.label != "EC PARAMETERS").map(block);
    let keys: Vec<_> = keys.collect();
    if keys.is_empty() { Err(MaterialError::NotOne(0)) } else { Ok(keys) }
}

fn block(block: &Block) -> Result<FoundKey, MaterialError> {
    match block.label {
        "PUBLIC KEY" => Ok(Key::from_spki_der(&block.der)?.into()),
        "RSA PUBLIC KEY" => Ok(Key::from_rsa_public_key_der(&block.der)?.into()),
        "CERTIFICATE" => Ok(of_certificate(&block.der)?),
        label => Err(MaterialError::Label(label)),
    }
}

/// A `SubjectPublicKeyInfo` or a certificate. Where it is neither, the error is of the form that
/// its second level points to: a certificate nests two sequences before its first integer.
fn der(bytes: &[u8]) -> Result<FoundKey, MaterialError> {
    match Key::from_spki_der(bytes) {
        Ok(key) => Ok(key.into()),
        Err(KeyError::Der) => match of_certificate(bytes) {
            Err(CertificateError::Der) => Err(KeyError::Der.into()),
            other => Ok(other?),
        },
        Err(error) => Err(error.into()),
    }
}

fn of_certificate(der: &[u8]) -> Result<FoundKey, CertificateError> {
    let (key, validity) = certificate::key(der)?;
    Ok(FoundKey { key, validity: Some(validity) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Kind};

    fn inline(text: &str) -> Result<FoundKey, MaterialError> {
        read_inline(text.as_bytes())
    }

    #[test]
    fn every_kind_is_read_from_pem_and_der() {
        for kind in Kind::ALL {
            let expected = Key::from_spki_der(fixture::public_der(kind)).unwrap().into();
            assert_eq!(inline(&fixture::public_pem(kind)), Ok(expected), "{kind:?}");
            let of_der = read_inline(fixture::public_der(kind)).unwrap();
            assert_eq!(of_der.key.spki_der, fixture::public_der(kind), "{kind:?}");
        }
    }

    #[test]
    fn certificates_are_read_from_pem_and_der() {
        for kind in Kind::OPENSSL {
            let der = fixture::certificate_der(kind, &[]);
            let of_der = read_inline(&der).unwrap();
            assert_eq!(of_der.key.spki_der, fixture::public_der(kind), "{kind:?}");
            assert!(of_der.validity.is_some());
            assert_eq!(inline(&fixture::pem("CERTIFICATE", &der)), Ok(of_der), "{kind:?}");
        }
    }

    #[test]
    fn pkcs1_is_read_as_the_same_key() {
        let private = fixture::private_pem(Kind::Rsa2048).as_bytes();
        let pkcs1 = fixture::openssl(&["rsa", "-RSAPublicKey_out"], private);
        let found = read_inline(&pkcs1).unwrap();
        assert_eq!(found.key.spki_der, fixture::public_der(Kind::Rsa2048));
    }

    #[test]
    fn inline_material_is_exactly_one_key() {
        let two = fixture::public_pem(Kind::P256).repeat(2);
        assert_eq!(inline(&two), Err(MaterialError::NotOne(2)));
        assert_eq!(inline(" \n"), Err(MaterialError::Empty));
        assert_eq!(inline(r#"{"keys":[]}"#), Err(MaterialError::InlineJwks));
        assert_eq!(inline("hello"), Err(MaterialError::Form));
        let ssh = inline("ssh-ed25519 AAAA").unwrap_err().to_string();
        assert!(ssh.contains("an SSH public key: convert it"), "{ssh}");
        let ec = fixture::public_pem(Kind::P256).replace("PUBLIC", "EC PUBLIC");
        assert_eq!(inline(&ec), Err(MaterialError::Label("EC PUBLIC KEY")));
    }

    #[test]
    fn private_keys_are_refused_and_not_repeated() {
        for kind in [Kind::P256, Kind::Rsa2048, Kind::MlDsa65] {
            let private = fixture::private_pem(kind);
            let error = inline(private).unwrap_err();
            assert_eq!(error, MaterialError::Private);
            let body = private.lines().nth(1).unwrap();
            assert!(!error.to_string().contains(&body[..8]), "{error}");
        }
        let beside =
            format!("{}{}", fixture::public_pem(Kind::P256), fixture::private_pem(Kind::P256));
        assert_eq!(inline(&beside), Err(MaterialError::Private));
        let one_line = fixture::private_pem(Kind::P256).replace('\n', " ");
        assert_eq!(inline(&one_line), Err(MaterialError::Private));
        let private = fixture::private_pem(Kind::P256).as_bytes();
        let der = fixture::openssl(&["pkey", "-outform", "DER"], private);
        assert_eq!(read_inline(&der), Err(MaterialError::Private));
    }

    #[test]
    fn every_flipped_bit_of_a_point_is_refused_or_another_key() {
        let der = fixture::public_der(Kind::P256);
        let good = read_inline(der).unwrap();
        for bit in 0..der.len() * 8 {
            let mut flipped = der.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = read_inline(&flipped).ok();
            assert_ne!(read.as_ref(), Some(&good), "bit {bit}");
        }
    }

    #[test]
    fn the_size_is_limited() {
        let pem = fixture::public_pem(Kind::P256);
        let padded = |length: usize| format!("{pem}{}", " ".repeat(length - pem.len()));
        inline(&padded(BYTES_MAX)).unwrap();
        assert_eq!(inline(&padded(BYTES_MAX + 1)), Err(MaterialError::TooLarge));
    }

    #[test]
    fn damaged_der_is_called_by_its_form() {
        let der = fixture::public_der(Kind::P256);
        let cut = read_inline(&der[..40]);
        assert!(matches!(cut, Err(MaterialError::Key(KeyError::Der))), "{cut:?}");
        let usage = ["-addext", "keyUsage=keyCertSign"];
        let ca = read_inline(&fixture::certificate_der(Kind::P256, &usage));
        assert_eq!(ca, Err(CertificateError::KeyUsage.into()));
    }
}
