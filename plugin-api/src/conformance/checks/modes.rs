//! The same file in this process and in a worker: the same plugin.

use std::sync::Arc;

use crate::conformance::batch::Op;
use crate::conformance::finding::{Checked, fail};
use crate::conformance::kit::Kit;
use crate::conformance::place::{Place, in_worker};
use crate::conformance::samples;

pub(in crate::conformance) fn worker(kit: &Kit<'_>) -> Checked {
    let here = kit.load()?;
    let there = in_worker(kit.subject, kit.program)?;
    if there.info() != here.image.info() {
        return fail("its table says something else in a process of its own");
    }
    let there = Arc::new(there);
    let places = [Place::new(&here, &here.image)?, Place::new(&here, &there)?];
    let [keys, others] = places.each_ref().map(Place::keys);
    if keys != others {
        return fail("it lists other keys in a process of its own");
    }
    let (live, mut count) = (here.create()?, 0);
    let open = live.open_if_any()?;
    for op in Op::ALL.into_iter().filter(|op| here.has(op.cap())) {
        let samples = samples::of(op, &live, open.as_ref())?;
        let [inside, outside] = places.each_ref().map(|place| place.texts(op, &samples));
        let (inside, outside) = (inside?, outside?);
        if let Some(index) = inside.iter().zip(&outside).position(|(one, other)| one != other) {
            return fail(format!(
                "`{}` answers {} to item {index} here and {} in a process of its own; it may depend on \
                 nothing of the daemon's process",
                op.name(),
                inside[index],
                outside[index]
            ));
        }
        count += inside.len();
    }
    Ok(format!("{count} answers are the same"))
}
