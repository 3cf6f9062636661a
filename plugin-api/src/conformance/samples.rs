//! Questions for a plugin: honest items if it can make them, and hostile ones.

use super::batch::{Op, Sample, Shape, call};
use super::finding::Trouble;
use super::plugin::{Live, Open};
use crate::{KeyFlags, abi};

/// An algorithm number that no version has.
pub(super) const NO_ALGORITHM: u32 = 0x7FFF_FFF1;
/// An item flag that no version has.
pub(super) const NO_FLAG: u32 = 1 << 31;
/// A handle that no key has.
pub(super) const NO_HANDLE: u64 = u64::MAX - 7;
/// Keys of a snapshot that are tried. A device may take 100 ms for each signature.
const KEYS: usize = 3;

/// Items to sign, good ones first.
pub(super) fn to_sign(open: &Open<'_>) -> Vec<Sample> {
    let keys = open.signing().take(KEYS);
    keys.flat_map(|key| {
        let alg = key.algorithms.first().map_or(0, |algorithm| algorithm.number());
        let of = |message: &[u8]| Sample {
            key_handle: key.handle,
            alg,
            message: message.to_vec(),
            ..Sample::default()
        };
        [of(b"hallmark"), of(b"another message"), of(b"")]
    })
    .collect()
}

/// Messages that the plugin signed, each with its signature, to verify.
pub(super) fn signed(live: &Live<'_>, open: &Open<'_>) -> Result<Vec<Sample>, Trouble> {
    if !live.plugin.has(Op::Sign.cap()) {
        return Ok(Vec::new());
    }
    let mut signed = Vec::new();
    for chunk in to_sign(open).chunks(live.plugin.batch_max()) {
        let answers = call(live, Some(open), Op::Sign, chunk, Shape::default(), None)?;
        let answers = answers.answers(Op::Sign)?;
        for (sample, answer) in chunk.iter().zip(answers) {
            if let Some(signature) = answer.outputs.into_iter().next() {
                signed.push(Sample { signature, ..sample.clone() });
            }
        }
    }
    Ok(signed)
}

/// A batch of all sorts for a call.
pub(super) fn of(op: Op, live: &Live<'_>, open: Option<&Open<'_>>) -> Result<Vec<Sample>, Trouble> {
    let mut samples = match (op, open) {
        (Op::Sign, Some(open)) => to_sign(open),
        (Op::Verify, Some(open)) => to_verify(live, open)?,
        (Op::Decode, _) => blobs(live),
        (_, None) => Vec::new(),
    };
    samples.extend(hostile(open));
    Ok(samples)
}

fn to_verify(live: &Live<'_>, open: &Open<'_>) -> Result<Vec<Sample>, Trouble> {
    let mut samples = signed(live, open)?;
    let flipped: Vec<_> = samples.iter().map(|good| flip_signature(good, 0)).collect();
    samples.extend(flipped);
    let unsigned = open.keys.iter().filter(|key| key.flags.contains(KeyFlags::VERIFY)).take(KEYS);
    samples.extend(unsigned.map(|key| Sample {
        key_handle: key.handle,
        alg: key.algorithms.first().map_or(0, |algorithm| algorithm.number()),
        message: b"hallmark".to_vec(),
        signature: vec![0x5A; 64],
        ..Sample::default()
    }));
    Ok(samples)
}

/// Items that no plugin says yes to.
pub(super) fn hostile(open: Option<&Open<'_>>) -> Vec<Sample> {
    let key = open.and_then(|open| open.keys.first());
    let handle = key.map_or(1, |key| key.handle);
    let with = |key_handle, alg, flags| Sample {
        key_handle,
        alg,
        flags,
        message: b"hostile".to_vec(),
        signature: vec![0xFF; 71],
        ..Sample::default()
    };
    vec![
        with(NO_HANDLE, 0, 0),
        with(handle, NO_ALGORITHM, 0),
        with(handle, 0, NO_FLAG),
        Sample { signature: vec![0; 65_536], ..with(handle, abi::HALLMARK_ALG_ED25519, 0) },
        Sample { key: vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], ..with(0, 0, 0) },
        Sample { key: vec![0x30; 4_096], ..with(0, abi::HALLMARK_ALG_ECDSA_P256_SHA256, 0) },
    ]
}

/// Signature blobs: those given, those with a bit turned over, and those that are none.
fn blobs(live: &Live<'_>) -> Vec<Sample> {
    let mut samples = given_blobs(live);
    let middle = |sample: &Sample| sample.signature.len() * 4;
    let flipped: Vec<_> = samples.iter().map(|it| flip_signature(it, middle(it))).collect();
    samples.extend(flipped);
    samples.extend(no_blobs());
    samples
}

/// Those that the vendor gave.
pub(super) fn given_blobs(live: &Live<'_>) -> Vec<Sample> {
    let sample = |(signature, message): &(Vec<u8>, Vec<u8>)| Sample {
        signature: signature.clone(),
        message: message.clone(),
        ..Sample::default()
    };
    live.plugin.blobs.iter().map(sample).collect()
}

fn no_blobs() -> Vec<Sample> {
    let armor = b"-----BEGIN PGP SIGNATURE-----\n\nwsBc".to_vec();
    let lengths = vec![0xFF; 512];
    let packets = [&[0x99, 0xFF, 0xFF][..], &[0x04; 64]].concat();
    let nested = b"{\"a\":".repeat(2_000);
    let blobs =
        [vec![], vec![0], vec![0xC2, 0xFF], armor, lengths, packets, nested, vec![0; 65_536]];
    let of = |signature| Sample { signature, message: b"payload".to_vec(), ..Sample::default() };
    blobs.into_iter().map(of).collect()
}

/// The sample with one bit of its signature turned over.
pub(super) fn flip_signature(sample: &Sample, bit: usize) -> Sample {
    let mut flipped = sample.clone();
    flip(&mut flipped.signature, bit);
    flipped
}

/// Turns one bit over, where there is any.
pub(super) fn flip(bytes: &mut [u8], bit: usize) {
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}
