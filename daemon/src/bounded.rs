//! Work that may block: on threads of its own, a bounded number at a time, and never waited for
//! beyond a deadline.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

/// Why work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// No place was free before the deadline: nothing was begun.
    #[error("all places were taken until the deadline: nothing was begun")]
    Busy,
    /// It was begun and goes on, without anybody who waits.
    #[error("it was begun and is not over at the deadline")]
    Late,
    /// It ended without a result.
    #[error("it panicked")]
    Panicked,
}

/// Runs work that may block. Clones share their places.
#[derive(Clone, Debug)]
pub struct Bounded {
    places: Arc<Semaphore>,
}

impl Bounded {
    /// With so many places.
    pub fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }

    /// Runs `work` on a thread that may block. Work that does not come back keeps its thread and
    /// its place; no caller waits for it beyond its `deadline`.
    ///
    /// # Errors
    /// No place or no result by `deadline`.
    ///
    /// # Cancel safety
    /// Work that has begun goes on without its caller.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        // A free place is no reason to begin what nobody waits for.
        if deadline <= Instant::now() {
            return Err(Unfinished::Busy);
        }
        let place = timeout_at(deadline.into(), Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Unfinished::Busy) };
        let running = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the caller: a caller that gave up does not free a place.
            let _place = place;
            work()
        });
        match timeout_at(deadline.into(), running).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(Unfinished::Panicked),
            Err(_) => Err(Unfinished::Late),
        }
    }

    /// Places that are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn stuck_work_costs_its_callers_the_deadline_and_no_more_than_its_place() {
        let bounded = Bounded::new(1);
        let (release, stuck) = channel::<()>();
        let late = bounded.run(soon(), move || stuck.recv().is_ok()).await;
        assert_eq!(late, Err(Unfinished::Late));
        assert_eq!(bounded.free(), 0);
        assert_eq!(bounded.run(soon(), || ()).await, Err(Unfinished::Busy));
        release.send(()).expect("it still waits");
        assert_eq!(bounded.run(later(), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_frees_its_place() {
        let bounded = Bounded::new(1);
        assert_eq!(
            bounded.run(later(), || panic!("on purpose")).await,
            Err::<(), _>(Unfinished::Panicked)
        );
        assert_eq!(bounded.run(later(), || 7).await, Ok(7));
    }
}
