//! Checks that nothing is left of an instance that has ended.

use std::time::{Duration, Instant};

use crate::conformance::batch::{Op, Shape};
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::{Kit, answers};
use crate::conformance::plugin::Loaded;
use crate::conformance::process::{Process, Streams, descriptors, heap_bytes, tasks};
use crate::conformance::samples;

/// A life: everything that an instance is asked in its time.
fn live_and_die(loaded: &Loaded) -> Result<(), Trouble> {
    let live = loaded.create()?;
    live.health().map_err(|refusal| refusal.unexpected("health"))?;
    let open = live.open_if_any()?;
    for op in Op::ALL.into_iter().filter(|op| loaded.has(op.cap())) {
        let samples = samples::of(op, &live, open.as_ref())?;
        answers(&live, open.as_ref(), op, &samples[..samples.len().min(4)], Shape::default())?;
    }
    Ok(())
}

pub(in crate::conformance) fn leaks(kit: &Kit<'_>) -> Checked {
    const WARM_UP: usize = 20;
    /// Bytes that the C library keeps for itself.
    const SLACK: u64 = 32 << 10;
    let cycles = kit.effort.cycles;
    let loaded = kit.load()?;
    for _ in 0..WARM_UP {
        live_and_die(&loaded)?;
    }
    let before = (heap_bytes(), descriptors());
    for _ in 0..cycles {
        live_and_die(&loaded)?;
    }
    let after = (heap_bytes(), descriptors());
    if after.1 > before.1 {
        return fail(format!(
            "{} file descriptors are left open after {cycles} instances; close them in `destroy`",
            after.1 - before.1
        ));
    }
    let (Some(before), Some(after)) = (before.0, after.0) else {
        return Err(Trouble::Skip("this C library does not count its memory"));
    };
    let grown = after.saturating_sub(before);
    if grown > SLACK + 24 * cycles as u64 {
        return fail(format!(
            "every instance leaves about {} bytes behind; free in `destroy` and `snapshot_close` what \
             `create`, `snapshot_open` and the calls allocate",
            grown / cycles.max(1) as u64
        ));
    }
    Ok(format!("{cycles} instances, nothing left"))
}

pub(in crate::conformance) fn threads(kit: &Kit<'_>) -> Checked {
    let before = tasks();
    let loaded = kit.load()?;
    for _ in 0..3 {
        live_and_die(&loaded)?;
    }
    // A thread that was joined may be a moment longer in the list of the kernel.
    let until = Instant::now() + Duration::from_secs(1);
    while tasks() > before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    match tasks().saturating_sub(before) {
        0 => Ok("no thread is left".to_owned()),
        left => fail(format!("{left} threads run on after `destroy`; join them there")),
    }
}

pub(in crate::conformance) fn process(kit: &Kit<'_>) -> Checked {
    let before = Process::now();
    let loaded = kit.load()?;
    live_and_die(&loaded)?;
    match before.difference(&Process::now()) {
        None => Ok("signals, umask, directory, locale and environment are as before".to_owned()),
        Some(what) => fail(format!("it changes {what}, which belong to the daemon")),
    }
}

pub(in crate::conformance) fn streams(kit: &Kit<'_>) -> Checked {
    let streams = Streams::capture().map_err(|error| Trouble::Fail(error.to_string()))?;
    let lived = kit.load().and_then(|loaded| live_and_die(&loaded));
    let written = streams.release().map_err(|error| Trouble::Fail(error.to_string()))?;
    lived?;
    match written.as_str() {
        "" => Ok("writes to neither standard output nor standard error".to_owned()),
        text => fail(format!(
            "it writes `{}` to standard output or error; use `host->log`",
            text.lines().next().unwrap_or_default()
        )),
    }
}
