//! A signature blob: attached to its payload or detached from it.
//!
//! `gpg --armor --sign` makes `[compressed [one-pass signature, literal, signature]]`,
//! `gpg --detach-sign` signatures alone. Anything else is refused, and so is the cleartext form: it
//! is signed in another shape than it is read in.

use std::io::Read;
use std::sync::Arc;

use hallmark_plugin_api::{Decoded, Failure, Refusal, Signed};
use pgp::armor::BlockType;
use pgp::packet::{Decompressor, Signature};
use pgp::types::Tag;

use crate::packet::{self, Packet, PacketError};
use crate::signature::{self, DataSignature, Dates, HostSignature, SignatureError};

/// Bytes of one blob: an armored payload of the host's longest, 64 KiB, with its signatures.
pub(crate) const BLOB_BYTES_MAX: usize = 256 << 10;
/// Bytes that a compressed blob may come to: as many as one that is not compressed has.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = BLOB_BYTES_MAX;
/// Bytes of the payload that a blob brings along: the host stores none that is longer, so a longer
/// one is another than that of the attestation.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Signatures in one blob, as many as the host takes.
pub(crate) const SIGNATURES_MAX: usize = 16;

/// Why a blob holds nothing to verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    /// More bytes than a blob may have.
    #[error("a signature of {0} bytes: at most {BLOB_BYTES_MAX}")]
    TooLarge(usize),
    /// `gpg --clearsign`.
    #[error("a cleartext signature is refused: use gpg --sign or --detach-sign")]
    Cleartext,
    /// A key, or something else in armor.
    #[error("the armor holds a key or something else, not a signature")]
    Kind,
    /// Not packets.
    #[error(transparent)]
    Packets(#[from] PacketError),
    /// A compression that is unknown, or damaged.
    #[error("cannot be decompressed: its compression is damaged or not known")]
    Compression,
    /// A decompression bomb.
    #[error("more than {DECOMPRESSED_BYTES_MAX} bytes when decompressed")]
    Bomb,
    /// A payload that is of no attestation.
    #[error("a payload of {0} bytes within it: at most {PAYLOAD_BYTES_MAX}")]
    Payload(usize),
    /// Compressed twice.
    #[error("a compressed packet within another")]
    Nested,
    /// Packets in an order that makes no signed message.
    #[error("not a signed message: {0}")]
    Grammar(String),
    /// Ambiguous for the host: which one is it about?
    #[error("more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
}

/// Takes a blob apart. `payload` is what a detached signature is over; an attached one brings its
/// own.
pub(crate) fn decode(blob: &[u8], payload: &[u8]) -> Result<Vec<Decoded>, MessageError> {
    let packets = unpack(blob)?;
    let message = Message::of(&packets)?;
    let signed = message.literal.unwrap_or(payload);
    let attached: Arc<[u8]> = message.literal.unwrap_or_default().into();
    let decode = |packet: &&Packet| one(packet, signed, &attached);
    Ok(message.signatures.iter().map(decode).collect())
}

/// The packets of a blob, out of its armor and its compression.
fn unpack(blob: &[u8]) -> Result<Vec<Packet>, MessageError> {
    if blob.len() > BLOB_BYTES_MAX {
        return Err(MessageError::TooLarge(blob.len()));
    }
    let packets = if packet::is_text(blob) {
        if blob.trim_ascii_start().starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
            return Err(MessageError::Cleartext);
        }
        let (kind, bytes) = packet::dearmor(blob)?;
        match kind {
            BlockType::Message | BlockType::Signature => packet::read(&bytes)?,
            _ => return Err(MessageError::Kind),
        }
    } else {
        packet::read(blob)?
    };
    let [only] = packets.as_slice() else { return Ok(packets) };
    if only.tag() != Tag::CompressedData {
        return Ok(packets);
    }
    let inner = packet::read(&decompress(&only.body)?)?;
    let nested = inner.iter().any(|packet| packet.tag() == Tag::CompressedData);
    if nested { Err(MessageError::Nested) } else { Ok(inner) }
}

fn decompress(compressed: &[u8]) -> Result<Vec<u8>, MessageError> {
    let damaged = |_: std::io::Error| MessageError::Compression;
    let reader = Decompressor::from_reader(compressed).map_err(damaged)?;
    let mut bytes = Vec::new();
    let most = DECOMPRESSED_BYTES_MAX as u64 + 1;
    reader.take(most).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() > DECOMPRESSED_BYTES_MAX { Err(MessageError::Bomb) } else { Ok(bytes) }
}

/// A message by its parts.
struct Message<'a> {
    literal: Option<&'a [u8]>,
    signatures: Vec<&'a Packet>,
}

impl<'a> Message<'a> {
    /// One-pass signatures, a literal and as many signatures; or signatures alone.
    fn of(packets: &'a [Packet]) -> Result<Self, MessageError> {
        let wrong = |text: String| Err(MessageError::Grammar(text));
        let (mut announced, mut literal, mut signatures) = (0, None, Vec::new());
        for packet in packets {
            match packet.tag() {
                Tag::Marker | Tag::Padding => {}
                Tag::OnePassSignature if literal.is_none() && signatures.is_empty() => {
                    announced += 1;
                }
                Tag::LiteralData if literal.is_none() && signatures.is_empty() => {
                    literal = Some(literal_data(&packet.body)?);
                }
                Tag::Signature => signatures.push(packet),
                Tag::CompressedData => return Err(MessageError::Nested),
                other => return wrong(format!("a packet of {other:?} where none belongs")),
            }
        }
        if signatures.len() > SIGNATURES_MAX {
            return Err(MessageError::TooManySignatures);
        }
        match (literal.is_some(), announced, signatures.len()) {
            (_, _, 0) => wrong("it has no signature".to_owned()),
            (true, announced, found) if announced != found => {
                wrong(format!("{announced} signatures announced, {found} found"))
            }
            (false, 1.., _) => wrong("it has no literal".to_owned()),
            _ => Ok(Self { literal, signatures }),
        }
    }
}

/// RFC 9580 §5.9: format, file name, date, and the rest is data.
fn literal_data(body: &[u8]) -> Result<&[u8], MessageError> {
    let (&format, rest) = body.split_first().ok_or(PacketError::Cut)?;
    if !matches!(format, b'b' | b't' | b'u') {
        let text = format!("a literal of format `{}`", char::from(format).escape_default());
        return Err(MessageError::Grammar(text));
    }
    let (&name, rest) = rest.split_first().ok_or(PacketError::Cut)?;
    let data = rest.get(usize::from(name) + 4..).ok_or(PacketError::Cut)?;
    if data.len() > PAYLOAD_BYTES_MAX {
        return Err(MessageError::Payload(data.len()));
    }
    // To the host an empty payload is none, and the signature one over the payload it has.
    if data.is_empty() {
        return Err(MessageError::Grammar("its literal is empty".to_owned()));
    }
    Ok(data)
}

fn one(packet: &Packet, signed: &[u8], attached: &Arc<[u8]>) -> Decoded {
    let refused = |key_id: String, error: &SignatureError| {
        Decoded::Refused(Refusal { failure: failure(error), key_id, text: error.to_string() })
    };
    let parsed = match signature::parse(packet) {
        Ok(parsed) => parsed,
        Err(error) => return refused(String::new(), &error),
    };
    let key_id = signature::issuer(&parsed);
    match of_payload(packet, &parsed, signed) {
        Ok(_) if key_id.is_empty() => refused(key_id, &SignatureError::Anonymous),
        Ok((host, dates)) => Decoded::Signed(Signed {
            key_handle: 0,
            key_id,
            algorithm: host.algorithm,
            message: host.message,
            signature: host.signature,
            payload: Arc::clone(attached),
            signed_at: Some(dates.created),
            expires_at: dates.expires,
        }),
        Err(error) => refused(key_id, &error),
    }
}

fn of_payload(
    packet: &Packet,
    parsed: &Signature,
    signed: &[u8],
) -> Result<(HostSignature, Dates), SignatureError> {
    let signature = DataSignature::read(packet, parsed)?;
    Ok((signature.over(signed)?, signature.dates()))
}

fn failure(error: &SignatureError) -> Failure {
    match error {
        SignatureError::Hash(_) => Failure::AlgRejected,
        SignatureError::Algorithm(_) => Failure::AlgUnsupported,
        SignatureError::HashValue => Failure::BadSignature,
        _ => Failure::Malformed,
    }
}

impl From<&MessageError> for Failure {
    fn from(_: &MessageError) -> Self {
        Self::Malformed
    }
}
