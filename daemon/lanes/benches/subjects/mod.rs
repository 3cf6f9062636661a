//! The algorithms, each with keys, what they signed, the libraries and the engines.

mod ecdsa;
mod ed25519;
mod rsa;

/// An algorithm to measure.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Its name in `openssl speed`.
    pub(crate) openssl: &'static str,
    /// Numbers of keys to measure with.
    pub(crate) keys: &'static [usize],
    pub(crate) case: fn(usize, &mut fastrand::Rng) -> Case,
}

pub(crate) const SUBJECTS: [Subject; 7] = [
    Subject { name: "p256", openssl: "ecdsap256", keys: &[1, 1000], case: ecdsa::p256 },
    Subject { name: "p384", openssl: "ecdsap384", keys: &[1, 1000], case: ecdsa::p384 },
    Subject { name: "ed25519", openssl: "ed25519", keys: &[1, 1000], case: ed25519::ed25519 },
    Subject { name: "rsa2048", openssl: "rsa2048", keys: &[1, 1000], case: rsa::pkcs1_2048 },
    Subject { name: "rsa2048-pss", openssl: "rsa2048", keys: &[1], case: rsa::pss_2048 },
    Subject { name: "rsa3072", openssl: "rsa3072", keys: &[1], case: rsa::pkcs1_3072 },
    Subject { name: "rsa4096", openssl: "rsa4096", keys: &[1], case: rsa::pkcs1_4096 },
];

/// Bytes of a message: what a simple-signing payload of an image has.
const MESSAGE_BYTES: usize = 256;
/// Distinct signatures of each case.
const SIGNATURES: usize = 2048;

/// Keys, as each verifier likes them best, and what they signed.
pub(crate) struct Case {
    pub(crate) signed: Vec<Signed>,
    /// *ring* is the first.
    pub(crate) rivals: Vec<Rival>,
    pub(crate) engines: Vec<Lanes>,
}

pub(crate) struct Signed {
    key: usize,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// A library, and how it verifies.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    pub(crate) verify: Box<dyn Fn(&Signed) -> bool>,
}

/// Answers true if all of a batch are good.
type Batch = dyn Fn(&[Signed]) -> bool;

/// An engine with the tables of all keys.
pub(crate) struct Lanes {
    pub(crate) name: &'static str,
    pub(crate) verify: Box<Batch>,
}

fn rival(name: &'static str, verify: impl Fn(&Signed) -> bool + 'static) -> Rival {
    Rival { name, verify: Box::new(verify) }
}

/// `SIGNATURES` messages, signed by `keys` keys in turn.
fn sign(
    keys: usize,
    random: &mut fastrand::Rng,
    sign: impl Fn(usize, &[u8]) -> Vec<u8>,
) -> Vec<Signed> {
    (0..SIGNATURES)
        .map(|nth| {
            let mut message = vec![0; MESSAGE_BYTES];
            random.fill(&mut message);
            let key = nth % keys;
            let signature = sign(key, &message);
            Signed { key, message, signature }
        })
        .collect()
}

/// Prints what tables cost.
fn tables<T>(
    name: &str,
    engine: &str,
    keys: usize,
    build: impl FnOnce() -> (Vec<T>, usize),
) -> Vec<T> {
    let start = std::time::Instant::now();
    let (tables, bytes) = build();
    let each = start.elapsed().as_secs_f64() * 1e6 / keys as f64;
    println!("table {name} engine={engine} bytes={bytes} microseconds={each:.0}");
    tables
}
