//! Work that may never end, such as a read from a file system that does not answer: done on a
//! thread of its own, and waited for no longer than its caller can.

use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Instant;

/// A place for one piece of work at a time. A clone is the same place.
///
/// Work that never ends keeps its thread and the place: whoever comes later waits for it as long as
/// they can, so that threads do not pile up.
#[derive(Clone, Debug, Default)]
pub struct Timed(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    taken: Mutex<bool>,
    free: Condvar,
}

impl Timed {
    /// Does `work` and returns what it returns, or [`io::ErrorKind::TimedOut`] at the `deadline`.
    pub fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let taken = self.0.take(deadline).ok_or_else(late)?;
        let (sender, receiver) = sync_channel(1);
        let thread = Builder::new().name("timed".to_owned()).spawn(move || {
            let _taken = taken;
            // A caller that went away needs no answer.
            sender.send(work()).unwrap_or_default();
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(done) => Ok(done),
            Err(RecvTimeoutError::Timeout) => Err(late()),
            // No answer and no thread: it panicked.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Ok(()) => Err(late()),
                Err(panic) => resume_unwind(panic),
            },
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time: does its file system answer?")
}

impl Place {
    /// `None` if it is still taken at the `deadline`.
    fn take(self: &Arc<Self>, deadline: Instant) -> Option<Taken> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.free.wait_timeout_while(self.lock(), left, |taken| *taken);
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *taken {
            return None;
        }
        *taken = true;
        Some(Taken(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees the place when dropped.
struct Taken(Arc<Place>);

impl Drop for Taken {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn patiently() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn work_that_does_not_end_holds_up_nobody_and_no_second_thread() {
        let place = Timed::default();
        assert_eq!(place.run(patiently(), || 1).unwrap(), 1);
        let (release, held) = channel::<()>();
        let stuck = move || held.recv().is_err();
        assert_eq!(place.run(soon(), stuck).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let begun = Arc::new(());
        let of_second = Arc::clone(&begun);
        let second = place.run(soon(), move || drop(of_second));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(Arc::strong_count(&begun), 1, "it was not begun");
        drop(release);
        assert_eq!(place.run(patiently(), || 2).unwrap(), 2, "the place is free again");
    }

    #[test]
    fn a_panic_is_its_callers() {
        let place = Timed::default();
        let run = || place.run(patiently(), || panic!("as expected"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(place.run(patiently(), || 1).unwrap(), 1);
    }
}
