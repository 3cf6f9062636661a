//! The checks, in the order of the report.

use super::Program;
use super::checks::{batches, faults, file, growth, keys, life_cycle, load, memory, modes, truth};
use super::finding::{Checked, Finding, Trouble};
use super::job::Job;
use super::kit::Kit;

/// Runs at most of a check that met a stale snapshot.
const STALE_TRIES: usize = 3;

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name in reports, such as `memory.inputs`.
    pub id: &'static str,
    /// The rule that a plugin must follow to pass, for people.
    pub rule: &'static str,
    run: fn(&Kit<'_>) -> Checked,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("id", &self.id).finish_non_exhaustive()
    }
}

const fn check(id: &'static str, rule: &'static str, run: fn(&Kit<'_>) -> Checked) -> Check {
    Check { id, rule, run }
}

/// Every check, in the order of the report.
#[rustfmt::skip]
pub const CHECKS: [Check; 37] = [
    check("file.exports", "exports the entry and nothing else", file::exports),
    check("file.manifest", "can be asked what it is without running it", file::manifest),
    check("file.dependencies", "needs no library that is found beside it", file::dependencies),
    check("file.glibc", "needs no newer glibc than there is", file::glibc),
    check("file.hardening", "no text relocations, no executable stack", file::hardening),
    check("file.tls", "takes no static thread-local space", file::tls),
    check("load.table", "is loaded, and its table is whole", load::table),
    check("load.extension", "an unknown extension is NULL", load::extension),
    check("load.health", "works with the configuration given", load::health),
    check("growth.host", "runs on a host of a later minor", growth::host),
    check("growth.strides", "steps by the host's strides, reads no unknown field", growth::strides),
    check("growth.unknown-bits", "unknown flags and algorithms are refused", growth::unknown_bits),
    check("batch.empty", "a batch of no items is answered", batches::empty),
    check("batch.largest", "a batch of max_batch items is answered", batches::largest),
    check("batch.bytes", "empty, long and unaligned bytes are answered", batches::bytes),
    check("items.neighbours", "a hostile item changes no other's answer", batches::neighbours),
    check("items.order", "another order of items is another order of answers", batches::order),
    check("items.verdicts", "each item has a verdict that means something", batches::verdicts),
    check("memory.inputs", "nothing that was lent is used after the call", memory::inputs),
    check("memory.results", "writes its results and nothing else", memory::results),
    check("threads.many", "many threads have the answers of one", batches::threads),
    check("cancel.prompt", "stops within 50 ms of the cancel flag, where it claims to", batches::cancel),
    check("keys.listed", "lists keys as its table says", keys::listed),
    check("keys.generations", "the generation changes with the keys", keys::generations),
    check("keys.rotation", "old snapshots work while new ones are taken", keys::rotation),
    check("keys.material", "what is no key is MALFORMED", keys::material),
    check("faults.configuration", "a wrong configuration is CONFIG, with a reason", faults::configuration),
    check("faults.secret", "a missing secret is named", faults::secret),
    check("life.leaks", "leaves no memory and no descriptor behind", life_cycle::leaks),
    check("life.threads", "leaves no thread behind", life_cycle::threads),
    check("life.process", "changes nothing that belongs to the process", life_cycle::process),
    check("life.streams", "writes to neither standard output nor error", life_cycle::streams),
    check("modes.worker", "answers from a process of its own as from the daemon's", modes::worker),
    check("truth.no-false-valid", "nothing that was changed is VALID", truth::no_false_valid),
    check("truth.own-signatures", "its own signatures are VALID", truth::own_signatures),
    check("truth.host-verifies", "the host verifies what it signs", truth::host_verifies),
    check("truth.prehashed", "signs a digest as its message, or not", truth::prehashed),
];

/// Runs a check in this process.
pub(super) fn run(id: &str, job: &Job, program: Program) -> Finding {
    let kit = Kit::new(job, program);
    let Some(check) = CHECKS.iter().find(|check| check.id == id) else {
        return Finding::new(id, Err(Trouble::Skip("there is no such check")));
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match (check.run)(&kit) {
            Err(Trouble::Stale) if tries < STALE_TRIES => {}
            checked => return Finding::new(id, checked),
        }
    }
}
