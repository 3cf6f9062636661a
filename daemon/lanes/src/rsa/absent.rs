//! In the place of `crate::ifma` on a CPU of another kind: there is no proof that it has it.

use super::job::{Job, LANES};
use super::number::Number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Available {}

impl Available {
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    pub(crate) fn power(self, _: &[&Job<'_>; LANES], _: usize) -> [Number; LANES] {
        match self {}
    }
}
