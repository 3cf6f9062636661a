//! One register per project: a writer goes through numbered states, and every answer must be that
//! of a state that can be in force.
//!
//! A state can be in force from the moment its write begins, and must be from the moment the write
//! is acknowledged until the next one begins. A write that was cut off is repeated until it is
//! acknowledged, so at most one is open at any time.

use super::{Promise, Violation};

/// The form of the decisions of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The verdict on the image of the project.
    pub allowed: bool,
    /// The word of the explanation, at the doors that give one: it tells states of one verdict
    /// apart.
    pub word: &'static str,
}

/// The content of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The verdict.
    pub allowed: bool,
    /// The word, if the door gives one.
    pub word: Option<String>,
}

/// If a state that one answer reflected may be followed by an answer from before it, while its
/// write is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Never: the state is one snapshot, which is replaced whole.
    Monotonic,
    /// Yes: one answer was worked out from what another had not counted yet.
    Acknowledged,
}

/// The states of one project, and what is known of them.
#[derive(Debug)]
pub struct Register {
    project: &'static str,
    order: Order,
    states: Vec<State>,
    /// The last state whose write was acknowledged.
    acknowledged: usize,
    /// The last state that an answer showed for certain.
    shown: usize,
}

/// A question that is under way: the first state that may answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(usize);

impl Register {
    /// A register whose first state is in force.
    pub fn new(project: &'static str, order: Order, first: State) -> Self {
        Self { project, order, states: vec![first], acknowledged: 0, shown: 0 }
    }

    /// Notes that a write begins that leads to `state`. Call it before the request leaves.
    pub fn begin(&mut self, state: State) {
        assert_eq!(self.acknowledged + 1, self.states.len(), "one write at a time");
        self.states.push(state);
    }

    /// Notes that the write was acknowledged. Call it after its answer came.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.states.len() - 1;
    }

    /// The number of the state that was begun last.
    pub fn begun(&self) -> usize {
        self.states.len() - 1
    }

    /// True while the last write is not acknowledged.
    pub fn is_open(&self) -> bool {
        self.acknowledged < self.begun()
    }

    /// Notes that a question is about to leave.
    pub fn ask(&self) -> Asked {
        Asked(match self.order {
            Order::Monotonic => self.acknowledged.max(self.shown),
            Order::Acknowledged => self.acknowledged,
        })
    }

    /// Judges the answer to a question. Call it after the answer came.
    pub fn answer(&mut self, asked: Asked, seen: &Seen) -> Result<(), Violation> {
        let possible = &self.states[asked.0..];
        let Some(first) = possible.iter().position(|state| fits(state, seen)) else {
            return Err(self.violation(asked, seen));
        };
        // The earliest state that fits: what is shown for certain.
        self.shown = self.shown.max(asked.0 + first);
        Ok(())
    }

    fn violation(&self, asked: Asked, seen: &Seen) -> Violation {
        let possible = &self.states[asked.0..];
        let before = self.states[..asked.0].iter().rposition(|state| fits(state, seen));
        let what = format!(
            "project {}: states {} to {} answer {possible:?}, not {seen:?}; {}",
            self.project,
            asked.0,
            self.begun(),
            before.map_or_else(
                || "no state ever did".to_owned(),
                |state| format!("state {state} did")
            )
        );
        let unsigned = seen.allowed && possible.iter().all(|state| !state.allowed);
        match (before, unsigned) {
            (None, true) => Violation::new(Promise::NothingUnsigned, what),
            (None, false) => Violation::new(Promise::RightAnswer, what),
            (Some(_), _) => Violation::new(Promise::NothingStale, what),
        }
    }
}

fn fits(state: &State, seen: &Seen) -> bool {
    state.allowed == seen.allowed && seen.word.as_ref().is_none_or(|word| word == state.word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: State = State { allowed: true, word: "VERIFIED" };
    const NO: State = State { allowed: false, word: "NO_KEYS" };
    const OTHER: State = State { allowed: false, word: "NONE_VERIFIED" };

    fn seen(state: &State) -> Seen {
        Seen { allowed: state.allowed, word: Some(state.word.to_owned()) }
    }

    fn bare(allowed: bool) -> Seen {
        Seen { allowed, word: None }
    }

    fn promise(judged: Result<(), Violation>) -> Option<Promise> {
        judged.err().map(|violation| violation.promise)
    }

    #[test]
    fn either_state_may_answer_while_a_write_is_open() {
        let mut register = Register::new("p", Order::Acknowledged, YES);
        let before = register.ask();
        register.begin(NO);
        let during = register.ask();
        for asked in [before, during] {
            assert_eq!(register.answer(asked, &seen(&NO)), Ok(()));
            assert_eq!(register.answer(asked, &seen(&YES)), Ok(()));
        }
    }

    #[test]
    fn an_answer_from_before_an_acknowledged_write_is_stale() {
        for stale in [seen(&YES), bare(true)] {
            let mut register = Register::new("p", Order::Acknowledged, YES);
            let early = register.ask();
            register.begin(NO);
            register.acknowledge();
            // Asked before the acknowledgement: it may still be the old state.
            assert_eq!(register.answer(early, &stale), Ok(()));
            let late = register.ask();
            assert_eq!(promise(register.answer(late, &stale)), Some(Promise::NothingStale));
        }
    }

    #[test]
    fn a_state_that_was_shown_is_not_taken_back() {
        let mut register = Register::new("p", Order::Monotonic, YES);
        register.begin(NO);
        let first = register.ask();
        assert_eq!(register.answer(first, &seen(&NO)), Ok(()));
        let second = register.ask();
        assert_eq!(promise(register.answer(second, &seen(&YES))), Some(Promise::NothingStale));
    }

    #[test]
    fn an_ambiguous_answer_shows_the_earliest_state_only() {
        let mut register = Register::new("p", Order::Monotonic, NO);
        register.begin(OTHER);
        let first = register.ask();
        assert_eq!(register.answer(first, &bare(false)), Ok(()));
        let second = register.ask();
        assert_eq!(register.answer(second, &seen(&NO)), Ok(()));
    }

    #[test]
    fn an_allow_that_no_state_ever_gave_is_unsigned() {
        let mut register = Register::new("p", Order::Acknowledged, NO);
        let asked = register.ask();
        let judged = register.answer(asked, &bare(true));
        assert_eq!(promise(judged), Some(Promise::NothingUnsigned));
    }

    #[test]
    fn a_denial_that_no_state_ever_gave_is_found() {
        let mut register = Register::new("p", Order::Acknowledged, YES);
        let asked = register.ask();
        let judged = register.answer(asked, &bare(false));
        assert_eq!(promise(judged), Some(Promise::RightAnswer));
    }
}
