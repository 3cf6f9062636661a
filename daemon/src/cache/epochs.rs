//! Counters of changed evidence, by which the decision cache learns of it.

use std::sync::atomic::{AtomicU64, Ordering};

use hallmark_core::image::Digest;

/// Counters, a power of two. A change of evidence for one digest also makes the evaluations of
/// about one in this many other digests unreachable: harmless, they are worked out again.
const STRIPES: usize = 65_536;

/// The state of the evidence for a digest at one moment. Equal epochs of one digest: no write for
/// it was acknowledged in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// Counts, per digest, the writes of evidence, in half a mebibyte whatever the number of digests.
///
/// **The protocol.** A writer of an occurrence (create, update, delete) calls
/// [`bump`](Self::bump) *after* the store has committed and *before* the write is acknowledged. A
/// reader calls [`of`](Self::of) *before* it gathers evidence, and looks up and stores the
/// evaluation under that epoch.
///
/// **Why no acknowledged write is ever missed.** Take a write that was acknowledged, hence bumped
/// its stripe, and then a request. The request's epoch is later than the bump, so whatever it
/// finds in the cache was stored under the same, later epoch; whoever stored that took the epoch
/// after the bump too, and gathered after that, when the write had long been committed. So the
/// evaluation saw the write. In particular, once the removal of an attestation is acknowledged,
/// no allow that rests on it is ever answered from the cache.
///
/// A request concurrent with the write may be answered by either state, as it may be by the store
/// alone. If it takes its epoch before the bump but gathers after the commit, it stores a newer
/// truth under an older epoch, which nobody asks for after the bump: wasted, not wrong.
///
/// Counters only grow; at a write a nanosecond one wraps in 584 years. A daemon whose store is
/// written by other processes must call [`bump_all`](Self::bump_all) when it learns of a change.
#[derive(Debug)]
pub struct EvidenceEpochs {
    stripes: Box<[AtomicU64]>,
}

impl EvidenceEpochs {
    /// All digests at their first epoch.
    pub fn new() -> Self {
        Self { stripes: std::iter::repeat_with(AtomicU64::default).take(STRIPES).collect() }
    }

    /// The epoch of a digest now. Take it before gathering.
    pub fn of(&self, digest: &Digest) -> Epoch {
        // Acquire pairs with the release of a bump: a reader that sees the count sees the commit.
        Epoch(self.stripe(digest).load(Ordering::Acquire))
    }

    /// States that evidence of `digest` has changed. Call it after the commit and before the
    /// acknowledgement, and also where a commit failed in a way that leaves its outcome open.
    pub fn bump(&self, digest: &Digest) {
        self.stripe(digest).fetch_add(1, Ordering::AcqRel);
    }

    /// States that evidence of any digest may have changed: after a reload of files.
    pub fn bump_all(&self) {
        for stripe in &self.stripes {
            stripe.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A digest is uniformly distributed already. Whoever grinds digests into one stripe makes
    /// the cache useless for images of their own.
    fn stripe(&self, digest: &Digest) -> &AtomicU64 {
        let [low, high, ..] = digest.0;
        &self.stripes[usize::from(u16::from_le_bytes([low, high]))]
    }
}

impl Default for EvidenceEpochs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, RwLock};

    use super::*;

    #[test]
    fn a_bump_moves_one_digest_and_bump_all_moves_every_digest() {
        let epochs = EvidenceEpochs::new();
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        let before = (epochs.of(&one), epochs.of(&other));
        epochs.bump(&one);
        assert_ne!(epochs.of(&one), before.0);
        assert_eq!(epochs.of(&other), before.1);
        epochs.bump_all();
        assert_ne!(epochs.of(&other), before.1);
    }

    /// A store of one number, evaluations cached by epoch, writers and readers on real threads:
    /// after a write is acknowledged, nobody may be answered with anything older.
    #[test]
    fn no_reader_is_answered_with_less_than_was_acknowledged() {
        const WRITES: u64 = 20_000;
        let digest = Digest([7; 32]);
        let epochs = EvidenceEpochs::new();
        let stored = RwLock::new(0_u64);
        let acknowledged = AtomicU64::new(0);
        let cache: Arc<Mutex<HashMap<Epoch, u64>>> = Arc::default();
        let read = || {
            let at_least = acknowledged.load(Ordering::SeqCst);
            let epoch = epochs.of(&digest);
            let cached = cache.lock().expect("lock").get(&epoch).copied();
            let answer = cached.unwrap_or_else(|| {
                let gathered = *stored.read().expect("lock");
                *cache.lock().expect("lock").entry(epoch).or_insert(gathered)
            });
            assert!(answer >= at_least, "answered {answer}, acknowledged {at_least}");
            answer
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| while read() < WRITES {});
            }
            for write in 1..=WRITES {
                *stored.write().expect("lock") = write;
                epochs.bump(&digest);
                acknowledged.store(write, Ordering::SeqCst);
            }
        });
    }
}
