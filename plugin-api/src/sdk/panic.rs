//! Panics end here: they become a text for the log and an error of the call or item.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// A panic that was caught, with where it happened.
pub(super) struct Panic(String);

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin panicked: {}", self.0)
    }
}

thread_local! {
    /// Is a thunk on the stack? Only then is a panic the SDK's to report.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The panic that the hook saw, for the thunk that catches.
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs plugin code and catches what unwinds out of it.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = INSIDE.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    INSIDE.set(outer);
    outcome.map_err(|payload| {
        let text = payload_text(payload);
        Panic(SEEN.take().unwrap_or(text))
    })
}

fn payload_text(payload: Box<dyn Any + Send>) -> String {
    match payload_str(&*payload) {
        Some(text) => text.to_owned(),
        None => {
            // Its destructor is the plugin's, and could panic again.
            std::mem::forget(payload);
            "no text".to_owned()
        }
    }
}

fn payload_str(payload: &dyn Any) -> Option<&str> {
    let fixed = payload.downcast_ref::<&str>().copied();
    fixed.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Keeps the text and place of a panic for the thunk that will catch it. Every cdylib has a
/// standard library of its own, so this hook sees the panics of this plugin only; those on its own
/// threads go on to the hook before.
pub(super) fn remember_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if !INSIDE.get() {
                return before(panic);
            }
            let text = payload_str(panic.payload()).unwrap_or("no text");
            let place = panic.location().map_or_else(String::new, |at| format!(", at {at}"));
            SEEN.set(Some(format!("{text}{place}")));
        }));
    });
}
