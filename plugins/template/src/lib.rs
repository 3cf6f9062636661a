//! A Hallmark plugin to start from: Ed25519 keys whose seeds are secrets of the daemon.
//!
//! It lists its keys for the host to verify with, signs with them, and verifies itself. Copy the
//! folder, replace [`Pair`] by what holds your keys, keep the rest. `docs/plugins.md` says more.

use std::sync::Arc;

use hallmark_plugin_api::{
    Algorithm, Call, Caps, Error, ErrorKind, Failure, Host, Info, Item, Key, KeyFlags, Plugin,
    Snapshot, export_plugin, json, textual,
};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Deserialize;

/// The bytes in front of the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    keys: Vec<KeyConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyConfig {
    /// `template:` and a name.
    id: String,
    /// The secret that holds the seed.
    seed: String,
}

/// Your keys go here.
struct Pair {
    id: String,
    pair: Ed25519KeyPair,
}

struct Template {
    pairs: Arc<Vec<Pair>>,
}

impl Plugin for Template {
    const INFO: Info = Info {
        name: "template",
        version: env!("CARGO_PKG_VERSION"),
        vendor: "Hallmark",
        caps: Caps::KEYS.with(Caps::VERIFY).with(Caps::SIGN).with(Caps::CANCELLABLE),
        algorithms: &[Algorithm::Ed25519],
        schemes: &["template"],
        forms: &[],
        config_schema: r#"{"type":"object","required":["keys"],"additionalProperties":false,"properties":{"keys":{"type":"array","items":{"type":"object","required":["id","seed"],"properties":{"id":{"type":"string"},"seed":{"type":"string"}}}}}}"#,
        max_concurrency: 0,
        max_batch: 0,
    };

    /// Shared with the instance, because these keys never change. Where yours do, take a copy.
    type Snapshot = Arc<Vec<Pair>>;

    fn create(host: Host, config: &str) -> Result<Self, Error> {
        let config: Config = json::from_str(config).map_err(|error| {
            Error::new(ErrorKind::Config, textual::without_values(&error.to_string()))
        })?;
        let pairs = config.keys.into_iter().map(|key| pair(&host, key));
        Ok(Self { pairs: Arc::new(pairs.collect::<Result<_, _>>()?) })
    }

    fn snapshot(&self, _: &Call<'_>) -> Result<Snapshot<Self::Snapshot>, Error> {
        Ok(Snapshot { keys: Arc::clone(&self.pairs), generation: 1, ttl_seconds: 0 })
    }

    fn keys(&self, pairs: &Self::Snapshot) -> Result<Vec<Key>, Error> {
        let record = |(handle, it): (u64, &Pair)| {
            let spki = [&SPKI_HEAD[..], it.pair.public_key().as_ref()].concat();
            let key = Key::host_verified(handle, it.id.as_str(), spki, [Algorithm::Ed25519]);
            Key { flags: key.flags | KeyFlags::SIGN, ..key }
        };
        Ok((1..).zip(pairs.iter()).map(record).collect())
    }

    fn verify(
        &self,
        pairs: Option<&Self::Snapshot>,
        item: &Item<'_>,
        _: &Call<'_>,
    ) -> Result<(), Failure> {
        let pair = &named(pairs.ok_or(Failure::KeyUnknown)?, item)?.pair;
        let key = UnparsedPublicKey::new(&ED25519, pair.public_key());
        key.verify(item.message, item.signature).map_err(|_| Failure::BadSignature)
    }

    fn sign(
        &self,
        pairs: &Self::Snapshot,
        item: &Item<'_>,
        _: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        Ok(named(pairs, item)?.pair.sign(item.message).as_ref().to_vec())
    }
}

fn pair(host: &Host, config: KeyConfig) -> Result<Pair, Error> {
    let wrong = |text: &str| Error::new(ErrorKind::Config, format!("key `{}`: {text}", config.id));
    if !config.id.starts_with("template:") {
        return Err(wrong("its id must begin with `template:`"));
    }
    let pair = Ed25519KeyPair::from_seed_unchecked(&host.secret(&config.seed)?)
        .map_err(|_| wrong("its seed must have 32 bytes"))?;
    Ok(Pair { id: config.id, pair })
}

/// The key of an item: handles count from 1.
fn named<'a>(pairs: &'a [Pair], item: &Item<'_>) -> Result<&'a Pair, Failure> {
    if item.algorithm.is_some_and(|algorithm| algorithm != Algorithm::Ed25519) {
        return Err(Failure::AlgUnsupported);
    }
    let position = usize::try_from(item.key_handle).ok().and_then(|n| n.checked_sub(1));
    position.and_then(|position| pairs.get(position)).ok_or(Failure::KeyUnknown)
}

export_plugin!(Template);
