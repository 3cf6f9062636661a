//! Room for connections: those who were let in keep theirs, strangers make room for each other.
//!
//! A stranger is a connection over which nobody was let in yet: one that is silent, shakes hands,
//! drips a header or asks what it may not. Strangers have half of the room at most, and when that
//! is full, the oldest connection of the address that has most of them is closed for the newest.
//! So nobody is kept out by however many of them there are, and a client that means well was let in
//! long before its turn to go comes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::holder::Holder;
use super::room::GivesWay;
use super::room::Place;
use super::room::Room;

/// Room for the connections of one listener.
#[derive(Debug)]
pub(in crate::http) struct Connections {
    max: usize,
    strangers: Arc<Room>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    all: usize,
    by_holder: HashMap<Holder, usize>,
}

/// One connection among them, until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Standing {
    connections: Arc<Connections>,
    is_known: AtomicBool,
    place: Mutex<Option<Taken>>,
}

#[derive(Debug)]
enum Taken {
    Stranger(Place),
    Known(Holder),
}

impl Connections {
    pub(in crate::http) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, strangers: Room::new(GivesWay::ToAnybody), known: Mutex::default() })
    }

    /// Makes room for a connection; `None` if all of it is taken by those who were let in.
    pub(in crate::http) fn arrive(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Standing>> {
        let place = self.strangers.enter(Holder::at(address), 1, self.strangers_max())?;
        let (is_known, place) = (AtomicBool::new(false), Mutex::new(Some(Taken::Stranger(place))));
        Some(Arc::new(Standing { connections: Arc::clone(self), is_known, place }))
    }

    /// Closes the connection of a stranger; false if there is none.
    pub(in crate::http) fn evict(&self) -> bool {
        self.strangers.evict()
    }

    fn strangers_max(&self) -> usize {
        let left = self.max.saturating_sub(self.known().all);
        left.min(self.max.div_ceil(2))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of one principal, three quarters are kept at most: those beyond stay strangers.
    fn per_holder_max(&self) -> usize {
        self.max - self.max / 4
    }
}

impl Standing {
    /// Somebody was let in over the connection: from now on its place is kept.
    pub(in crate::http) fn let_in(&self, holder: &Holder) {
        if self.is_known() {
            return;
        }
        let mut place = self.place();
        let mut known = self.connections.known();
        let theirs = known.by_holder.get(holder).copied().unwrap_or_default();
        let is_full = theirs >= self.connections.per_holder_max();
        if matches!(holder, Holder::Principal(_)) && is_full {
            return;
        }
        known.all += 1;
        *known.by_holder.entry(holder.clone()).or_default() += 1;
        drop(known);
        *place = Some(Taken::Known(holder.clone()));
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// True if somebody was let in over the connection.
    pub(in crate::http) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Returns once the connection must make room for another.
    pub(in crate::http) async fn given_up(&self) {
        let leaving = match &*self.place() {
            Some(Taken::Stranger(place)) => Some(place.leaving()),
            Some(Taken::Known(_)) | None => None,
        };
        match leaving {
            Some(leaving) => leaving.notified().await,
            None => std::future::pending().await,
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Taken>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let Some(Taken::Known(holder)) = self.place().take() else { return };
        let mut known = self.connections.known();
        known.all -= 1;
        let theirs = known.by_holder.entry(holder.clone()).or_default();
        *theirs = theirs.saturating_sub(1);
        if *theirs == 0 {
            known.by_holder.remove(&holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::auth::principal::Principal;

    fn address(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    fn principal(name: &str) -> Holder {
        Holder::Principal(name.parse::<Principal>().expect("a principal"))
    }

    #[test]
    fn strangers_have_half_of_the_room_and_those_let_in_the_rest() {
        let connections = Connections::new(8);
        let strangers: Vec<_> = (0..20).filter_map(|_| connections.arrive(address(1))).collect();
        assert_eq!(strangers.len(), 20, "the newest always finds room");
        assert_eq!(connections.strangers.used(), 4);
        let mut known = Vec::new();
        for number in 0..8 {
            let standing = connections.arrive(address(2)).expect("room among strangers");
            standing.let_in(&principal(if number % 2 == 0 { "user:a" } else { "user:b" }));
            standing.let_in(&principal("user:c"));
            known.push(standing);
        }
        assert_eq!(connections.known().all, 8);
        assert_eq!(connections.strangers.used(), 0, "there is room for those let in alone");
        assert!(connections.arrive(address(3)).is_none(), "all of it is taken");
        known.pop();
        assert!(connections.arrive(address(3)).is_some());
        drop((known, strangers));
        assert_eq!(connections.strangers.used(), 0);
        assert_eq!(connections.known().all, 0);
        assert!(connections.known().by_holder.is_empty());
    }

    #[test]
    fn one_principal_keeps_three_quarters_at_most() {
        let connections = Connections::new(8);
        let arrived: Vec<_> = (0..8)
            .map(|_| {
                let standing = connections.arrive(address(1)).expect("room");
                standing.let_in(&principal("user:greedy"));
                standing
            })
            .collect();
        assert_eq!(connections.known().all, 6);
        assert!(connections.arrive(address(2)).is_some(), "one of the others gave way");
        drop(arrived);
    }
}
