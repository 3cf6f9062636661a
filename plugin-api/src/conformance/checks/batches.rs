//! Batches: of every size, and each item by itself.

use crate::conformance::batch::{Op, Sample, Shape, call};
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::{Kit, alone, answers, is_verdict, same, verdict_name};
use crate::conformance::plugin::{Live, Open};
use crate::conformance::samples;

pub(in crate::conformance) fn empty(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        call(live, open, op, &[], Shape::default(), None)?.answers(op)?;
        Ok("no items, no trouble".to_owned())
    })
}

pub(in crate::conformance) fn largest(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let some = samples::of(op, live, open)?;
        let samples: Vec<_> = some.iter().cycle().take(live.plugin.batch_max()).cloned().collect();
        let expected = alone(live, open, op, &some)?;
        let expected: Vec<_> = expected.iter().cycle().take(samples.len()).cloned().collect();
        let found = answers(live, open, op, &samples, Shape::default())?;
        same(op, &expected, &found, "in the largest batch")?;
        Ok(format!("{} items at once", samples.len()))
    })
}

pub(in crate::conformance) fn bytes(kit: &Kit<'_>) -> Checked {
    /// As long as the payload of a decoded message can be, which is longer than the payload.
    const LONG: usize = (1 << 20) - 4_096;
    kit.for_each_call(|op, live, open| {
        let mut samples = samples::of(op, live, open)?;
        samples.truncate(3);
        let grown = samples.iter().flat_map(|sample| {
            let long = Sample { message: vec![b'm'; LONG], ..sample.clone() };
            let silent = Sample { message: Vec::new(), ..sample.clone() };
            let unsigned = Sample { signature: Vec::new(), ..sample.clone() };
            [sample.clone(), long, silent, unsigned, Sample::default()]
        });
        let samples: Vec<_> = grown.collect();
        let expected = alone(live, open, op, &samples)?;
        let odd = Shape { grown: false, odd: true };
        let found = answers(live, open, op, &samples, odd)?;
        same(op, &expected, &found, "with bytes at odd addresses")?;
        Ok("empty, almost 1 MiB long and at odd addresses".to_owned())
    })
}

/// One hostile item changes none of its neighbours.
pub(in crate::conformance) fn neighbours(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        if live.plugin.batch_max() < 3 {
            return Ok("batches are too small for neighbours".to_owned());
        }
        let expected = alone(live, open, op, &samples)?;
        let hostile = samples::hostile(open);
        for (index, (sample, expected)) in samples.iter().zip(&expected).enumerate() {
            let foe = &hostile[index % hostile.len()];
            let batch = [foe.clone(), sample.clone(), foe.clone()];
            let found = answers(live, open, op, &batch, Shape::default())?;
            let own = std::slice::from_ref(expected);
            same(op, own, &found[1..2], "between two hostile items")?;
        }
        Ok(format!("{} items between hostile ones", samples.len()))
    })
}

/// Another order of items is the same order of answers.
pub(in crate::conformance) fn order(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        let mut expected = alone(live, open, op, &samples)?;
        let mut orders = vec![samples.clone()];
        same(op, &expected, &answers(live, open, op, &samples, Shape::default())?, "in a batch")?;
        for step in [1, samples.len() / 2] {
            let mut turned = samples.clone();
            turned.rotate_left(step);
            orders.push(turned);
            let mut turned = expected.clone();
            turned.rotate_left(step);
            let found = answers(live, open, op, &orders[orders.len() - 1], Shape::default())?;
            same(op, &turned, &found, "in another order")?;
        }
        let reversed: Vec<_> = samples.into_iter().rev().collect();
        expected.reverse();
        let found = answers(live, open, op, &reversed, Shape::default())?;
        same(op, &expected, &found, "in reverse order")?;
        Ok(format!("{} items in 4 orders", reversed.len()))
    })
}

/// Every answer is one, and of this kind of call.
pub(in crate::conformance) fn verdicts(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        let found = answers(live, open, op, &samples, Shape::default())?;
        for (index, answer) in found.iter().enumerate() {
            let name = verdict_name(answer.verdict);
            if answer.verdict == crate::abi::HALLMARK_NOT_PROCESSED {
                return fail(format!(
                    "`{}` answers OK and leaves item {index} without a verdict; write one for each",
                    op.name()
                ));
            }
            if !is_verdict(answer.verdict) || ["VALID", "DONE"].contains(&name.as_str()) && answer.verdict != op.yes() {
                return fail(format!(
                    "`{}` answers {name} to item {index}, which means nothing here: its yes is {}, its \
                     no is one of the reasons",
                    op.name(),
                    verdict_name(op.yes())
                ));
            }
            if op != Op::Verify && (answer.verdict == op.yes()) == answer.outputs.is_empty() {
                return fail(format!(
                    "`{}` answers {name} to item {index} and gives {} outputs; DONE goes with an output",
                    op.name(),
                    answer.outputs.len()
                ));
            }
        }
        Ok(format!("{} answers", found.len()))
    })
}

/// Many threads, one instance: the answers of one thread.
pub(in crate::conformance) fn threads(kit: &Kit<'_>) -> Checked {
    let threads = kit.effort.threads;
    kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        let expected = alone(live, open, op, &samples)?;
        let threads = live.plugin.threads(threads);
        let hammer = |thread: usize| hammer(kit, op, (live, open), (&samples, &expected), thread);
        std::thread::scope(|scope| {
            let hammer = &hammer;
            let running: Vec<_> =
                (0..threads).map(|thread| scope.spawn(move || hammer(thread))).collect();
            let ended = running.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| fail("the kit panicked in a thread"))
            });
            ended.collect::<Result<Vec<()>, Trouble>>()
        })?;
        Ok(format!("{threads} threads, {} calls each", kit.effort.calls))
    })
}

fn hammer(
    kit: &Kit<'_>,
    op: Op,
    (live, open): (&Live<'_>, Option<&Open<'_>>),
    (samples, expected): (&[Sample], &[crate::conformance::batch::Answer]),
    thread: usize,
) -> Result<(), Trouble> {
    for turn in 0..kit.effort.calls {
        let from = (thread * 7 + turn) % samples.len();
        let to = samples.len().min(from + live.plugin.batch_max().min(8));
        let found = answers(live, open, op, &samples[from..to], Shape::default())?;
        same(op, &expected[from..to], &found, "while other threads call too")?;
    }
    Ok(())
}

/// The cancel flag is seen.
pub(in crate::conformance) fn cancel(kit: &Kit<'_>) -> Checked {
    use crate::Caps;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    const BOUND: Duration = Duration::from_millis(50);
    kit.for_each_call(|op, live, open| {
        if !live.plugin.has(Caps::CANCELLABLE) {
            return Err(Trouble::Skip("the plugin does not claim HALLMARK_CAP_CANCELLABLE"));
        }
        let some = samples::of(op, live, open)?;
        let samples: Vec<_> = some.iter().cycle().take(live.plugin.batch_max()).cloned().collect();
        let mut best = Duration::MAX;
        // The machine may be busy: one prompt answer of five is enough.
        for _ in 0..5 {
            let flag = AtomicU32::new(0);
            let late = std::thread::scope(|scope| {
                let call = scope.spawn(|| {
                    call(live, open, op, &samples, Shape::default(), Some(&flag))?;
                    Ok(Instant::now())
                });
                std::thread::sleep(Duration::from_millis(2));
                let set = Instant::now();
                flag.store(1, Ordering::Release);
                let ended = call.join().unwrap_or_else(|_| fail("the kit panicked in a thread"))?;
                Ok(ended.saturating_duration_since(set))
            })?;
            best = best.min(late);
            if best <= BOUND {
                return Ok(format!("returns {} ms after the flag", best.as_millis()));
            }
        }
        fail(format!(
            "`{}` returns {} ms after the cancel flag is set; look at `call->cancel` at least every \
             50 ms, or do not claim HALLMARK_CAP_CANCELLABLE",
            op.name(),
            best.as_millis()
        ))
    })
}
