//! Snapshots: what they list, and what stays true while they are open.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::conformance::batch::{Answer, Op, Sample, Shape};
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::{Kit, alone, answers, same};
use crate::conformance::plugin::{Live, Open, rc_name};
use crate::conformance::samples;
use crate::{Caps, KeyFlags, abi};

/// Snapshots that are open at once, and that are taken while calls run.
const SNAPSHOTS: usize = 20;

pub(in crate::conformance) fn listed(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let Some(open) = open else { return Err(Trouble::Skip("the plugin lists no keys")) };
        let info = live.plugin.image.info();
        for key in &open.keys {
            if let Some(why) = &key.unusable {
                return fail(format!("the daemon would not use key `{}`: {why}", key.id));
            }
            let scheme = key.id.split(':').next().unwrap_or_default().to_lowercase();
            if !info.schemes.contains(&scheme) {
                return fail(format!(
                    "key `{}` has the scheme `{scheme}`, which is not among the table's `schemes`: no \
                     attestor could name it",
                    key.id
                ));
            }
            if let Some(other) = key.algorithms.iter().find(|it| !info.algorithms.contains(it)) {
                return fail(format!(
                    "key `{}` has algorithm {}, which is not among the table's `algs`",
                    key.id,
                    other.number()
                ));
            }
            if key.algorithms.is_empty() {
                return fail(format!("key `{}` has no algorithm that is known", key.id));
            }
            if key.flags.contains(KeyFlags::SIGN) && !live.plugin.has(Caps::SIGN) {
                return fail(format!("key `{}` signs, and the plugin does not", key.id));
            }
        }
        if let Some((id, why)) = (kit.program.judge)(&open.keys, info).first() {
            return fail(format!("the daemon would not use key `{id}`: {why}"));
        }
        Ok(format!("{} keys", open.keys.len()))
    })
}

/// Equal generations are equal keys.
pub(in crate::conformance) fn generations(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let Some(first) = open else { return Err(Trouble::Skip("the plugin lists no keys")) };
        let mut last = first.generation;
        for _ in 0..SNAPSHOTS {
            let next = live.open()?;
            if next.generation == first.generation && next.keys != first.keys {
                return fail(
                    "two snapshots of one generation have different keys; count the generation up \
                     whenever a key changes",
                );
            }
            if next.generation != first.generation && next.keys == first.keys {
                return fail(
                    "two snapshots with the same keys have different generations; keep the \
                     generation where nothing changed, or every decision is made anew",
                );
            }
            last = next.generation;
        }
        Ok(format!("generation {last}"))
    })
}

/// Snapshots come and go while calls run, and the old one goes on working.
pub(in crate::conformance) fn rotation(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, open| {
        let Some(open) = open else { return Err(Trouble::Skip("the plugin lists no keys")) };
        let op = Op::ALL.into_iter().find(|op| live.plugin.has(op.cap()));
        let calls = op.map(|op| Calls::new(live, open, op)).transpose()?;
        // One thread takes snapshots, the others call.
        let threads = live.plugin.threads(kit.effort.threads.min(9));
        let callers = if calls.is_some() { threads - 1 } else { 0 };
        let stop = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let work = || calls.as_ref().map_or(Ok(()), |calls| calls.until(stop));
            let callers: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
            let taken = turn_over(live);
            stop.store(true, Ordering::Release);
            for caller in callers {
                caller.join().unwrap_or_else(|_| fail("the kit panicked in a thread"))?;
            }
            taken
        })?;
        calls.map_or(Ok(()), |calls| calls.until(stop))?;
        Ok(format!("{SNAPSHOTS} snapshots while {callers} threads called"))
    })
}

/// Holds several snapshots at once and closes them in another order.
fn turn_over(live: &Live<'_>) -> Result<(), Trouble> {
    let mut held = Vec::new();
    for turn in 0..SNAPSHOTS {
        held.push(live.open()?);
        if held.len() > 3 {
            drop(held.swap_remove(turn % 3));
        }
    }
    Ok(())
}

/// Calls with one snapshot, and the answers that they had before another was taken.
struct Calls<'a> {
    live: &'a Live<'a>,
    open: &'a Open<'a>,
    op: Op,
    samples: Vec<Sample>,
    expected: Vec<Answer>,
}

impl<'a> Calls<'a> {
    fn new(live: &'a Live<'a>, open: &'a Open<'a>, op: Op) -> Result<Self, Trouble> {
        let mut samples = samples::of(op, live, Some(open))?;
        samples.truncate(6);
        let expected = alone(live, Some(open), op, &samples)?;
        Ok(Self { live, open, op, samples, expected })
    }

    /// Calls until told to stop, at least once.
    fn until(&self, stop: &AtomicBool) -> Result<(), Trouble> {
        let Self { live, open, op, .. } = *self;
        loop {
            let found = answers(live, Some(open), op, &self.samples, Shape::default())?;
            same(op, &self.expected, &found, "while snapshots come and go")?;
            if stop.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }
}

/// Material that is none is the fault of its writer, and said so.
pub(in crate::conformance) fn material(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, _| {
        let forms = &live.plugin.image.info().forms;
        if forms.is_empty() {
            return Err(Trouble::Skip("the plugin reads no inline key material"));
        }
        let garbage: [&[u8]; 6] = [
            b"",
            b"no key at all",
            b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n",
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n-----END PGP PUBLIC KEY BLOCK-----\n",
            &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xFF; 4_096],
        ];
        for form in forms {
            for data in garbage {
                match live.resolve(form, data) {
                    Ok(_) => {
                        return fail(format!(
                            "`resolve_keys` finds keys of form `{form}` in {} bytes that hold none",
                            data.len()
                        ));
                    }
                    Err(refusal) if refusal.rc != abi::HALLMARK_RC_MALFORMED => {
                        return fail(format!(
                            "`resolve_keys` answers {} to what is no key ({}); answer MALFORMED",
                            rc_name(refusal.rc),
                            refusal.text
                        ));
                    }
                    Err(refusal) if refusal.text.trim().is_empty() => {
                        return fail("`resolve_keys` refuses material without saying why");
                    }
                    Err(_) => {}
                }
            }
        }
        Ok(format!("{} forms", forms.len()))
    })
}
