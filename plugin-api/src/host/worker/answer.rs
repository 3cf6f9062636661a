//! The answers of a worker process, written into the shared memory.

use std::sync::Arc;

use super::arena::Writer;
use super::wire::{self, Put};
use crate::host::PluginImage;
use crate::host::keys::{KeyRecord, KeySnapshot};
use crate::{Decoded, Failure, abi};

/// The plugin's answer, before it is written over the question.
pub(super) enum Answer {
    Done,
    Image(Arc<PluginImage>),
    Snapshot(Arc<KeySnapshot>),
    /// The keys from that one on.
    Keys(Arc<KeySnapshot>, usize),
    Resolved(Vec<KeyRecord>),
    Verified(Vec<Result<(), Failure>>),
    Decoded(Vec<Result<Vec<Decoded>, Failure>>),
    Signed(Vec<Result<Vec<u8>, Failure>>),
}

impl Answer {
    /// `None` where it does not fit.
    pub(super) fn write(&self, to: &mut Writer) -> Option<()> {
        match self {
            Self::Done => Some(()),
            Self::Image(image) => wire::put_info(to, image.info()),
            Self::Snapshot(snapshot) => {
                let ttl = snapshot.ttl.map_or(0, |ttl| ttl.as_secs());
                to.u64(snapshot.generation)?;
                to.u32(u32::try_from(ttl).unwrap_or(u32::MAX))?;
                to.u32(snapshot.keys.len() as u32)?;
                write_keys(to, &snapshot.keys).map(drop)
            }
            Self::Keys(snapshot, first) => write_keys(to, snapshot.keys.get(*first..)?).map(drop),
            Self::Resolved(keys) => {
                let written = write_keys(to, keys)?;
                (written == keys.len()).then_some(())
            }
            Self::Verified(answers) => {
                write_answers(to, answers, abi::HALLMARK_VALID, |_, ()| Some(()), |_| Some(()))
            }
            Self::Decoded(answers) => write_answers(
                to,
                answers,
                abi::HALLMARK_DONE,
                |to, decoded| {
                    to.u32(decoded.len() as u32)?;
                    decoded.iter().try_for_each(|decoded| wire::put_decoded(to, decoded))
                },
                |to| to.u32(0),
            ),
            Self::Signed(answers) => write_answers(
                to,
                answers,
                abi::HALLMARK_DONE,
                |to, signature| to.bytes(signature),
                |to| to.bytes(&[]),
            ),
        }
    }
}

/// As many keys as fit, after their count.
fn write_keys(to: &mut Writer, keys: &[KeyRecord]) -> Option<usize> {
    let count_at = to.len();
    to.u32(0)?;
    let written = as_many_as_fit(to, keys, wire::put_key);
    to.patch(count_at, written);
    Some(written as usize)
}

/// As many answers as fit, at least one, after their count.
fn write_answers<T>(
    to: &mut Writer,
    answers: &[Result<T, Failure>],
    done: abi::Verdict,
    output: impl Fn(&mut Writer, &T) -> Option<()>,
    nothing: impl Fn(&mut Writer) -> Option<()>,
) -> Option<()> {
    let count_at = to.len();
    to.u32(0)?;
    let mut written = as_many_as_fit(to, answers, |to, answer| match answer {
        Ok(answer) => to.u32(done).and_then(|()| output(to, answer)),
        Err(failure) => to.u32(*failure as abi::Verdict).and_then(|()| nothing(to)),
    });
    if written == 0 && !answers.is_empty() {
        to.u32(abi::HALLMARK_BACKEND_ERROR)?;
        nothing(to)?;
        written = 1;
    }
    to.patch(count_at, written);
    Some(())
}

fn as_many_as_fit<T>(
    to: &mut Writer,
    rows: &[T],
    write: impl Fn(&mut Writer, &T) -> Option<()>,
) -> u32 {
    let mut written = 0;
    for row in rows {
        let before = to.len();
        if write(to, row).is_none() {
            to.truncate(before);
            break;
        }
        written += 1;
    }
    written
}
