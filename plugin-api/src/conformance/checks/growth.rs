//! Other minors: a plugin reads no further than it was compiled, and guesses at nothing.

use crate::abi;
use crate::conformance::batch::{Op, Shape};
use crate::conformance::finding::{Checked, fail};
use crate::conformance::kit::{Kit, alone, answers, same, verdict_name};
use crate::conformance::plugin::Refusal;
use crate::conformance::samples::{self, NO_ALGORITHM, NO_FLAG};

pub(in crate::conformance) fn host(kit: &Kit<'_>) -> Checked {
    let loaded = kit.load()?;
    let live = loaded.create_from(loaded.host.grown(), &kit.subject.config);
    let live = live.map_err(|Refusal { text, .. }| {
        crate::conformance::finding::Trouble::Fail(format!(
            "`create` refuses a host of a later minor ({text}); a later minor only adds"
        ))
    })?;
    live.open_if_any()?;
    drop(live);
    if loaded.host.is_whole() {
        Ok("a host of ABI 1.9 is the same to it".to_owned())
    } else {
        fail("it writes to the host table")
    }
}

pub(in crate::conformance) fn strides(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let samples = samples::of(op, live, open)?;
        let expected = alone(live, open, op, &samples)?;
        let shape = Shape { grown: true, odd: false };
        let found = answers(live, open, op, &samples, shape)?;
        same(op, &expected, &found, "with the structs of a later minor")?;
        Ok(format!("{} items", samples.len()))
    })
}

pub(in crate::conformance) fn unknown_bits(kit: &Kit<'_>) -> Checked {
    kit.for_each_call(|op, live, open| {
        let mut samples = samples::of(op, live, open)?;
        samples.truncate(4);
        for sample in &mut samples {
            sample.flags = NO_FLAG;
        }
        for answer in answers(live, open, op, &samples, Shape::default())? {
            if answer.verdict != abi::HALLMARK_ALG_UNSUPPORTED {
                return fail(format!(
                    "`{}` answers {} to an item with a flag that no version knows; answer \
                     ALG_UNSUPPORTED, for the flag may change what is asked",
                    op.name(),
                    verdict_name(answer.verdict)
                ));
            }
        }
        if op == Op::Decode {
            return Ok("unknown flags are refused".to_owned());
        }
        for sample in &mut samples {
            (sample.flags, sample.alg) = (0, NO_ALGORITHM);
        }
        let found = answers(live, open, op, &samples, Shape::default())?;
        match found.iter().find(|answer| answer.verdict == op.yes()) {
            Some(_) => fail(format!(
                "`{}` says yes to an algorithm that no version knows; answer ALG_UNSUPPORTED",
                op.name()
            )),
            None => Ok("unknown flags and algorithms are refused".to_owned()),
        }
    })
}
