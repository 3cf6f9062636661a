//! Packets, one after the other, and the armor around them. No more than this is asked of a
//! library before the limits are kept.

use std::io::Read;

use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::PacketBodyReader;
use pgp::packet::PacketHeader;
use pgp::types::Tag;

/// Packets in one blob or certificate. A certificate with thirty-two subkeys and their histories
/// has some two hundred.
pub(crate) const PACKETS_MAX: usize = 2_000;

/// Why bytes are no packets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    /// The armor is damaged.
    #[error("the armor is damaged: {0}")]
    Armor(String),
    /// An armor begins and does not end.
    #[error("the armor has no end")]
    Unended,
    /// More than one armor, or text around it.
    #[error("there is text around the armor, or a second one: give one and no more")]
    Around,
    /// Neither armor nor packets.
    #[error("not OpenPGP: {0}")]
    Framing(String),
    /// Nothing there.
    #[error("not OpenPGP: it is empty")]
    Empty,
    /// A packet that ends before its length is reached.
    #[error("a packet is cut off")]
    Cut,
    /// More packets than there may be.
    #[error("more than {PACKETS_MAX} packets")]
    TooMany,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) header: PacketHeader,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    pub(crate) fn tag(&self) -> Tag {
        self.header.tag()
    }
}

/// The packets in `bytes`, all of them or an error.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Vec<Packet>, PacketError> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        if packets.len() == PACKETS_MAX {
            return Err(PacketError::TooMany);
        }
        packets.push(one(&mut bytes)?);
    }
    if packets.is_empty() { Err(PacketError::Empty) } else { Ok(packets) }
}

fn one(bytes: &mut &[u8]) -> Result<Packet, PacketError> {
    let header = PacketHeader::try_from_reader(&mut *bytes).map_err(framing)?;
    let mut reader = PacketBodyReader::new(header, &mut *bytes).map_err(framing)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body).map_err(framing)?;
    Ok(Packet { header, body })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn framing(error: std::io::Error) -> PacketError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => PacketError::Cut,
        _ => PacketError::Framing(error.to_string()),
    }
}

const BEGIN: &str = "-----BEGIN PGP ";
const END: &str = "-----END PGP ";

/// Whether `bytes` begin with an armor.
pub(crate) fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(BEGIN.as_bytes())
}

/// The one armor that `bytes` are: its kind and what it holds.
pub(crate) fn dearmor(bytes: &[u8]) -> Result<(BlockType, Vec<u8>), PacketError> {
    let mut armors = armors(bytes)?;
    match (armors.pop(), armors.pop()) {
        (Some(one), None) => unwrap(one),
        _ => Err(PacketError::Around),
    }
}

/// All armors in `bytes`, with nothing but blanks between them.
pub(crate) fn dearmor_all(bytes: &[u8]) -> Result<Vec<(BlockType, Vec<u8>)>, PacketError> {
    armors(bytes)?.into_iter().map(unwrap).collect()
}

fn armors(bytes: &[u8]) -> Result<Vec<&[u8]>, PacketError> {
    let mut rest = bytes.trim_ascii();
    let mut armors = Vec::new();
    while !rest.is_empty() {
        if armors.len() == PACKETS_MAX {
            return Err(PacketError::TooMany);
        }
        if !rest.starts_with(BEGIN.as_bytes()) {
            return Err(PacketError::Around);
        }
        let end = find(rest, END.as_bytes()).ok_or(PacketError::Unended)?;
        let line = rest[end..].iter().position(|&byte| byte == b'\n');
        let (armor, others) = rest.split_at(line.map_or(rest.len(), |line| end + line + 1));
        armors.push(armor);
        rest = others.trim_ascii_start();
    }
    Ok(armors)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn unwrap(armor: &[u8]) -> Result<(BlockType, Vec<u8>), PacketError> {
    let limit = DearmorOptions::new().set_limit(armor.len() + 1);
    let mut reader = Dearmor::with_options(armor, limit);
    let mut bytes = Vec::new();
    let damaged = |error: std::io::Error| PacketError::Armor(error.to_string());
    reader.read_to_end(&mut bytes).map_err(damaged)?;
    let kind = reader.typ.ok_or_else(|| PacketError::Armor("it has no kind".to_owned()))?;
    Ok((kind, bytes))
}
