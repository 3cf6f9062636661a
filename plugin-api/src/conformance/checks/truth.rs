//! Checks that the plugin tells the truth.

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::conformance::batch::{Op, Sample, Shape};
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::{Kit, answers, verdict_name};
use crate::conformance::plugin::{Live, Open};
use crate::conformance::samples::{flip, flip_signature, signed, to_sign};
use crate::{Algorithm, HashFunction, KeyFlags, abi};

/// Bits of a signature that are turned over, spread over its length. All bits of an Ed25519 one.
const FLIPS: usize = 512;

/// `verify_batch` says VALID to nothing that was changed.
pub(in crate::conformance) fn no_false_valid(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let open = verifying(live, open)?;
        let honest = signed(live, open)?;
        let mut changed = junk(open);
        for sample in &honest {
            changed.extend(changes(sample));
        }
        let found = answers(live, Some(open), Op::Verify, &changed, Shape::default())?;
        match found.iter().position(|answer| answer.verdict == abi::HALLMARK_VALID) {
            Some(index) => fail(format!(
                "`verify_batch` says VALID to item {index} of the changed ones ({} bytes of message, {} \
                 of signature), which its key never signed; this lets any image in",
                changed[index].message.len(),
                changed[index].signature.len()
            )),
            None => Ok(format!("{} changed signatures", changed.len())),
        }
    })
}

/// A signature that it made with a key that it verifies with is valid to it.
pub(in crate::conformance) fn own_signatures(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let open = verifying(live, open)?;
        let verifies = |sample: &&Sample| {
            let key = open.keys.iter().find(|key| key.handle == sample.key_handle);
            key.is_some_and(|key| key.flags.contains(KeyFlags::VERIFY))
        };
        let honest: Vec<_> = signed(live, open)?.iter().filter(verifies).cloned().collect();
        if honest.is_empty() {
            return Err(Trouble::Skip("no key both signs and verifies"));
        }
        let found = answers(live, Some(open), Op::Verify, &honest, Shape::default())?;
        match found.iter().find(|answer| answer.verdict != abi::HALLMARK_VALID) {
            Some(answer) => fail(format!(
                "`verify_batch` answers {} to a signature of `sign_batch` by the same key",
                verdict_name(answer.verdict)
            )),
            None => Ok(format!("{} signatures", honest.len())),
        }
    })
}

/// The host verifies its signatures with the key that it lists.
pub(in crate::conformance) fn host_verifies(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let open = signing(live, open)?;
        for sample in &signed_by_all(live, open)? {
            judge(kit, open, sample, &sample.message, &sample.signature)?;
        }
        Ok("the host verifies what it signs".to_owned())
    })
}

/// A digest is signed as the message that has it, or not at all.
pub(in crate::conformance) fn prehashed(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let open = signing(live, open)?;
        let mut done = 0;
        for sample in to_sign(open) {
            let Some(digest) = digest(sample.alg, &sample.message) else { continue };
            let flags = abi::HALLMARK_ITEM_PREHASHED;
            let item = Sample { message: digest, flags, ..sample.clone() };
            let found = answers(live, Some(open), Op::Sign, &[item], Shape::default())?;
            match found.first() {
                Some(answer) if answer.verdict == abi::HALLMARK_DONE => {
                    let signature = answer.outputs.first().map_or(&[][..], Vec::as_slice);
                    judge(kit, open, &sample, &sample.message, signature)?;
                    done += 1;
                }
                Some(answer) if answer.verdict == abi::HALLMARK_ALG_UNSUPPORTED => {}
                answer => {
                    let verdict = answer.map_or(abi::HALLMARK_NOT_PROCESSED, |it| it.verdict);
                    return fail(format!(
                        "`sign_batch` answers {} to a digest; sign it, or answer ALG_UNSUPPORTED",
                        verdict_name(verdict)
                    ));
                }
            }
        }
        Ok(format!("{done} digests signed"))
    })
}

fn verifying<'a>(live: &Live<'_>, open: Option<&'a Open<'a>>) -> Result<&'a Open<'a>, Trouble> {
    let open = open.filter(|_| live.plugin.has(Op::Verify.cap()));
    open.ok_or(Trouble::Skip("the plugin does not verify with keys of its own"))
}

fn signing<'a>(live: &Live<'_>, open: Option<&'a Open<'a>>) -> Result<&'a Open<'a>, Trouble> {
    let open = open.filter(|_| live.plugin.has(Op::Sign.cap()));
    let open = open.ok_or(Trouble::Skip("the plugin does not sign"))?;
    if open.signing().next().is_none() {
        return Err(Trouble::Skip("the configuration gives no key that signs"));
    }
    Ok(open)
}

/// Signatures by every key of the samples: a key that lists itself as signing does.
fn signed_by_all(live: &Live<'_>, open: &Open<'_>) -> Result<Vec<Sample>, Trouble> {
    let signed = signed(live, open)?;
    let asked = to_sign(open);
    let silent = asked.iter().find(|it| {
        !signed.iter().any(|one| one.key_handle == it.key_handle && one.message == it.message)
    });
    match silent {
        Some(sample) => fail(format!(
            "`sign_batch` does not sign {} bytes with key {}, which its snapshot says it can",
            sample.message.len(),
            sample.key_handle
        )),
        None => Ok(signed),
    }
}

/// Does the host's own arithmetic agree?
fn judge(
    kit: &Kit<'_>,
    open: &Open<'_>,
    sample: &Sample,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Trouble> {
    let key = open.keys.iter().find(|key| key.handle == sample.key_handle);
    let (Some(key), Some(algorithm)) = (key, Algorithm::from_number(sample.alg)) else {
        return Ok(());
    };
    if key.spki_der.is_empty()
        || (kit.program.verifies)(algorithm, &key.spki_der, message, signature)
    {
        return Ok(());
    }
    fail(format!(
        "what `sign_batch` makes with `{}` is no signature of {} by the key that the snapshot lists: \
         check the key, the hash, and the form (ECDSA in DER, Ed25519 of 64 bytes)",
        key.id,
        format_args!("{algorithm:?}"),
    ))
}

/// The sample with what a forger would change.
fn changes(sample: &Sample) -> Vec<Sample> {
    let bits = sample.signature.len() * 8;
    let step = (bits / FLIPS).max(1);
    let mut changed: Vec<_> =
        (0..bits).step_by(step).map(|bit| flip_signature(sample, bit)).collect();
    let mut other = sample.clone();
    other.message.push(b'!');
    changed.push(other);
    if !sample.message.is_empty() {
        let mut other = sample.clone();
        flip(&mut other.message, 0);
        changed.push(other);
    }
    let short = sample.signature.len().saturating_sub(1);
    changed.push(Sample { signature: sample.signature[..short].to_vec(), ..sample.clone() });
    changed.push(Sample { signature: Vec::new(), ..sample.clone() });
    changed
}

/// Signatures that nobody made.
fn junk(open: &Open<'_>) -> Vec<Sample> {
    let keys = open.keys.iter().take(8);
    keys.flat_map(|key| {
        let alg = key.algorithms.first().map_or(0, |algorithm| algorithm.number());
        let of = |signature: Vec<u8>| Sample {
            key_handle: key.handle,
            alg,
            message: b"hallmark".to_vec(),
            signature,
            ..Sample::default()
        };
        [of(vec![0; 64]), of(vec![0x5A; 71]), of(vec![0xFF; 512]), of(Vec::new())]
    })
    .collect()
}

/// The digest that an algorithm makes of a message, for those that hash once.
fn digest(alg: u32, message: &[u8]) -> Option<Vec<u8>> {
    Some(match Algorithm::from_number(alg)?.hash()? {
        HashFunction::Sha256 => Sha256::digest(message).to_vec(),
        HashFunction::Sha384 => Sha384::digest(message).to_vec(),
        HashFunction::Sha512 => Sha512::digest(message).to_vec(),
    })
}
