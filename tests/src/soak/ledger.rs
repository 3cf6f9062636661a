//! Resources that were acknowledged, against those that are there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Promise, Violation};

/// Batches that must be there whole or not at all: members by batch.
pub type Batches = BTreeMap<String, BTreeSet<String>>;

/// The acknowledged writes of one collection.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Created, acknowledged, and no deletion begun.
    kept: BTreeSet<String>,
    /// Deletion acknowledged.
    gone: BTreeSet<String>,
    acknowledged: u64,
}

impl Ledger {
    /// Notes that a creation was acknowledged.
    pub fn created(&mut self, name: String) {
        self.acknowledged += 1;
        self.kept.insert(name);
    }

    /// Takes out the oldest resource by name, for its deletion to begin, if there are more than
    /// `keep`. Until the deletion is acknowledged it may be there or not.
    pub fn begin_deletion(&mut self, keep: usize) -> Option<String> {
        if self.kept.len() <= keep { None } else { self.kept.pop_first() }
    }

    /// Notes that a deletion was acknowledged.
    pub fn deleted(&mut self, name: String) {
        self.acknowledged += 1;
        self.gone.insert(name);
    }

    /// Writes acknowledged in all.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Judges what is there now, when no write is under way, and takes it over: what was cut off
    /// is now known to have happened or not.
    pub fn check(&mut self, there: BTreeSet<String>) -> Vec<Violation> {
        let lost = self.kept.difference(&there);
        let lost = lost.map(|name| format!("{name} was acknowledged and is not there"));
        let risen = self.gone.intersection(&there);
        let risen = risen.map(|name| format!("{name} was deleted and is there"));
        let violations = lost.chain(risen);
        let violations =
            violations.map(|what| Violation::new(Promise::NothingLost, what)).collect();
        self.kept = there;
        self.gone.clear();
        violations
    }
}

/// Judges batches when no write is under way: each is there with all of its members or not at all.
/// `size` is that of every batch; nobody deletes members.
pub fn check_batches(there: &Batches, size: usize) -> Vec<Violation> {
    let partial = there.iter().filter(|(_, members)| members.len() != size);
    let what = |(batch, members): (&String, &BTreeSet<String>)| {
        format!("batch {batch}: {} of {size} members are there", members.len())
    };
    partial.map(what).map(|what| Violation::new(Promise::NothingLost, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let mut ledger = Ledger::default();
        ledger.created("a".to_owned());
        ledger.created("b".to_owned());
        assert_eq!(ledger.check(names(&["a", "b", "cut-off"])), []);
        // Taken over: from now on it must be there, too.
        let lost = ledger.check(names(&["a", "b"]));
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(lost[0].what.contains("cut-off"), "{lost:?}");
    }

    #[test]
    fn what_was_deleted_must_be_gone() {
        let mut ledger = Ledger::default();
        ledger.created("a".to_owned());
        let victim = ledger.begin_deletion(0).expect("one");
        // Under way: it may be there or not.
        assert_eq!(ledger.check(names(&["a"])), []);
        ledger.begin_deletion(0).expect("taken over");
        ledger.deleted(victim);
        assert_eq!(ledger.check(names(&["a"])).len(), 1);
        assert_eq!(ledger.acknowledged(), 2);
    }

    #[test]
    fn a_batch_by_half_is_found() {
        let batches = Batches::from([
            ("whole".to_owned(), names(&["1", "2"])),
            ("half".to_owned(), names(&["3"])),
        ]);
        let found = check_batches(&batches, 2);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("half"), "{found:?}");
    }
}
