//! The result of a check.

use serde::{Deserialize, Serialize};

/// The answer of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As the contract says.
    Pass,
    /// Against the contract; the text says what to do.
    Fail,
    /// The plugin does not claim what is checked, or the check was given nothing to check with.
    NotApplicable,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check, such as `memory.inputs`.
    pub id: String,
    /// The result.
    pub outcome: Outcome,
    /// For the vendor: what was seen, and what to do.
    pub text: String,
}

/// Why a check does not pass.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The fault, and what to do about it.
    Fail(String),
    /// Why there is nothing to check.
    Skip(&'static str),
    /// The keys were changed while the check ran: it is run again.
    Stale,
}

/// The end of a check: a pass has a text too.
pub(super) type Checked = Result<String, Trouble>;

/// A failure with its text.
pub(super) fn fail<T>(text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Fail(text.into()))
}

impl Finding {
    pub(super) fn new(id: &str, checked: Checked) -> Self {
        let (outcome, text) = match checked {
            Ok(text) => (Outcome::Pass, text),
            Err(Trouble::Fail(text)) => (Outcome::Fail, text),
            Err(Trouble::Skip(text)) => (Outcome::NotApplicable, text.to_owned()),
            Err(Trouble::Stale) => {
                let text = "every snapshot was stale at once; answer STALE_SNAPSHOT only where the \
                            keys are others";
                (Outcome::Fail, text.to_owned())
            }
        };
        Self { id: id.to_owned(), outcome, text }
    }
}
