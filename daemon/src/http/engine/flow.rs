//! Answers on their way: how much of them is held, for how long nobody has taken a byte.
//!
//! An answer counts from its making until the transport has written its last byte, whichever queue
//! it stands in. Over HTTP/2 that is the client's to say (flow control), and pings keep such a
//! connection alive for ever. So each connection has its answers timed, and all of them together
//! are bounded: those who take nothing make room first.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::limits::ServerLimits;

/// Bytes that an answer costs beside its own: the stream, its task and its headers, measured.
const ANSWER_OVERHEAD: usize = 4 << 10;

/// Bytes of an answer that is made room for in any case: nearly every one is smaller.
const ANSWER_BYTES_FREE: usize = 64 << 10;

/// Time that the longest held answer must have stood still before its connection makes room for
/// others. Who reads takes a piece of an answer in less.
const STANDING_STILL: Duration = Duration::from_secs(1);

/// Interval at which small answers look for connections to end. Each look goes through all answers,
/// of which strangers may have half a million; a connection stands still for 20 looks before it
/// ends.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Requests that a client may call off at once and each second, before its connection is ended: as
/// nghttp2 has it. Rapid reset (CVE-2023-44487) is more; an API server that gives up is less.
const CANCELLED_BURST: f64 = 1_000.0;
const CANCELLED_PER_SECOND: f64 = 33.0;

/// Bytes of all answers on their way, by connection.
#[derive(Debug)]
pub(in crate::http) struct Flows {
    limits: ServerLimits,
    held: AtomicUsize,
    /// Requests under way on connections over which nobody was let in yet.
    of_strangers: AtomicUsize,
    next_id: AtomicUsize,
    open: Mutex<HashMap<usize, Weak<Flow>>>,
    /// When a small answer looks for room again.
    look_at: Mutex<Instant>,
}

/// The requests and answers that one connection has under way.
#[derive(Debug)]
pub(in crate::http) struct Flow {
    all: Arc<Flows>,
    id: usize,
    state: Mutex<State>,
    cut: Notify,
}

#[derive(Debug)]
struct State {
    is_known: bool,
    requests: usize,
    idle_since: Instant,
    next_id: u64,
    /// The bytes held of each answer, and when the transport last took a piece of it.
    answers: BTreeMap<u64, (usize, Instant)>,
    bytes: usize,
    /// Why the connection must end at once, if it must.
    cut: Option<ClosedCause>,
    cancelled: f64,
    cancelled_at: Instant,
}

/// Why the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedCause {
    /// Nobody was let in over it, and another needed the room.
    Stranger,
    /// Nothing was asked over it for long.
    Idle,
    /// An answer was not taken in time.
    Stuck,
    /// Its answers stood still, and the room was needed.
    Room,
    /// Its client called off one request after the other.
    Cancelling,
}

impl ClosedCause {
    pub(in crate::http) const ALL: [Self; 5] =
        [Self::Stranger, Self::Idle, Self::Stuck, Self::Room, Self::Cancelling];

    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Idle => "idle",
            Self::Stuck => "stuck",
            Self::Room => "room",
            Self::Cancelling => "cancelling",
        }
    }
}

/// The extent to which a connection may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Reading {
    Freely,
    /// A few bytes at a time, until they are a request: a stranger who asks once is heard.
    Piecemeal,
    /// Nothing until what the connection asked for is done, or strangers ask for less.
    Later,
}

/// There is no room for an answer of this size now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct NoRoom;

impl Flows {
    pub(in crate::http) fn new(limits: ServerLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            held: AtomicUsize::new(0),
            of_strangers: AtomicUsize::new(0),
            next_id: AtomicUsize::new(0),
            open: Mutex::default(),
            look_at: Mutex::new(Instant::now()),
        })
    }

    /// Begins to watch a connection.
    pub(in crate::http) fn open(self: &Arc<Self>) -> Arc<Flow> {
        let now = Instant::now();
        let state = State {
            is_known: false,
            requests: 0,
            idle_since: now,
            next_id: 0,
            answers: BTreeMap::new(),
            bytes: 0,
            cut: None,
            cancelled: 0.0,
            cancelled_at: now,
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (all, state, cut) = (Arc::clone(self), Mutex::new(state), Notify::new());
        let flow = Arc::new(Flow { all, id, state, cut });
        self.opened().insert(id, Arc::downgrade(&flow));
        flow
    }

    /// Bytes of answers held now.
    pub(in crate::http) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// True if it is time to look for room; then the next time is later.
    fn is_due(&self, now: Instant) -> bool {
        let mut look_at = self.look_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = *look_at <= now;
        if due {
            *look_at = now + LOOK_EVERY;
        }
        due
    }

    /// Ends connections whose answers stand still, the longest first, until there is room again.
    fn make_room(&self, now: Instant) -> Result<(), NoRoom> {
        let mut excess = self.held().saturating_sub(self.limits.answer_bytes_max);
        if excess == 0 {
            return Ok(());
        }
        let flows: Vec<_> = self.opened().values().filter_map(Weak::upgrade).collect();
        let mut still: Vec<_> = flows.iter().filter_map(|flow| flow.standing_still(now)).collect();
        still.sort_unstable_by_key(|(since, ..)| *since);
        for (_, bytes, flow) in still {
            flow.cut(ClosedCause::Room);
            excess = excess.saturating_sub(bytes);
            if excess == 0 {
                return Ok(());
            }
        }
        Err(NoRoom)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<usize, Weak<Flow>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow {
    /// Counts a request as under way until the guard is dropped.
    pub(in crate::http) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        state.requests += 1;
        if !state.is_known {
            self.all.of_strangers.fetch_add(1, Ordering::Relaxed);
        }
        UnderWay { flow: Arc::clone(self), answered: false }
    }

    /// Somebody was let in over the connection: it is no stranger's any more.
    pub(in crate::http) fn let_in(&self) {
        let mut state = self.state();
        if !state.is_known {
            state.is_known = true;
            self.all.of_strangers.fetch_sub(state.requests, Ordering::Relaxed);
        }
    }

    /// The extent to which the connection may be read now.
    ///
    /// One read may begin as many requests as HTTP/2 allows at once, each with its task, before any
    /// of them is looked at. So it is decided at the read.
    pub(in crate::http) fn reading(&self) -> Reading {
        if self.all.of_strangers.load(Ordering::Relaxed) < self.all.limits.stranger_requests_max {
            return Reading::Freely;
        }
        let state = self.state();
        match (state.is_known, state.requests) {
            (true, _) => Reading::Freely,
            (false, 0) => Reading::Piecemeal,
            (false, _) => Reading::Later,
        }
    }

    /// Counts an answer until its last byte is written. A large one is refused without room for it.
    pub(in crate::http) fn hold(
        self: &Arc<Self>,
        bytes: Bytes,
    ) -> Result<(Bytes, AnswerId), NoRoom> {
        let (now, size) = (Instant::now(), bytes.len() + ANSWER_OVERHEAD);
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        state.bytes += size;
        state.answers.insert(id, (size, now));
        let over = state.bytes > self.all.limits.answer_bytes_per_connection_max;
        let still = over && state.stands_still(now).is_some();
        drop(state);
        self.all.held.fetch_add(size, Ordering::Relaxed);
        let held = Bytes::from_owner(HeldAnswer { bytes, flow: Arc::clone(self), id });
        if still {
            self.cut(ClosedCause::Room);
        }
        let is_small = held.len() <= ANSWER_BYTES_FREE;
        if is_small && !self.all.is_due(now) {
            return Ok((held, AnswerId(id)));
        }
        match self.all.make_room(now) {
            Err(NoRoom) if !is_small => Err(NoRoom),
            _ => Ok((held, AnswerId(id))),
        }
    }

    /// The transport takes the next piece of an answer.
    pub(in crate::http) fn taken(&self, answer: AnswerId) {
        if let Some((_, since)) = self.state().answers.get_mut(&answer.0) {
            *since = Instant::now();
        }
    }

    /// Why the connection should end now, if it should.
    pub(in crate::http) fn end(&self, limits: &ServerLimits) -> Option<ClosedCause> {
        let (now, state) = (Instant::now(), self.state());
        let oldest = state.answers.values().map(|(_, since)| *since).min();
        if oldest.is_some_and(|since| now.saturating_duration_since(since) > limits.write_timeout) {
            return Some(ClosedCause::Stuck);
        }
        let is_idle = state.requests == 0 && state.answers.is_empty();
        let idle = now.saturating_duration_since(state.idle_since);
        (is_idle && idle > limits.header_timeout).then_some(ClosedCause::Idle)
    }

    /// Returns once the connection must end at once, and says why.
    pub(in crate::http) async fn is_cut(&self) -> ClosedCause {
        loop {
            self.cut.notified().await;
            if let Some(cause) = self.state().cut {
                return cause;
            }
        }
    }

    fn cut(&self, cause: ClosedCause) {
        self.state().cut = Some(cause);
        self.cut.notify_one();
    }

    fn standing_still(&self, now: Instant) -> Option<(Instant, usize, &Self)> {
        let state = self.state();
        Some((state.stands_still(now)?, state.bytes, self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Since when, if an answer stands still and the connection is not to end already.
    fn stands_still(&self, now: Instant) -> Option<Instant> {
        let oldest = self.answers.values().map(|(_, since)| *since).min()?;
        let still = now.saturating_duration_since(oldest) > STANDING_STILL;
        (still && self.cut.is_none()).then_some(oldest)
    }

    /// Counts a request that was called off; true if there are too many.
    fn call_off(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.cancelled_at).as_secs_f64();
        self.cancelled_at = now;
        self.cancelled = (self.cancelled - passed * CANCELLED_PER_SECOND).max(0.0) + 1.0;
        self.cancelled > CANCELLED_BURST
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.all.opened().remove(&self.id);
    }
}

/// An answer on its way, among those of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct AnswerId(u64);

/// The bytes of an answer, until the last of them is written.
struct HeldAnswer {
    bytes: Bytes,
    flow: Arc<Flow>,
    id: u64,
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldAnswer {
    fn drop(&mut self) {
        let mut state = self.flow.state();
        let Some((size, _)) = state.answers.remove(&self.id) else { return };
        state.bytes -= size;
        if state.answers.is_empty() {
            state.idle_since = Instant::now();
        }
        drop(state);
        self.flow.all.held.fetch_sub(size, Ordering::Relaxed);
    }
}

/// A request under way. Dropped before it is answered, it was called off by the client.
#[derive(Debug)]
pub(in crate::http) struct UnderWay {
    flow: Arc<Flow>,
    answered: bool,
}

impl UnderWay {
    pub(in crate::http) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// There is an answer. The request is under way until that is taken.
    pub(in crate::http) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (now, mut state) = (Instant::now(), self.flow.state());
        state.requests -= 1;
        if !state.is_known {
            self.flow.all.of_strangers.fetch_sub(1, Ordering::Relaxed);
        }
        state.idle_since = now;
        let too_many = !self.answered && state.call_off(now);
        drop(state);
        if too_many {
            self.flow.cut(ClosedCause::Cancelling);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows(answer_bytes_max: usize) -> Arc<Flows> {
        Flows::new(ServerLimits { answer_bytes_max, ..ServerLimits::DEFAULT })
    }

    fn is_cut(flow: &Flow) -> bool {
        flow.state().cut.is_some()
    }

    /// Sets every answer of the connection back in time.
    fn age(flow: &Flow, by: Duration) {
        let mut state = flow.state();
        for (_, since) in state.answers.values_mut() {
            *since = since.checked_sub(by).expect("the machine runs for longer");
        }
    }

    #[test]
    fn an_answer_counts_until_its_last_piece_is_written() {
        let flows = flows(1 << 20);
        let flow = flows.open();
        let (mut bytes, _) = flow.hold(Bytes::from(vec![0; 1_000])).expect("room");
        assert_eq!(flows.held(), 1_000 + ANSWER_OVERHEAD);
        let piece = bytes.split_to(10);
        drop(bytes);
        assert_eq!(flows.held(), 1_000 + ANSWER_OVERHEAD);
        drop(piece);
        assert_eq!((flows.held(), flow.state().bytes), (0, 0));
        drop(flow);
        assert!(flows.opened().is_empty());
    }

    #[test]
    fn who_takes_nothing_makes_room_the_longest_first_and_readers_do_not() {
        let flows = flows(250 << 10);
        let (old, older, reader) = (flows.open(), flows.open(), flows.open());
        let answer = || Bytes::from(vec![0; 65 << 10]);
        let held: Vec<_> = [&old, &older, &reader]
            .into_iter()
            .map(|flow| flow.hold(answer()).expect("room"))
            .collect();
        assert_eq!(reader.hold(answer()).map(drop), Err(NoRoom), "nobody stands still yet");
        age(&old, Duration::from_secs(2));
        age(&older, Duration::from_secs(3));
        let held_after = reader.hold(answer()).expect("room is made");
        drop(held_after);
        assert_eq!((is_cut(&older), is_cut(&old), is_cut(&reader)), (true, false, false));
        drop(held);
    }

    /// Else a look at all answers for each answer would hold up everybody.
    #[test]
    fn small_answers_look_for_room_now_and_then() {
        let flows = flows(0);
        let (old, reader) = (flows.open(), flows.open());
        let small = |flow: &Arc<Flow>| flow.hold(Bytes::from_static(b"small")).expect("room");
        let held = [small(&old), small(&reader)];
        age(&old, Duration::from_secs(2));
        drop(small(&reader));
        assert!(!is_cut(&old), "looked just now");
        *flows.look_at.lock().expect("lock") = Instant::now();
        drop(small(&reader));
        assert!(is_cut(&old));
        drop(held);
    }

    #[test]
    fn strangers_are_read_request_by_request_once_they_ask_for_too_much() {
        let limits = ServerLimits { stranger_requests_max: 2, ..ServerLimits::DEFAULT };
        let flows = Flows::new(limits);
        let (greedy, known, new) = (flows.open(), flows.open(), flows.open());
        let asked = known.begin();
        known.let_in();
        known.let_in();
        let first = greedy.begin();
        assert_eq!(greedy.reading(), Reading::Freely, "those who were let in do not count");
        let second = greedy.begin();
        let read = [&greedy, &known, &new].map(|flow| flow.reading());
        assert_eq!(read, [Reading::Later, Reading::Freely, Reading::Piecemeal]);
        drop((first, asked));
        assert_eq!(greedy.reading(), Reading::Freely);
        drop(second);
        assert_eq!(flows.of_strangers.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_piece_that_is_taken_is_a_sign_of_life() {
        let flows = flows(1 << 20);
        let flow = flows.open();
        let (_bytes, answer) = flow.hold(Bytes::from_static(b"answer")).expect("room");
        let limits =
            ServerLimits { write_timeout: Duration::from_secs(5), ..ServerLimits::DEFAULT };
        assert_eq!(flow.end(&limits), None);
        age(&flow, Duration::from_secs(6));
        assert_eq!(flow.end(&limits), Some(ClosedCause::Stuck));
        flow.taken(answer);
        assert_eq!(flow.end(&limits), None);
    }

    #[test]
    fn requests_called_off_without_end_end_the_connection() {
        let flow = flows(1 << 20).open();
        for _ in 0..5_000 {
            flow.begin().answered();
        }
        for _ in 0..900 {
            drop(flow.begin());
        }
        assert!(!is_cut(&flow));
        for _ in 0..2_000 {
            drop(flow.begin());
        }
        assert!(is_cut(&flow));
    }
}
