//! Checks that lent memory is read only while the call lasts, and that outputs are written within
//! their bounds.

use crate::conformance::batch::{Shape, call};
use crate::conformance::finding::Checked;
use crate::conformance::kit::{Kit, alone, answers};
use crate::conformance::samples;

/// Every call's memory goes out of bounds when it returns; a pointer that was kept is used by a
/// later call, by a thread of the plugin, or when the instance ends.
pub(in crate::conformance) fn inputs(kit: &Kit<'_>) -> Checked {
    const ROUNDS: usize = 20;
    let text = kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        for _ in 0..ROUNDS {
            alone(live, open, op, &samples)?;
            call(live, open, op, &[], Shape::default(), None)?;
        }
        Ok(format!("{} calls", ROUNDS * samples.len()))
    })?;
    Ok(format!("nothing is used after its call: {text}"))
}

/// The results end at a guard page, with canaries in front and in between.
pub(in crate::conformance) fn results(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        for n in 0..=samples.len() {
            for grown in [false, true] {
                let shape = Shape { grown, odd: n % 2 == 1 };
                answers(live, open, op, &samples[..n], shape)?;
            }
        }
        Ok(format!("batches of 0 to {}", samples.len()))
    })
}
