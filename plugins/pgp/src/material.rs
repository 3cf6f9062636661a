//! Certificates as they come: armored or binary, one in an attestor, many in a keyring.

use hallmark_plugin_api::textual;
use pgp::armor::BlockType;

use crate::certificate::{self, Certificate, CertificateError};
use crate::packet::{self, Packet, PacketError};

/// Bytes of one keyring or one inline certificate. A certificate with many third-party signatures
/// has some 100 KiB.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Why material gives no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MaterialError {
    /// Nothing there.
    #[error("empty: expected an OpenPGP certificate (gpg --export --armor)")]
    Empty,
    /// More bytes than material may have.
    #[error("larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// A private key where a public one belongs.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An armor of something else.
    #[error("the armor holds a message or a signature, not a public key")]
    Kind,
    /// Not OpenPGP.
    #[error(transparent)]
    Packets(#[from] PacketError),
    /// Not one where one belongs.
    #[error("{0} certificates where exactly one is expected: export one key")]
    NotOne(usize),
}

/// The one certificate of an attestor's key.
pub(crate) fn read_inline(bytes: &[u8]) -> Result<Certificate, MaterialError> {
    let certificates = read(bytes)?;
    let [certificate] = <[_; 1]>::try_from(certificates)
        .map_err(|certificates| MaterialError::NotOne(certificates.len()))?;
    Ok(certificate?)
}

/// Every certificate in a file, each with why it gives no key where it does not.
pub(crate) fn read(
    bytes: &[u8],
) -> Result<Vec<Result<Certificate, CertificateError>>, MaterialError> {
    if bytes.len() > BYTES_MAX {
        return Err(MaterialError::TooLarge);
    }
    if bytes.trim_ascii().is_empty() {
        return Err(MaterialError::Empty);
    }
    let packets = packets(bytes)?;
    let certificates = certificate::read_all(&packets);
    // Never passed over: whoever put it there has to know.
    let private = certificates.contains(&Err(CertificateError::Private));
    if private { Err(CertificateError::Private.into()) } else { Ok(certificates) }
}

fn packets(bytes: &[u8]) -> Result<Vec<Packet>, MaterialError> {
    // Before anything is read: a private key stays one, whatever else is wrong with the text.
    if textual::mentions_private_key(bytes) {
        return Err(CertificateError::Private.into());
    }
    if !packet::is_text(bytes) {
        return Ok(packet::read(textual::without_mark(bytes))?);
    }
    let mut packets = Vec::new();
    for (kind, bytes) in packet::dearmor_all(bytes)? {
        match kind {
            BlockType::PublicKey => packets.extend(packet::read(&bytes)?),
            BlockType::PrivateKey => return Err(CertificateError::Private.into()),
            _ => return Err(MaterialError::Kind),
        }
    }
    if packets.len() > packet::PACKETS_MAX { Err(PacketError::TooMany.into()) } else { Ok(packets) }
}
