//! A token: sessions on it, and how they come back when it went away.
//!
//! One session, the anchor, is logged in and does nothing else: the login belongs to all sessions
//! of the process and ends with the last of them. The others are handed out, one user each.
//!
//! A call that fails is tried again from one step further back: with another session, then with
//! another login, for which the token is looked for again, then with the library begun again. A
//! token that fails all of it is left alone for a moment. No lock is held while the vendor's
//! library works, so a call that hangs in it holds one session and nobody else; the host ends the
//! process then.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Limit, Slot, TokenInfo};
use hallmark_plugin_api::Host;

use crate::config::TokenConfig;
use crate::deadline::Deadline;
use crate::module;
use crate::pin::{Pin, PinError, PinSource};
use crate::uri::TokenName;

/// The time for which a token that failed is not asked again: devices that are restarting do not
/// get better by being asked more often.
const REST: Duration = Duration::from_secs(1);

/// Why the token did not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The vendor's library cannot be used.
    #[error("module {path}: {error}")]
    Module {
        /// Which.
        path: String,
        /// Why.
        error: Error,
    },
    /// No such token is plugged in.
    #[error("the token is not there: {0} tokens are, none of that name")]
    Absent(usize),
    /// The name does not tell tokens apart.
    #[error("{0} tokens have that name: add `serial`")]
    Ambiguous(usize),
    /// There is no PIN.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The token refuses the PIN. Trying again would lock it.
    #[error("the token refuses the PIN ({0}): it is not tried again until it changes")]
    Refused(RvError),
    /// The same PIN was refused before.
    #[error("the token refused this PIN before: it is not tried again until it changes")]
    RefusedBefore,
    /// Every session is in use.
    #[error("all {0} sessions on the token are in use")]
    Busy(u32),
    /// This token does not do what was asked, or not with this key.
    #[error("the token: {0}")]
    Unfit(Error),
    /// The token or its library failed.
    #[error("the token: {0}")]
    Failed(Error),
    /// It failed just now, and is left alone.
    #[error("the token failed less than a second ago: {0}")]
    Resting(String),
    /// The object that was there is not, or not alone.
    #[error("{0} objects in the token have the name and id of the key, where one had")]
    Changed(usize),
}

impl TokenError {
    /// True if another session, or another login, may change it.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Module { error, .. } => matches!(error, Error::Pkcs11(..)),
            Self::Failed(_) | Self::Changed(_) | Self::Absent(_) => true,
            _ => false,
        }
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        use RvError::*;
        match error {
            Error::Pkcs11(
                MechanismInvalid
                | MechanismParamInvalid
                | KeyTypeInconsistent
                | KeySizeRange
                | KeyFunctionNotPermitted
                | DataInvalid
                | DataLenRange
                | SignatureInvalid
                | SignatureLenRange
                | FunctionNotSupported,
                _,
            ) => Self::Unfit(error),
            error => Self::Failed(error),
        }
    }
}

/// The token of an instance.
#[derive(Debug)]
pub(crate) struct Token {
    host: Host,
    module: String,
    name: TokenName,
    pin: Option<PinSource>,
    sessions_max: u32,
    state: Mutex<State>,
    /// A session came back, or the link was made.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Link>,
    /// Somebody is making the link.
    linking: bool,
    idle: Vec<Session>,
    taken: u32,
    /// One more with every link and every distrust of what was known before: handles of objects
    /// are worth nothing in another epoch.
    epoch: u64,
    /// The last PIN that the token refused.
    refused: Option<Pin>,
    /// Until when it is left alone, and what it failed with.
    resting: Option<(Instant, String)>,
}

/// The token where it was found, and the login.
#[derive(Debug)]
struct Link {
    library: &'static Pkcs11,
    slot: Slot,
    name: TokenName,
    sessions_max: u32,
    _anchor: Session,
}

/// A session and what is known about the token it is on.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    token: &'a Token,
    library: &'static Pkcs11,
    slot: Slot,
    session: Option<Session>,
    /// Label and serial number, as the token says.
    pub(crate) name: TokenName,
    pub(crate) epoch: u64,
    keep: bool,
}

/// The step from which the next attempt begins.
#[derive(Clone, Copy)]
enum Rung {
    AsItIs,
    NewSession,
    NewLogin,
    NewLibrary,
}

impl Token {
    pub(crate) fn new(config: &TokenConfig, host: Host) -> Self {
        Self {
            host,
            module: config.module.clone(),
            name: config.keys.first().map(|key| key.uri.token.clone()).unwrap_or_default(),
            pin: config.pin.clone(),
            sessions_max: config.sessions,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Does `work` with a session; again from further back where it fails for the token's sake.
    pub(crate) fn with<T>(
        &self,
        deadline: Deadline,
        mut work: impl FnMut(&Lease<'_>, &Session) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        self.rested()?;
        let mut failed_in = 0;
        let mut last = TokenError::Busy(self.sessions_max);
        for rung in [Rung::AsItIs, Rung::NewSession, Rung::NewLogin, Rung::NewLibrary] {
            if deadline.passed() {
                return Err(last);
            }
            self.step_back(rung, failed_in);
            match self.attempt(deadline, &mut failed_in, &mut work) {
                Err(error) if error.may_pass() => last = error,
                settled => return settled,
            }
        }
        self.lock().resting = Some((Instant::now() + REST, last.to_string()));
        Err(last)
    }

    fn attempt<T>(
        &self,
        deadline: Deadline,
        epoch: &mut u64,
        work: &mut impl FnMut(&Lease<'_>, &Session) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let _at_work = module::at_work();
        let mut lease = self.lease(deadline, epoch)?;
        let session = lease.session.take().ok_or(TokenError::Busy(self.sessions_max))?;
        let done = work(&lease, &session);
        lease.session = Some(session);
        lease.keep = !matches!(&done, Err(error) if error.may_pass());
        done
    }

    fn rested(&self) -> Result<(), TokenError> {
        let mut state = self.lock();
        match state.resting.take() {
            Some((until, why)) if Instant::now() < until => {
                state.resting = Some((until, why.clone()));
                Err(TokenError::Resting(why))
            }
            _ => Ok(()),
        }
    }

    /// Gives up what the failed attempt rested on, unless somebody else did since.
    fn step_back(&self, rung: Rung, failed_in: u64) {
        let mut state = self.lock();
        if matches!(rung, Rung::AsItIs) || state.epoch != failed_in || state.linking {
            return;
        }
        let idle = std::mem::take(&mut state.idle);
        let link = if matches!(rung, Rung::NewSession) { None } else { state.link.take() };
        state.epoch += 1;
        drop(state);
        // Closing asks the token, so nobody waits for it under the lock; and it is done before the
        // library begins again, with which the numbers of sessions do too.
        drop((idle, link));
        if matches!(rung, Rung::NewLibrary) {
            module::begin_anew(&self.module);
        }
    }

    /// Says in `epoch` when it was given or failed.
    fn lease(&self, deadline: Deadline, epoch: &mut u64) -> Result<Lease<'_>, TokenError> {
        let mut state = self.lock();
        loop {
            *epoch = state.epoch;
            if state.linking {
                state = self.wait(state, deadline)?;
                continue;
            }
            let Some(link) = &state.link else {
                self.make_link(state)?;
                state = self.lock();
                continue;
            };
            if state.taken >= link.sessions_max {
                state = self.wait(state, deadline)?;
                continue;
            }
            let (library, slot, name) = (link.library, link.slot, link.name.clone());
            state.taken += 1;
            let session = state.idle.pop();
            let epoch = state.epoch;
            let mut lease = Lease { token: self, library, slot, session, name, epoch, keep: true };
            drop(state);
            if lease.session.is_none() {
                lease.session = Some(library.open_ro_session(slot)?);
            }
            return Ok(lease);
        }
    }

    /// Finds the token and logs in, with nobody waiting under the lock.
    fn make_link(&self, mut state: MutexGuard<'_, State>) -> Result<(), TokenError> {
        state.linking = true;
        let refused = state.refused.clone();
        drop(state);
        let linking = Linking(self);
        let linked = self.link(refused.as_ref());
        let mut state = self.lock();
        match linked {
            Ok(link) => {
                state.link = Some(link);
                state.epoch += 1;
            }
            Err((error, pin)) => {
                state.refused = pin.or_else(|| state.refused.take());
                drop(state);
                drop(linking);
                return Err(error);
            }
        }
        drop(state);
        drop(linking);
        Ok(())
    }

    /// With an error comes the PIN that was refused.
    fn link(&self, refused: Option<&Pin>) -> Result<Link, (TokenError, Option<Pin>)> {
        let module = |error| TokenError::Module { path: self.module.clone(), error };
        let library = module::load(&self.module).map_err(|error| (module(error), None))?;
        let (slot, info) = self.find(library).map_err(|error| (error, None))?;
        let anchor = library.open_ro_session(slot).map_err(|error| (error.into(), None))?;
        if let Some(source) = &self.pin {
            self.log_in(&anchor, source, refused)?;
        }
        // The anchor is one of those that the token allows.
        let sessions_max = match info.max_session_count() {
            Limit::Max(max) => {
                let rest = u32::try_from(max).unwrap_or(u32::MAX).saturating_sub(1).max(1);
                self.sessions_max.min(rest)
            }
            Limit::Unavailable | Limit::Infinite => self.sessions_max,
        };
        let name = TokenName {
            token: Some(info.label().to_owned()),
            serial: Some(info.serial_number().to_owned()),
            ..TokenName::default()
        };
        Ok(Link { library, slot, name, sessions_max, _anchor: anchor })
    }

    /// Numbers of slots change, names of tokens do not.
    fn find(&self, library: &Pkcs11) -> Result<(Slot, TokenInfo), TokenError> {
        let slots = library.get_slots_with_token()?;
        let count = slots.len();
        let mut found: Vec<_> = slots
            .into_iter()
            .filter_map(|slot| Some((slot, library.get_token_info(slot).ok()?)))
            .filter(|(_, info)| info.token_initialized() && is_named(info, &self.name))
            .collect();
        match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(only),
            (Some(_), others) => Err(TokenError::Ambiguous(others + 1)),
            (None, _) => Err(TokenError::Absent(count)),
        }
    }

    fn log_in(
        &self,
        anchor: &Session,
        source: &PinSource,
        refused: Option<&Pin>,
    ) -> Result<(), (TokenError, Option<Pin>)> {
        let pin = source.read(&self.host).map_err(|error| (error.into(), None))?;
        if refused == Some(&pin) {
            return Err((TokenError::RefusedBefore, None));
        }
        use RvError::*;
        match anchor.login(UserType::User, Some(&pin.to_auth())) {
            Ok(()) | Err(Error::Pkcs11(UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(
                why @ (PinIncorrect | PinInvalid | PinLenRange | PinExpired | PinLocked),
                _,
            )) => Err((TokenError::Refused(why), Some(pin))),
            Err(error) => Err((error.into(), None)),
        }
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Deadline,
    ) -> Result<MutexGuard<'a, State>, TokenError> {
        let Some(left) = deadline.left() else {
            return Ok(self.freed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        if left.is_zero() {
            return Err(TokenError::Busy(self.sessions_max));
        }
        let waited = self.freed.wait_timeout(state, left);
        Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    #[cfg(test)]
    pub(crate) fn idle_sessions(&self) -> usize {
        self.lock().idle.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Checks that the token is still the one that was found. A library may answer from memory what
    /// was in one that is gone.
    pub(crate) fn check_token(&self) -> Result<(), TokenError> {
        let info = self.library.get_token_info(self.slot)?;
        if is_named(&info, &self.name) { Ok(()) } else { Err(TokenError::Absent(1)) }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut session = self.session.take();
        let mut state = self.token.lock();
        state.taken -= 1;
        if self.keep && state.epoch == self.epoch {
            state.idle.extend(session.take());
        }
        drop(state);
        self.token.freed.notify_one();
        drop(session);
    }
}

/// Ends the making of a link, also where it panics.
struct Linking<'a>(&'a Token);

impl Drop for Linking<'_> {
    fn drop(&mut self) {
        self.0.lock().linking = false;
        self.0.freed.notify_all();
    }
}

fn is_named(info: &TokenInfo, name: &TokenName) -> bool {
    let is = |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|it| it == given);
    is(&name.token, info.label())
        && is(&name.serial, info.serial_number())
        && is(&name.manufacturer, info.manufacturer_id())
        && is(&name.model, info.model())
}
