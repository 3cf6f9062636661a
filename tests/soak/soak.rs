//! The state that all who take part share: the checker, the figures, and the end of a life.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hallmark_tests::client::{Answer, Client};
use hallmark_tests::soak::ledger::Ledger;
use hallmark_tests::soak::trail::Trail;
use hallmark_tests::soak::{Promise, Violation};
use hyper::Method;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::plant::Plant;
use super::site::Site;
use super::subjects::Subject;

/// Longest time that a request may go without an answer: the longest pause of the daemon's process,
/// and the daemon's own deadlines, on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Violations that are printed; one fault may break a promise a thousand times.
const PRINTED_MAX: usize = 20;

/// The state of one run.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) site: Site,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) plant: Option<Plant>,
    trail: Mutex<Trail>,
    ledger: Mutex<Ledger>,
    figures: Mutex<BTreeMap<&'static str, u64>>,
    violations: Mutex<Vec<Violation>>,
    number: AtomicU64,
    peak_memory_mib: AtomicU64,
    /// Set before the daemon is ended on purpose.
    dying: AtomicBool,
}

/// The result of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer.
    Answered(Answer),
    /// The connection ended first. Its reason is known if the daemon is being ended.
    Cut,
}

impl Soak {
    pub(crate) fn new(plant: Option<Plant>) -> Self {
        let site = Site::new();
        Self {
            trail: Mutex::new(Trail::new(&site.audit())),
            site,
            subjects: Subject::all(),
            plant,
            ledger: Mutex::default(),
            figures: Mutex::default(),
            violations: Mutex::default(),
            number: AtomicU64::new(0),
            peak_memory_mib: AtomicU64::new(0),
            dying: AtomicBool::new(false),
        }
    }

    pub(crate) fn trail(&self) -> MutexGuard<'_, Trail> {
        lock(&self.trail)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// The number of the next question or write.
    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, SeqCst)
    }

    /// Counts something for the summary.
    pub(crate) fn count(&self, what: &'static str) {
        *lock(&self.figures).entry(what).or_default() += 1;
    }

    pub(crate) fn figures(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.figures).clone()
    }

    pub(crate) fn found(&self, violation: Violation) {
        let mut violations = lock(&self.violations);
        if violations.len() < PRINTED_MAX {
            eprintln!("soak: VIOLATION {violation}");
        }
        violations.push(violation);
    }

    /// True once the fault that was made on purpose is found.
    pub(crate) fn has_found_plant(&self) -> bool {
        let broken = self.plant.map_or(&[][..], Plant::breaks);
        lock(&self.violations).iter().any(|violation| broken.contains(&violation.promise))
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        lock(&self.violations).clone()
    }

    /// Notes how much memory a daemon held at most.
    pub(crate) fn peak(&self, mib: u64) {
        self.peak_memory_mib.fetch_max(mib, SeqCst);
    }

    pub(crate) fn peak_memory_mib(&self) -> u64 {
        self.peak_memory_mib.load(SeqCst)
    }

    pub(crate) fn begin_life(&self) {
        self.dying.store(false, SeqCst);
    }

    pub(crate) fn end_life(&self) {
        self.dying.store(true, SeqCst);
    }

    /// True once the daemon is being ended: clients go home.
    pub(crate) fn is_over(&self) -> bool {
        self.dying.load(SeqCst)
    }

    /// Makes a request that must be answered.
    pub(crate) async fn call(
        &self,
        client: &Client,
        (method, path, content_type): (Method, &str, &str),
        body: String,
    ) -> Reply {
        let call = client.try_call(method, path, content_type, body.into());
        match timeout(ANSWER_MAX, call).await {
            Ok(Ok(answer)) => Reply::Answered(answer),
            Ok(Err(_)) => {
                if !self.is_over() {
                    self.count("connections cut");
                }
                Reply::Cut
            }
            Err(_) if self.is_over() => Reply::Cut,
            Err(_) => {
                let what = format!("{path} was not answered within {ANSWER_MAX:?}");
                self.found(Violation::new(Promise::Serving, what));
                Reply::Cut
            }
        }
    }
}

/// Turns of one who takes part, at a steady rate.
#[derive(Debug)]
pub(crate) struct Pace(tokio::time::Interval);

impl Pace {
    pub(crate) fn new(period: Duration) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(interval)
    }

    /// The next turn; false once the life is over.
    pub(crate) async fn turn(&mut self, soak: &Soak) -> bool {
        self.0.tick().await;
        !soak.is_over()
    }
}

/// Lets this much time pass, or less if the life ends.
pub(crate) async fn pass(soak: &Soak, time: Duration) {
    let end = Instant::now() + time;
    let mut pace = Pace::new(Duration::from_millis(20));
    while Instant::now() < end && pace.turn(soak).await {}
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
