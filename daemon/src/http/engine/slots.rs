//! Slots for requests at work, shared fairly among those who ask.
//!
//! One who asks alone may have every slot. When all are taken, requests wait a little, and a slot
//! that comes free goes to the holder who has fewest at work (max-min fairness). If too many wait,
//! the newest of the longest line is turned away. So the load of one holder costs another no more
//! than the time until the next slot comes free.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::holder::Holder;

/// The slots of one server.
#[derive(Debug)]
pub(in crate::http) struct Slots {
    waiting_max: usize,
    at_work: IntGauge,
    waiting: IntGauge,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: usize,
    next_id: u64,
    given: u64,
    lines: HashMap<Holder, Line>,
}

/// One holder's requests.
#[derive(Debug, Default)]
struct Line {
    at_work: usize,
    /// When it last was given a slot, counted in slots given.
    served: u64,
    /// The longest waiting first.
    waiting: BTreeMap<u64, oneshot::Sender<Slot>>,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Slot {
    slots: Arc<Slots>,
    holder: Holder,
}

/// No slot came free in time, or too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct NoSlot;

impl Slots {
    pub(in crate::http) fn new(
        count: usize,
        waiting_max: usize,
        at_work: IntGauge,
        waiting: IntGauge,
    ) -> Arc<Self> {
        let state = State { free: count, waiting: 0, next_id: 0, given: 0, lines: HashMap::new() };
        Arc::new(Self { waiting_max, at_work, waiting, state: Mutex::new(state) })
    }

    /// Takes a slot, waiting for one as long as `patience`.
    ///
    /// # Cancel safety
    /// Whoever goes away leaves the line.
    pub(in crate::http) async fn take(
        self: &Arc<Self>,
        holder: Holder,
        patience: Duration,
    ) -> Result<Slot, NoSlot> {
        let (place, turn) = match self.take_now_or_wait(&holder)? {
            Taken::Slot(slot) => return Ok(slot),
            Taken::Turn(id, turn) => (InLine { slots: self, holder, id }, turn),
        };
        let slot = timeout(patience, turn).await;
        drop(place);
        slot.map_err(|_| NoSlot)?.map_err(|_| NoSlot)
    }

    fn take_now_or_wait(self: &Arc<Self>, holder: &Holder) -> Result<Taken, NoSlot> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            state.serve(holder);
            self.at_work.inc();
            return Ok(Taken::Slot(Slot { slots: Arc::clone(self), holder: holder.clone() }));
        }
        if state.waiting >= self.waiting_max {
            state.turn_away_for(holder)?;
            self.waiting.dec();
        }
        let (turn, waits) = oneshot::channel();
        let id = state.next_id;
        state.next_id += 1;
        state.waiting += 1;
        state.line(holder).waiting.insert(id, turn);
        self.waiting.inc();
        Ok(Taken::Turn(id, waits))
    }

    /// Gives a slot that came free to whoever is next.
    fn pass_on(self: &Arc<Self>, from: &Holder) {
        let mut state = self.state();
        state.line(from).at_work -= 1;
        state.forget_if_idle(from);
        let Some((holder, turn)) = state.next() else {
            state.free += 1;
            self.at_work.dec();
            return;
        };
        self.waiting.dec();
        // Whoever left the line in this moment drops the slot, which passes it on: not under the lock.
        drop(state);
        drop(turn.send(Slot { slots: Arc::clone(self), holder }));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Slot(Slot),
    Turn(u64, oneshot::Receiver<Slot>),
}

impl State {
    fn line(&mut self, holder: &Holder) -> &mut Line {
        self.lines.entry(holder.clone()).or_default()
    }

    /// Counts a slot as given to `holder`.
    fn serve(&mut self, holder: &Holder) -> &mut Line {
        self.given += 1;
        let given = self.given;
        let line = self.line(holder);
        line.at_work += 1;
        line.served = given;
        line
    }

    fn forget_if_idle(&mut self, holder: &Holder) {
        if self.lines.get(holder).is_some_and(|line| line.at_work == 0 && line.waiting.is_empty()) {
            self.lines.remove(holder);
        }
    }

    /// Turns the newest of the longest line away, unless that is the line of `holder`.
    fn turn_away_for(&mut self, holder: &Holder) -> Result<(), NoSlot> {
        let mine = self.lines.get(holder).map_or(0, |line| line.waiting.len());
        let longest = self.lines.iter().max_by_key(|(_, line)| line.waiting.len());
        let longest = longest.filter(|(_, line)| line.waiting.len() > mine + 1);
        let longest = longest.map(|(holder, _)| holder.clone()).ok_or(NoSlot)?;
        self.line(&longest).waiting.pop_last();
        self.waiting -= 1;
        Ok(())
    }

    /// Takes the next out of line: of those with fewest at work, whoever was served longest ago.
    fn next(&mut self) -> Option<(Holder, oneshot::Sender<Slot>)> {
        let waiting = self.lines.iter().filter_map(|(holder, line)| {
            let (id, _) = line.waiting.first_key_value()?;
            Some((Reverse((line.at_work, line.served, *id)), holder))
        });
        let holder = waiting.max_by_key(|(order, _)| *order)?.1.clone();
        let (_, turn) = self.serve(&holder).waiting.pop_first()?;
        self.waiting -= 1;
        Some((holder, turn))
    }
}

/// A request in line; dropped, it is in line no more.
struct InLine<'a> {
    slots: &'a Slots,
    holder: Holder,
    id: u64,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        let line = state.lines.get_mut(&self.holder);
        if line.is_some_and(|line| line.waiting.remove(&self.id).is_some()) {
            state.waiting -= 1;
            self.slots.waiting.dec();
            state.forget_if_idle(&self.holder);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.pass_on(&self.holder);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn holder(number: u8) -> Holder {
        Holder::at(Ipv4Addr::new(192, 0, 2, number).into())
    }

    fn slots(count: usize, waiting_max: usize) -> Arc<Slots> {
        let gauge = |name| IntGauge::new(name, "of a test").expect("a gauge");
        Slots::new(count, waiting_max, gauge("at_work"), gauge("waiting"))
    }

    /// Asks, and waits until the request stands in line.
    async fn queue(
        slots: &Arc<Slots>,
        number: u8,
    ) -> tokio::task::JoinHandle<Result<Slot, NoSlot>> {
        let (mine, before) = (Arc::clone(slots), slots.state().next_id);
        let asking = tokio::spawn(async move { mine.take(holder(number), LONG).await });
        while slots.state().next_id == before && !asking.is_finished() {
            tokio::task::yield_now().await;
        }
        asking
    }

    #[tokio::test]
    async fn one_alone_has_every_slot_and_a_second_the_next_that_comes_free() {
        let slots = slots(3, 8);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(slots.take(holder(1), LONG).await.expect("a free slot"));
        }
        let more = queue(&slots, 1).await;
        let other = queue(&slots, 2).await;
        assert_eq!((slots.at_work.get(), slots.waiting.get()), (3, 2));
        drop(all.pop());
        let other = other.await.expect("asked").expect("before the one who waited longer");
        drop(other);
        let more = more.await.expect("asked").expect("a slot");
        drop((all, more));
        assert_eq!((slots.at_work.get(), slots.waiting.get()), (0, 0));
        assert_eq!(slots.state().free, 3);
        assert!(slots.state().lines.is_empty());
    }

    #[tokio::test]
    async fn who_fills_the_line_is_turned_away_and_others_are_not() {
        let slots = slots(1, 3);
        let held = slots.take(holder(1), LONG).await.expect("a free slot");
        let (first, second, third) =
            (queue(&slots, 1).await, queue(&slots, 1).await, queue(&slots, 1).await);
        assert_eq!(slots.take(holder(1), LONG).await.err(), Some(NoSlot), "the line is full");
        let other = queue(&slots, 2).await;
        assert_eq!(third.await.expect("asked").err(), Some(NoSlot), "the newest gives way");
        drop(held);
        drop(other.await.expect("asked").expect("a slot"));
        drop(first.await.expect("asked").expect("a slot"));
        drop(second.await.expect("asked").expect("a slot"));
        assert_eq!((slots.state().free, slots.waiting.get()), (1, 0));
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_line_and_takes_no_slot_along() {
        let slots = slots(1, 1);
        let held = slots.take(holder(1), LONG).await.expect("a free slot");
        let gone = queue(&slots, 2).await;
        gone.abort();
        assert!(gone.await.expect_err("aborted").is_cancelled());
        assert_eq!(slots.take(holder(3), Duration::ZERO).await.err(), Some(NoSlot));
        assert_eq!(slots.waiting.get(), 0);
        drop(held);
        assert_eq!(slots.state().free, 1);
        assert!(slots.state().lines.is_empty());
    }
}
