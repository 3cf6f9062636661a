//! When the keys of a source are asked for again, and for how long the last good ones serve while
//! they are unavailable.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hallmark_core::attestor::{KeyId, VerificationKey};
use hallmark_plugin_api::host::CallError;

use super::status::Refreshes;

/// A part of the time to live, by which asking again is spread: many replicas start together.
const JITTER: f64 = 0.1;
/// The time for which an id that was asked for and not found is no reason to ask again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// The rules by which an instance's keys are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// For how long the last good keys serve after their time to live, or after the first failure
    /// before its end.
    pub stale_grace: Duration,
    /// True if a source that had keys may come to have none.
    pub allow_empty: bool,
    /// The least time between two times that an unknown key id is reason to ask; `None` for never.
    pub unknown_key_interval: Option<Duration>,
}

impl Default for Rotation {
    /// A day, within which somebody mends the source and in which no revocation is heard of (an
    /// alert fires after an hour); what a key source of JWKS would say may be cached as long. Ten
    /// seconds: what signs with a new key tries again within that time anyway.
    fn default() -> Self {
        Self {
            stale_grace: Duration::from_secs(86_400),
            allow_empty: false,
            unknown_key_interval: Some(Duration::from_secs(10)),
        }
    }
}

/// When the snapshots of an instance were and are to be taken, and their results.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// `None` for never, unless pushed.
    pub(super) due: Option<Instant>,
    pub(super) last_error: Option<String>,
    /// The plugin's error when it was to make the instance.
    pub(super) refusal: Option<CallError>,
    /// When the snapshot that is being taken is late; `None` where it is said to be.
    pub(super) late: Option<Instant>,
    /// When the last good snapshot was taken, and when its time to live ends.
    pub(super) taken: Option<Instant>,
    pub(super) fresh_until: Option<Instant>,
    /// The first failure since.
    pub(super) failing_since: Option<Instant>,
    pub(super) withdrawn: bool,
    pub(super) refreshes: Refreshes,
    /// When a push last had a snapshot taken.
    pub(super) pushed: Option<Instant>,
}

impl Schedule {
    /// From when on there should have been another snapshot, which may be to come.
    pub(super) fn overdue_from(&self) -> Option<Instant> {
        self.fresh_until.into_iter().chain(self.failing_since).min()
    }
}

/// When a snapshot that was just taken is to be taken again: up to a tenth before its time to live
/// ends.
pub(super) fn due(now: Instant, ttl: Duration) -> Option<Instant> {
    now.checked_add(ttl.mul_f64(1.0 - JITTER * fastrand::f64()))
}

/// Keeps those who ask for unknown keys from having a source asked as often as they like.
#[derive(Debug, Default)]
pub(super) struct UnknownKeys(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    last: Option<Instant>,
    /// When each id was reason to ask. One an interval enters and none stays long, so these are
    /// few.
    ids: HashMap<KeyId, Instant>,
}

impl UnknownKeys {
    /// True if the source is to be asked because of this id.
    pub(super) fn are_reason(&self, id: &KeyId, interval: Option<Duration>, now: Instant) -> bool {
        let Some(interval) = interval else { return false };
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |then: Instant| now.saturating_duration_since(then);
        asked.ids.retain(|_, then| since(*then) < UNKNOWN_FOR);
        let too_soon = asked.last.is_some_and(|last| since(last) < interval);
        if too_soon || asked.ids.contains_key(id) {
            return false;
        }
        asked.last = Some(now);
        asked.ids.insert(id.clone(), now);
        true
    }
}

/// The ids that name another key than before, or one more.
pub(super) fn rotated<'a>(
    before: &'a [VerificationKey],
    after: &'a [VerificationKey],
) -> BTreeSet<&'a str> {
    let mut known: HashMap<&KeyId, Vec<&[u8; 32]>> = HashMap::new();
    for key in before {
        for id in &key.ids {
            known.entry(id).or_default().push(&key.fingerprint);
        }
    }
    let named = after.iter().flat_map(|key| key.ids.iter().map(move |id| (id, &key.fingerprint)));
    let is_new = |(id, fingerprint): &(&KeyId, &[u8; 32])| {
        known.get(id).is_some_and(|fingerprints| !fingerprints.contains(fingerprint))
    };
    named.filter(is_new).map(|(id, _)| id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use hallmark_core::attestor::{Curve, KeyType, SignatureAlgorithm, Spki, Validity};

    use super::*;

    #[test]
    fn asking_anew_is_spread_over_a_tenth_before_the_end() {
        let (now, ttl) = (Instant::now(), Duration::from_secs(1_000));
        let times: Vec<_> = (0..200).map(|_| due(now, ttl).unwrap() - now).collect();
        assert!(times.iter().all(|time| *time <= ttl && *time >= ttl.mul_f64(0.9)));
        assert!(times.iter().max() > times.iter().min());
    }

    #[test]
    fn unknown_ids_are_a_reason_once_an_interval_and_each_of_them_once_a_minute() {
        let (unknown, start) = (UnknownKeys::default(), Instant::now());
        let ten = Some(Duration::from_secs(10));
        let asks = |id: &str, after: u64| {
            unknown.are_reason(&KeyId::from(id), ten, start + Duration::from_secs(after))
        };
        assert!(asks("a:1", 0));
        assert!(!asks("a:1", 1) && !asks("a:2", 9));
        assert!(asks("a:2", 10));
        assert!(!asks("a:1", 20) && !asks("a:2", 59), "both are known not to be there");
        assert!(asks("a:1", 61));
        let never = UnknownKeys::default();
        assert!(!never.are_reason(&KeyId::from("a:1"), None, start));
        let always = Some(Duration::ZERO);
        assert!(never.are_reason(&KeyId::from("a:1"), always, start));
        assert!(never.are_reason(&KeyId::from("a:2"), always, start));
    }

    #[test]
    fn a_rotation_is_another_key_of_the_same_id() {
        let key = |ids: &[&str], fingerprint: u8| VerificationKey {
            plugin: "pkix".into(),
            envelope: None,
            holder: None,
            ids: ids.iter().map(|id| KeyId::from(*id)).collect(),
            fingerprint: [fingerprint; 32],
            spki: Spki::new([], KeyType::Ec(Curve::P256), 0..0),
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            validity: Validity::default(),
        };
        let ids = |before: &[VerificationKey], after: &[VerificationKey]| {
            rotated(before, after).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let old = [key(&["k", "k1"], 1)];
        assert_eq!(ids(&old, &[key(&["k", "k2"], 2)]), ["k"]);
        assert_eq!(ids(&old, &[key(&["k", "k1"], 1), key(&["k", "k2"], 2)]), ["k"]);
        assert_eq!(ids(&old, &[key(&["k", "k1"], 1), key(&["m"], 2)]), [""; 0]);
        assert_eq!(ids(&old, &[]), [""; 0]);
    }
}
