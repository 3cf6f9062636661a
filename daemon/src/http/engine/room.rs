//! Room that holders share: when it is full, whoever holds most gives way.
//!
//! So a stranger who takes all of it takes it from themselves. Of a holder's places the oldest goes
//! first: what means well is done soon, what was there longest is what holds things up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::holder::Holder;

/// For whom a place is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum GivesWay {
    /// For whatever comes next.
    ToAnybody,
    /// For a holder who would still hold less.
    ToSmaller,
}

/// Room of a size. Places in it are of any size.
#[derive(Debug)]
pub(in crate::http) struct Room {
    gives_way: GivesWay,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// The part of `used` that nobody can be asked to give up.
    kept: usize,
    next_id: u64,
    holders: HashMap<Holder, Held>,
}

/// The places of one holder.
#[derive(Debug, Default)]
struct Held {
    size: usize,
    /// Those that can be given up, the oldest first.
    places: BTreeMap<u64, Arc<Given>>,
}

/// A place that can be given up.
#[derive(Debug, Default)]
struct Given {
    /// Changes under the lock of the room alone.
    size: AtomicUsize,
    leave: Arc<Notify>,
}

/// A place in a room, until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Place {
    room: Arc<Room>,
    holder: Holder,
    id: u64,
    given: Arc<Given>,
    kept: bool,
}

impl Room {
    pub(in crate::http) fn new(gives_way: GivesWay) -> Arc<Self> {
        Arc::new(Self { gives_way, state: Mutex::default() })
    }

    /// Takes a place of this size in a room of this size, at the cost of others if need be; `None`
    /// if nobody has to give way.
    pub(in crate::http) fn enter(
        self: &Arc<Self>,
        holder: Holder,
        size: usize,
        capacity: usize,
    ) -> Option<Place> {
        let mut state = self.state();
        self.make_room(&mut state, &holder, None, size, capacity).then_some(())?;
        let id = state.next_id;
        state.next_id += 1;
        state.used += size;
        let given = Arc::new(Given { size: AtomicUsize::new(size), leave: Arc::default() });
        let held = state.holders.entry(holder.clone()).or_default();
        held.size += size;
        held.places.insert(id, Arc::clone(&given));
        drop(state);
        Some(Place { room: Arc::clone(self), holder, id, given, kept: false })
    }

    /// Has one place given up, if there is one that can be.
    pub(in crate::http) fn evict(&self) -> bool {
        let mut state = self.state();
        let victim = state.victim(None);
        victim.is_some_and(|(holder, id)| state.give_up(&holder, id))
    }

    /// The size of all places.
    pub(in crate::http) fn used(&self) -> usize {
        self.state().used
    }

    /// Has places given up until there is room for `more` of `holder`, or none if that cannot be.
    /// The place `own` is not touched.
    fn make_room(
        &self,
        state: &mut State,
        holder: &Holder,
        own: Option<u64>,
        more: usize,
        capacity: usize,
    ) -> bool {
        if state.kept.saturating_add(more) > capacity {
            return false;
        }
        while state.used.saturating_add(more) > capacity {
            let Some((victim, id)) = state.victim(own) else { return false };
            let theirs = state.holders.get(&victim).map_or(0, |held| held.size);
            let mine = state.holders.get(holder).map_or(0, |held| held.size);
            if self.gives_way == GivesWay::ToSmaller && theirs <= mine + more {
                return false;
            }
            state.give_up(&victim, id);
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest place of the holder who has most, the oldest of all if several have as much.
    fn victim(&self, own: Option<u64>) -> Option<(Holder, u64)> {
        let oldest = self.holders.iter().filter_map(|(holder, held)| {
            let id = held.places.keys().copied().find(|id| Some(*id) != own)?;
            Some((held.size, Reverse(id), holder))
        });
        let (_, Reverse(id), holder) = oldest.max_by_key(|(size, age, _)| (*size, *age))?;
        Some((holder.clone(), id))
    }

    fn give_up(&mut self, holder: &Holder, id: u64) -> bool {
        let given = self.holders.get_mut(holder).and_then(|held| held.places.remove(&id));
        let Some(given) = given else { return false };
        given.leave.notify_one();
        self.release(holder, given.size());
        true
    }

    fn release(&mut self, holder: &Holder, size: usize) {
        self.used -= size;
        let Some(held) = self.holders.get_mut(holder) else { return };
        held.size -= size;
        if held.size == 0 && held.places.is_empty() {
            self.holders.remove(holder);
        }
    }
}

impl Given {
    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Makes the place larger, at the cost of others if need be. False if there is no room for that,
    /// or if the place was given up.
    pub(in crate::http) fn grow(&mut self, more: usize, capacity: usize) -> bool {
        let mut state = self.room.state();
        let is_there =
            state.holders.get(&self.holder).is_some_and(|held| held.places.contains_key(&self.id));
        if !is_there
            || !self.room.make_room(&mut state, &self.holder, Some(self.id), more, capacity)
        {
            return false;
        }
        state.used += more;
        if let Some(held) = state.holders.get_mut(&self.holder) {
            held.size += more;
        }
        self.given.size.fetch_add(more, Ordering::Relaxed);
        true
    }

    /// Keeps the place for good: nobody else can have it given up. False if it was already.
    pub(in crate::http) fn keep(&mut self) -> bool {
        let mut state = self.room.state();
        let held = state.holders.get_mut(&self.holder);
        let Some(given) = held.and_then(|held| held.places.remove(&self.id)) else { return false };
        state.kept += given.size();
        self.kept = true;
        true
    }

    /// Notified once the place was given up for somebody else.
    pub(in crate::http) fn leaving(&self) -> Arc<Notify> {
        Arc::clone(&self.given.leave)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.room.state();
        let size = self.given.size();
        let held = state.holders.get_mut(&self.holder);
        let is_there = held.is_some_and(|held| held.places.remove(&self.id).is_some());
        if self.kept {
            state.kept -= size;
        }
        if self.kept || is_there {
            state.release(&self.holder, size);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn holder(number: u8) -> Holder {
        Holder::at(Ipv4Addr::new(192, 0, 2, number).into())
    }

    fn is_given_up(place: &Place) -> bool {
        !place
            .room
            .state()
            .holders
            .get(&place.holder)
            .is_some_and(|held| held.places.contains_key(&place.id))
            && !place.kept
    }

    #[test]
    fn the_oldest_place_of_the_largest_holder_gives_way() {
        let room = Room::new(GivesWay::ToAnybody);
        let enter = |number| room.enter(holder(number), 1, 4).expect("room");
        let first = enter(1);
        let greedy = [enter(2), enter(2), enter(2)];
        let newcomer = enter(3);
        assert!(is_given_up(&greedy[0]));
        assert!(
            [&first, &greedy[1], &greedy[2], &newcomer].iter().all(|place| !is_given_up(place))
        );
        let again = enter(2);
        assert!(is_given_up(&greedy[1]) && !is_given_up(&again));
        assert_eq!(room.used(), 4);
        drop((first, greedy, newcomer, again));
        assert_eq!(room.used(), 0);
        assert!(room.state().holders.is_empty());
    }

    #[test]
    fn among_equals_nobody_gives_way_where_only_the_smaller_have_a_claim() {
        let room = Room::new(GivesWay::ToSmaller);
        let alone: Vec<_> =
            (0..4).map(|_| room.enter(holder(1), 1, 4).expect("all of it")).collect();
        assert!(room.enter(holder(1), 1, 4).is_none(), "a fifth");
        let second = room.enter(holder(2), 1, 4).expect("a share");
        let third = room.enter(holder(2), 1, 4).expect("half");
        assert!(room.enter(holder(2), 1, 4).is_none(), "more than half");
        assert_eq!(alone.iter().filter(|place| is_given_up(place)).count(), 2);
        drop((second, third));
    }

    #[test]
    fn what_is_kept_is_never_given_up_and_bounds_what_can_be_had() {
        let room = Room::new(GivesWay::ToAnybody);
        let mut kept = room.enter(holder(1), 3, 10).expect("room");
        assert!(kept.keep());
        let mut reading = room.enter(holder(1), 4, 10).expect("room");
        assert!(reading.grow(3, 10), "up to all of it");
        assert!(!reading.grow(1, 10), "and no further");
        assert!(room.enter(holder(2), 8, 10).is_none(), "3 are kept");
        assert!(!is_given_up(&reading), "nobody gives way for nothing");
        let other = room.enter(holder(2), 7, 10).expect("room");
        assert!(is_given_up(&reading));
        assert!(!reading.grow(1, 20) && !reading.keep());
        drop((kept, reading, other));
        assert_eq!((room.used(), room.state().kept), (0, 0));
    }
}
