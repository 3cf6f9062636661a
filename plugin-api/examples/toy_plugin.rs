//! The smallest whole plugin in Rust: one key, and a "signature" that is the message XOR the key.
//! Worth nothing as cryptography; the tests drive it through the loader.
#![forbid(unsafe_code)]

use hallmark_plugin_api::{
    Algorithm, Call, Caps, Decoded, Error, ErrorKind, Failure, Host, Info, Item, Key, KeyFlags,
    LogLevel, Material, Plugin, Refusal, Signed, Snapshot, export_plugin,
};

struct Toy {
    host: Host,
    mask: u8,
}

impl Plugin for Toy {
    const INFO: Info = Info {
        name: "toy",
        version: env!("CARGO_PKG_VERSION"),
        vendor: "Hallmark",
        caps: Caps::KEYS.with(Caps::DECODE).with(Caps::VERIFY).with(Caps::SIGN).with(Caps::PUSH),
        algorithms: &[Algorithm::Ed25519],
        schemes: &["toy"],
        forms: &["toy"],
        config_schema: r#"{"type":"object","properties":{"mask":{"type":"integer"}}}"#,
        max_concurrency: 2,
        max_batch: 64,
    };

    type Snapshot = u8;

    fn create(host: Host, config: &str) -> Result<Self, Error> {
        let wrong = |text| Error::new(ErrorKind::Config, text);
        let config: serde_json::Value =
            serde_json::from_str(config).map_err(|_| wrong("the configuration is not JSON"))?;
        let mask = match config.get("secret").and_then(serde_json::Value::as_str) {
            Some(name) => host.secret(name)?.first().copied(),
            None => config["mask"].as_u64().and_then(|mask| u8::try_from(mask).ok()),
        };
        let mask = mask.ok_or_else(|| wrong("set `mask` to a number below 256"))?;
        host.log(LogLevel::Info, "toy", "made");
        Ok(Self { host, mask })
    }

    fn health(&self, call: &Call<'_>) -> Result<(), Error> {
        self.host.keys_changed();
        match call.now {
            0 => Err(Error::new(ErrorKind::Unavailable, "the clock is not set")),
            _ => Ok(()),
        }
    }

    fn snapshot(&self, _: &Call<'_>) -> Result<Snapshot<u8>, Error> {
        Ok(Snapshot { keys: self.mask, generation: 7, ttl_seconds: 60 })
    }

    fn keys(&self, mask: &u8) -> Result<Vec<Key>, Error> {
        let mut key = Key::host_verified(1, "toy:one", vec![*mask], [Algorithm::Ed25519]);
        key.flags = KeyFlags::VERIFY.with(KeyFlags::SIGN);
        key.other_ids = vec!["toy:uno".to_owned()];
        key.not_after = Some(2_000_000_000);
        Ok(vec![key])
    }

    fn resolve(&self, _: &Call<'_>, material: &Material<'_>) -> Result<Vec<Key>, Error> {
        match material.data {
            [] => Err(Error::new(ErrorKind::Malformed, "the key is empty")),
            b"panic" => panic!("asked to"),
            key => Ok(vec![Key::host_verified(0, "", key, Vec::from_iter(material.algorithm))]),
        }
    }

    fn decode(
        &self,
        _: Option<&u8>,
        item: &Item<'_>,
        _: &Call<'_>,
    ) -> Result<Vec<Decoded>, Failure> {
        if item.signature == b"WEAK" {
            let key_id = "toy:one".to_owned();
            let text = "a weak hash".to_owned();
            let failure = Failure::AlgRejected;
            return Ok(vec![Decoded::Refused(Refusal { failure, key_id, text })]);
        }
        let signature = item.signature.strip_prefix(b"TOY").ok_or(Failure::Malformed)?;
        Ok(vec![Decoded::Signed(Signed {
            key_handle: 0,
            key_id: "toy:one".to_owned(),
            algorithm: Algorithm::Ed25519,
            message: [item.message, b"trailer"].concat(),
            signature: signature.to_vec(),
            payload: [].into(),
            signed_at: Some(1),
            expires_at: None,
        })])
    }

    fn verify(&self, mask: Option<&u8>, item: &Item<'_>, _: &Call<'_>) -> Result<(), Failure> {
        let mask = match item.key_handle {
            0 => *item.key.first().ok_or(Failure::KeyUnknown)?,
            1 => *mask.ok_or(Failure::KeyUnknown)?,
            _ => return Err(Failure::KeyUnknown),
        };
        assert!(item.message != b"panic", "hostile item");
        if xor(item.message, mask) == item.signature { Ok(()) } else { Err(Failure::BadSignature) }
    }

    fn sign(&self, mask: &u8, item: &Item<'_>, _: &Call<'_>) -> Result<Vec<u8>, Failure> {
        if item.key_handle == 1 { Ok(xor(item.message, *mask)) } else { Err(Failure::KeyUnknown) }
    }
}

fn xor(message: &[u8], mask: u8) -> Vec<u8> {
    message.iter().map(|byte| byte ^ mask).collect()
}

export_plugin!(Toy);
