//! The plugin contract, kept with the other modules.

use std::sync::{Arc, Mutex, PoisonError};

use hallmark_plugin_api::{
    Call, Caps, Error, ErrorKind, Failure, Host, Info, Item, Key, KeyFlags, LogLevel, Plugin,
    Snapshot,
};

use crate::algorithm::SUPPORTED;
use crate::config::{self, Config, KeyConfig, Verify};
use crate::deadline::Deadline;
use crate::objects::{self, Handles, KeySet, TokenKey};
use crate::operation::{Operation, OperationError};
use crate::token::{Token, TokenError};

/// Where its log lines come from.
const LOG_TARGET: &str = "hallmark_plugin_hsm";

/// One configured instance.
#[derive(Debug)]
pub(crate) struct Hsm {
    host: Host,
    /// `None` where none is configured.
    token: Option<(Token, Vec<KeyConfig>)>,
    verify: Verify,
    refresh_secs: u32,
    handles: Handles,
    last: Mutex<Option<Reading>>,
}

/// The last good reading of the token.
#[derive(Clone, Debug)]
struct Reading {
    set: Arc<KeySet>,
    /// From 1, one more with each change of the keys.
    generation: u64,
}

/// The meaning of a handle across the boundary: a key that verifies has an odd one, the same key as
/// one that signs the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Verify,
    Sign,
}

impl Plugin for Hsm {
    const INFO: Info = Info {
        name: "hsm",
        version: env!("CARGO_PKG_VERSION"),
        vendor: "Hallmark",
        caps: Caps::KEYS
            .with(Caps::SIGN)
            .with(Caps::VERIFY)
            .with(Caps::BLOCKING)
            .with(Caps::NEEDS_WORKER),
        algorithms: &SUPPORTED,
        schemes: &["pkcs11"],
        forms: &[],
        config_schema: config::SCHEMA,
        max_concurrency: config::SESSIONS_MAX,
        max_batch: 0,
    };

    type Snapshot = Arc<KeySet>;

    /// Does not ask the token: one that is away comes back.
    fn create(host: Host, config: &str) -> Result<Self, Error> {
        let config = Config::parse(config.as_bytes())
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        let token = config.token.map(|config| (Token::new(&config, host), config.keys));
        Ok(Self {
            host,
            token,
            verify: config.verify,
            refresh_secs: config.refresh_secs,
            handles: Handles::default(),
            last: Mutex::new(None),
        })
    }

    fn health(&self, call: &Call<'_>) -> Result<(), Error> {
        self.read(call).map(|_| ())
    }

    fn snapshot(&self, call: &Call<'_>) -> Result<Snapshot<Arc<KeySet>>, Error> {
        let Reading { set, generation } = self.taken(self.read(call)?);
        Ok(Snapshot { keys: set, generation, ttl_seconds: self.refresh_secs })
    }

    /// Keys that verify and keys that sign are listed apart: a name that several keys have
    /// verifies with any of them, and signs with none.
    fn keys(&self, snapshot: &Arc<KeySet>) -> Result<Vec<Key>, Error> {
        let records = snapshot.keys.iter().zip(0..).flat_map(|(key, position)| {
            let verifies = self.record(key, handle(position, Use::Verify), Use::Verify);
            let signs = self.record(key, handle(position, Use::Sign), Use::Sign);
            std::iter::once(verifies).chain(key.signs.then_some(signs))
        });
        let unusable = snapshot.unusable.iter().zip(snapshot.keys.len() as u64..);
        let unusable = unusable.map(|((id, why), position)| {
            Key::unusable(handle(position, Use::Verify), id.as_str(), why.as_str())
        });
        Ok(records.chain(unusable).collect())
    }

    fn verify(
        &self,
        snapshot: Option<&Arc<KeySet>>,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<(), Failure> {
        let snapshot = snapshot.ok_or(Failure::KeyUnknown)?;
        let operation = self.operation(snapshot, item, call, Use::Verify)?;
        let verified = operation.verify(item.algorithm, item.message, item.signature);
        verified.map_err(|error| self.failed(&error))
    }

    fn sign(
        &self,
        snapshot: &Arc<KeySet>,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let operation = self.operation(snapshot, item, call, Use::Sign)?;
        operation.sign(item.algorithm, item.message).map_err(|error| self.failed(&error))
    }

    fn sign_digest(
        &self,
        snapshot: &Arc<KeySet>,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let operation = self.operation(snapshot, item, call, Use::Sign)?;
        operation.sign_digest(item.algorithm, item.message).map_err(|error| self.failed(&error))
    }
}

impl Hsm {
    fn read(&self, call: &Call<'_>) -> Result<KeySet, Error> {
        let Some((token, configured)) = &self.token else { return Ok(KeySet::default()) };
        let read = token
            .with(Deadline::of(call), |lease, session| objects::read(lease, session, configured));
        read.map_err(|error| Error::new(kind(&error), error.to_string()))
    }

    /// Notes what was read, and what its owner should know of it.
    fn taken(&self, set: KeySet) -> Reading {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = last.as_ref().filter(|reading| *reading.set == set) {
            return reading.clone();
        }
        self.handles.clear();
        for note in &set.notes {
            self.host.log(LogLevel::Warn, LOG_TARGET, note);
        }
        let generation = last.as_ref().map_or(1, |reading| reading.generation + 1);
        let reading = Reading { set: Arc::new(set), generation };
        *last = Some(reading.clone());
        reading
    }

    fn record(&self, key: &TokenKey, handle: u64, purpose: Use) -> Key {
        let (flags, shared) = match (purpose, self.verify) {
            (Use::Verify, Verify::Host) => (KeyFlags::VERIFY | KeyFlags::HOST_VERIFY, true),
            (Use::Verify, Verify::Token) => (KeyFlags::VERIFY, true),
            (Use::Sign, _) => (KeyFlags::SIGN, key.signs_alone),
        };
        let other_ids: Vec<_> =
            Some(key.uri.clone()).filter(|uri| shared && *uri != key.id).into_iter().collect();
        // The URI of a configured key names every object that it fits: the old and the new key.
        let flags = match other_ids.is_empty() {
            true => flags,
            false => flags | KeyFlags::SHARES_ID,
        };
        let (spki_der, algorithms) = (key.public.spki_der.as_slice(), &key.public.algorithms[..]);
        let whole = Key::host_verified(handle, key.id.as_str(), spki_der, algorithms);
        Key { flags, other_ids, ..whole }
    }

    fn operation<'a>(
        &'a self,
        snapshot: &'a KeySet,
        item: &Item<'_>,
        call: &Call<'_>,
        purpose: Use,
    ) -> Result<Operation<'a>, Failure> {
        let (token, _) = self.token.as_ref().ok_or(Failure::KeyUnknown)?;
        let (position, named) = position(item.key_handle).ok_or(Failure::KeyUnknown)?;
        let key = snapshot.keys.get(position).ok_or(Failure::KeyUnknown)?;
        if named != purpose || (purpose == Use::Sign && !key.signs) {
            return Err(Failure::KeyUsage);
        }
        Ok(Operation { token, handles: &self.handles, key, deadline: Deadline::of(call) })
    }

    fn failed(&self, error: &OperationError) -> Failure {
        let level = match error {
            OperationError::Token { error: TokenError::Changed(_), .. } => {
                // The snapshot no longer says what is in the token.
                self.host.keys_changed();
                LogLevel::Warn
            }
            OperationError::Faulty(_) | OperationError::Token { .. } => LogLevel::Error,
            _ => LogLevel::Debug,
        };
        self.host.log(level, LOG_TARGET, &error.to_string());
        error.failure()
    }
}

fn handle(position: u64, purpose: Use) -> u64 {
    2 * position + if purpose == Use::Verify { 1 } else { 2 }
}

fn position(handle: u64) -> Option<(usize, Use)> {
    let from_zero = handle.checked_sub(1)?;
    let purpose = if from_zero.is_multiple_of(2) { Use::Verify } else { Use::Sign };
    Some((usize::try_from(from_zero / 2).ok()?, purpose))
}

fn kind(error: &TokenError) -> ErrorKind {
    match error {
        error if error.may_pass() => ErrorKind::Unavailable,
        TokenError::Module { .. } | TokenError::Ambiguous(_) => ErrorKind::Config,
        TokenError::Pin(_) | TokenError::Refused(_) | TokenError::RefusedBefore => ErrorKind::Auth,
        TokenError::Busy(_) => ErrorKind::Busy,
        TokenError::Absent(_)
        | TokenError::Unfit(_)
        | TokenError::Failed(_)
        | TokenError::Resting(_)
        | TokenError::Changed(_) => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests;
