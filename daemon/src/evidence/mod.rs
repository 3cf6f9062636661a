//! Gathering the attestations that a decision needs: the only IO on the one path.
//!
//! Everything that a batch of requests needs is read with one call to the store, on a blocking
//! thread, and given out in portions. What lies beside a good attestation costs further portions
//! and never hides it. A store that does not answer costs its callers their deadline and a bounded
//! number of threads, never the runtime.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use hallmark_core::attestor::KeyId;
use hallmark_core::evaluate::portion::{self, Portion, portions};
use hallmark_core::evaluate::question::{Gathered, Lookup};
use hallmark_core::occurrence::{Attestation, EvidenceError};

use crate::bounded::{Bounded, Unfinished};
use crate::store::{EvidencePage, EvidenceQuery, Store};

/// Reads at the store at once. A read is CPU and page cache as a rule; more than this many wait
/// for a disk that is slow or gone, and more threads would not make it faster.
const READS_MAX: usize = 64;

/// Signatures of all portions that are given out together, the first portion aside. Most requests
/// have fewer in all.
const SIGNATURES_MAX: usize = 4 * portion::SIGNATURES_MAX;

/// Those of them that a plugin takes apart, the first portion aside.
const ENVELOPES_MAX: usize = portion::ENVELOPES_MAX;

/// The store, from the side of those who gather.
#[derive(Debug)]
pub struct EvidenceSource {
    store: Arc<dyn Store>,
    reads: Bounded,
}

impl EvidenceSource {
    /// Gathers from `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, reads: Bounded::new(READS_MAX) }
    }

    /// The evidence of each query. Nothing is read yet.
    pub fn gather(&self, queries: impl IntoIterator<Item = EvidenceQuery>) -> Gathering<'_> {
        let unread = |query: EvidenceQuery| {
            let lookup = query.lookup.clone();
            (lookup, Pending { portions: VecDeque::new(), next: Some(query) })
        };
        Gathering { source: self, pending: queries.into_iter().map(unread).collect() }
    }

    /// Evidence that is not stored, as if it were that of these lookups.
    pub fn unstored(
        &self,
        evidence: HashMap<Lookup, Vec<Attestation>>,
        enveloped: &HashSet<&KeyId>,
    ) -> Gathering<'_> {
        let pending = |(lookup, attestations)| {
            (lookup, Pending { portions: portions(attestations, enveloped), next: None })
        };
        Gathering { source: self, pending: evidence.into_iter().map(pending).collect() }
    }

    async fn read(
        &self,
        queries: Vec<EvidenceQuery>,
        deadline: Instant,
    ) -> Result<Vec<EvidencePage>, EvidenceError> {
        let count = queries.len();
        let store = Arc::clone(&self.store);
        let read = self.reads.run(deadline, move || store.evidence(&queries)).await;
        let pages = read.map_err(|why| match why {
            Unfinished::Busy | Unfinished::Late => EvidenceError::Deadline,
            Unfinished::Panicked => unavailable("its read panicked"),
        })?;
        let pages = pages.map_err(|error| unavailable(&error.to_string()))?;
        if pages.len() == count {
            Ok(pages)
        } else {
            Err(unavailable("it answered another question"))
        }
    }
}

fn unavailable(why: &str) -> EvidenceError {
    EvidenceError::Unavailable(why.to_owned())
}

/// The evidence of several lookups, a portion of each at a time.
#[derive(Debug)]
pub struct Gathering<'s> {
    source: &'s EvidenceSource,
    pending: BTreeMap<Lookup, Pending>,
}

/// The part of one lookup that is not given out yet.
#[derive(Debug)]
struct Pending {
    portions: VecDeque<Portion>,
    /// The query to go on with; `None` after the last page.
    next: Option<EvidenceQuery>,
}

impl Gathering<'_> {
    /// The next portion of each lookup by `deadline`; nothing of those that are not `wanted`. A
    /// portion may be empty although there are more: all together have a size that one batch can
    /// take. `enveloped` are the ids of [`portion::enveloped_ids`].
    pub async fn next(
        &mut self,
        wanted: &HashSet<Lookup>,
        enveloped: &HashSet<&KeyId>,
        deadline: Instant,
    ) -> Gathered {
        let failed = self.read_on(wanted, enveloped, deadline).await;
        let (mut signatures, mut envelopes) = (0, 0);
        let portion = |(lookup, pending): (&Lookup, &mut Pending)| {
            if let Some((unread, error)) = &failed
                && unread.contains(lookup)
            {
                return (lookup.clone(), Err(error.clone()));
            }
            let fits = |portion: &mut Portion| {
                let is_first = signatures == 0;
                signatures += portion.signatures;
                envelopes += portion.envelopes;
                is_first || signatures <= SIGNATURES_MAX && envelopes <= ENVELOPES_MAX
            };
            let portion = pending.portions.front_mut().filter(|_| wanted.contains(lookup));
            let taken = portion.is_some_and(fits).then(|| pending.portions.pop_front());
            let attestations = taken.flatten().map(|portion| portion.attestations);
            (lookup.clone(), Ok(attestations.unwrap_or_default()))
        };
        Gathered::new(self.pending.iter_mut().map(portion).collect())
    }

    /// Reads the next page of the lookups that are wanted and used up. Answers those that could
    /// not be read, and why: they are over.
    async fn read_on(
        &mut self,
        wanted: &HashSet<Lookup>,
        enveloped: &HashSet<&KeyId>,
        deadline: Instant,
    ) -> Option<(Vec<Lookup>, EvidenceError)> {
        let used_up = |(lookup, pending): (&Lookup, &mut Pending)| {
            let used_up = wanted.contains(lookup) && pending.portions.is_empty();
            pending.next.take_if(|_| used_up)
        };
        let queries: Vec<_> = self.pending.iter_mut().filter_map(used_up).collect();
        if queries.is_empty() {
            return None;
        }
        match self.source.read(queries.clone(), deadline).await {
            Ok(pages) => {
                for (query, page) in queries.into_iter().zip(pages) {
                    let Some(pending) = self.pending.get_mut(&query.lookup) else { continue };
                    pending.portions = portions(page.attestations, enveloped);
                    pending.next = page.next.map(|from| EvidenceQuery { from, ..query });
                }
                None
            }
            Err(error) => Some((queries.into_iter().map(|query| query.lookup).collect(), error)),
        }
    }

    /// True if there is more of the lookup.
    pub fn has_more(&self, lookup: &Lookup) -> bool {
        let more = |pending: &Pending| !pending.portions.is_empty() || pending.next.is_some();
        self.pending.get(lookup).is_some_and(more)
    }
}
