//! Packets, one after the other, and the armor around them. No more than this is asked of a
//! library before the limits are kept, and nothing that a library says of the bytes is passed on:
//! they may be a secret key.

use std::io::Read;

use hallmark_plugin_api::textual::{self, TextBlock, TextError};
use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::PacketBodyReader;
use pgp::packet::PacketHeader;
use pgp::types::Tag;
use zeroize::Zeroizing;

/// Packets in one blob or certificate. A certificate with thirty-two subkeys and their histories
/// has some two hundred.
pub(crate) const PACKETS_MAX: usize = 2_000;

/// Why bytes are no packets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    /// The armor is damaged.
    #[error("the armor of line {line} is damaged: export the key or signature again")]
    Armor {
        /// Of its BEGIN line.
        line: usize,
    },
    /// BEGIN and END are not where they belong.
    #[error("the armor is damaged: {0}")]
    Lines(TextError),
    /// More than one armor, or text around it.
    #[error("there is text around the armor, or a second one: give one and no more")]
    Around,
    /// Text without armor.
    #[error("not OpenPGP: it is {0}")]
    Form(&'static str),
    /// Neither armor nor packets.
    #[error("not OpenPGP: it is neither armor nor packets")]
    Framing,
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
        _ => PacketError::Framing,
    }
}

/// RFC 9580 §4.2: set in the first byte of every packet, and in none of text.
const PACKET: u8 = 0x80;

/// True if the bytes are text, in which there may be an armor, and not packets.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    textual::without_mark(bytes).first().is_some_and(|first| first & PACKET == 0)
}

/// The content of one armor, and what it says it is.
pub(crate) type Dearmored = (BlockType, Zeroizing<Vec<u8>>);

/// The one armor that `bytes` are: its kind and what it holds.
pub(crate) fn dearmor(bytes: &[u8]) -> Result<Dearmored, PacketError> {
    let found = lines(bytes)?;
    match found.blocks.as_slice() {
        [one] if !found.around => unwrap(one),
        _ => Err(PacketError::Around),
    }
}

/// All armors in `bytes`. Text around them is passed over, as GnuPG does.
pub(crate) fn dearmor_all(bytes: &[u8]) -> Result<Vec<Dearmored>, PacketError> {
    lines(bytes)?.blocks.iter().map(unwrap).collect()
}

fn lines(bytes: &[u8]) -> Result<textual::TextBlocks<'_>, PacketError> {
    let found = textual::blocks(bytes, PACKETS_MAX).map_err(|error| match error {
        TextError::TooMany => PacketError::TooMany,
        lines => PacketError::Lines(lines),
    })?;
    match found.blocks.is_empty() {
        true => Err(textual::form(bytes).map_or(PacketError::Framing, PacketError::Form)),
        false => Ok(found),
    }
}

/// The contents of an armor. The library is handed the armor as RFC 9580 §6.2 has it: no headers,
/// which say nothing that is signed, and an empty line before the body, which people lose.
fn unwrap(block: &TextBlock<'_>) -> Result<(BlockType, Zeroizing<Vec<u8>>), PacketError> {
    let damaged = PacketError::Armor { line: block.line };
    let kind = block.label;
    if !kind.starts_with("PGP ") {
        return Err(PacketError::Form("PEM, which holds no OpenPGP key"));
    }
    let armor = canonical(kind, &block.lines);
    let limit = DearmorOptions::new().set_limit(armor.len() + 1);
    let mut reader = Dearmor::with_options(armor.as_slice(), limit);
    // All of it reserved at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(armor.len()));
    reader.read_to_end(&mut bytes).map_err(|_| damaged.clone())?;
    Ok((reader.typ.ok_or(damaged)?, bytes))
}

fn canonical(kind: &str, lines: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let is_header =
        |line: &&&[u8]| line.windows(2).any(|pair| pair == b": ") || line.ends_with(b":");
    let headers = lines.iter().take_while(is_header).count();
    let body = lines[headers..].iter().filter(|line| !line.is_empty());
    let (begin, end) = (format!("-----BEGIN {kind}-----\n\n"), format!("-----END {kind}-----\n"));
    let length: usize = body.clone().map(|line| line.len() + 1).sum();
    let mut armor = Zeroizing::new(Vec::with_capacity(begin.len() + length + end.len()));
    armor.extend_from_slice(begin.as_bytes());
    for line in body {
        armor.extend_from_slice(line);
        armor.push(b'\n');
    }
    armor.extend_from_slice(end.as_bytes());
    armor
}
