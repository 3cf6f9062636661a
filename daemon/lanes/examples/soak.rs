//! Verdicts by the hundred million: `soak SEED COUNT MINUTES RECORD`.
//!
//! The right verdict on every signature is known from how it was made, by ephemeral keys that are
//! used once. IFMA answers all of them, the portable engine one batch in eight; *ring* (aws-lc-rs,
//! where the digest is constructed) is asked for every batch as long as the run is ahead of its
//! time, the p256 crate for one signature in 256. Counts go to the file RECORD once a minute. The
//! first difference ends the run with a panic.

#[expect(dead_code, reason = "each includer uses a part of it")]
#[path = "../tests/ecdsa/forge.rs"]
mod forge;
#[path = "../tests/ecdsa/library_p256.rs"]
mod library;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aws_lc_rs::signature as aws;
use forge::{Forge, Fresh, Specimen};
use hallmark_lanes::p256::{Engine, KeyTable, LaneCheck};

/// Ordinary keys; some special ones follow.
const SIGNERS: usize = 64;
/// Keys of signatures whose x coordinate is around zero, n or p. Used again and again.
const PLACED: usize = 64;
const BATCH_MAX: usize = 200;
/// One batch in so many goes through the portable engine too.
const PORTABLE_SHARE: u8 = 8;

/// The way a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Mirrored,
    BitFlipped,
    OtherMessage,
    OtherKey,
    EdgeNumbers,
    Deformed,
    Swapped,
    Multiples,
    Placed,
}

const KINDS: [Kind; 10] = [
    Kind::Good,
    Kind::Mirrored,
    Kind::BitFlipped,
    Kind::OtherMessage,
    Kind::OtherKey,
    Kind::EdgeNumbers,
    Kind::Deformed,
    Kind::Swapped,
    Kind::Multiples,
    Kind::Placed,
];

struct Made {
    kind: Kind,
    key: usize,
    specimen: Specimen,
    good: bool,
}

#[derive(Clone, Copy, Default)]
struct Count {
    signatures: u64,
    good: u64,
    ring: u64,
    aws_lc: u64,
    p256: u64,
}

/// Keys as engines and libraries want them, in the order of [`Made::key`].
struct Keys {
    engines: Vec<(Engine, Vec<KeyTable>)>,
    aws_lc: Vec<aws::ParsedPublicKey>,
}

struct Soak {
    forge: Forge,
    fresh: Fresh,
    placed: Vec<(Specimen, bool)>,
    keys: Keys,
    by_kind: [Count; KINDS.len()],
    by_engine: Vec<u64>,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [seed, count, minutes, record] = arguments.as_slice() else {
        eprintln!("usage: soak SEED COUNT MINUTES RECORD");
        std::process::exit(1);
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let (seed, count) = (number(seed), number(count));
    let time = Duration::from_secs(60 * number(minutes));
    let mut soak = Soak::new(seed);
    let start = Instant::now();
    let mut next_record = start;
    while soak.done() < count {
        if Instant::now() >= next_record {
            std::fs::write(record, soak.report(seed, start.elapsed())).expect("a file to write");
            next_record += Duration::from_secs(60);
        }
        let share_of_time = start.elapsed().as_secs_f64() / time.as_secs_f64();
        let ask_libraries = share_of_time <= soak.done() as f64 / count as f64 + 0.002;
        soak.one_batch(ask_libraries);
    }
    let report = soak.report(seed, start.elapsed());
    std::fs::write(record, &report).expect("a file to write");
    print!("{report}");
}

impl Soak {
    fn new(seed: u64) -> Self {
        let mut forge = Forge::new(seed, SIGNERS);
        let mut placed = Vec::new();
        while placed.len() < PLACED {
            let x = forge.edge_bytes();
            if forge::is_coordinate(&x)
                && let Some(specimen) = forge.with_x(&x)
            {
                let mut bad = specimen.clone();
                bad.message.get_or_insert_default().push(1);
                bad.hash = forge::digest(bad.message.as_deref().expect("a message"));
                placed.extend([(specimen, true), (bad, false)]);
            }
        }
        let mut sec1: Vec<_> = forge.signers.iter().map(|signer| signer.sec1).collect();
        sec1.extend(placed.iter().map(|(specimen, _)| specimen.sec1));
        let engines = [Engine::ifma(), Engine::portable()];
        let engines: Vec<_> = engines
            .into_iter()
            .flatten()
            .map(|engine| {
                let tables = sec1.iter().map(|key| engine.build_table(key).expect("a key"));
                let tables = tables.collect();
                (engine, tables)
            })
            .collect();
        let parse = |key| aws::ParsedPublicKey::new(&aws::ECDSA_P256_SHA256_ASN1, key);
        let aws_lc = sec1.iter().map(|key| parse(key).expect("a key")).collect();
        let by_engine = vec![0; engines.len()];
        let fresh = Fresh::new(&mut forge.random);
        let keys = Keys { engines, aws_lc };
        Self { forge, fresh, placed, keys, by_kind: Default::default(), by_engine }
    }

    fn done(&self) -> u64 {
        self.by_kind.iter().map(|count| count.signatures).sum()
    }

    fn one_batch(&mut self, ask_libraries: bool) {
        let size = self.forge.random.usize(1..=BATCH_MAX);
        let one_key = self.forge.random.bool().then(|| self.any_signer());
        let batch: Vec<_> = (0..size)
            .map(|_| {
                let signer = one_key.unwrap_or_else(|| self.any_signer());
                self.make(signer)
            })
            .collect();
        for (nth, (engine, tables)) in self.keys.engines.iter().enumerate() {
            if nth > 0 && self.forge.random.u8(..PORTABLE_SHARE) > 0 {
                continue;
            }
            let checks: Vec<_> = batch.iter().map(|made| check(made, tables)).collect();
            let mut verdicts = vec![false; size];
            engine.verify_batch(&checks, &mut verdicts);
            for (made, verdict) in batch.iter().zip(verdicts) {
                assert_eq!(verdict, made.good, "{engine:?}, {:?}: {:?}", made.kind, made.specimen);
            }
            self.by_engine[nth] += size as u64;
        }
        for made in &batch {
            self.count(made, ask_libraries);
        }
    }

    fn any_signer(&mut self) -> usize {
        self.forge.random.usize(..self.forge.signers.len())
    }

    fn make(&mut self, signer: usize) -> Made {
        let kind = match self.forge.random.u16(..1000) {
            0..550 => Kind::Good,
            550..640 => Kind::Mirrored,
            640..710 => Kind::BitFlipped,
            710..780 => Kind::OtherMessage,
            780..840 => Kind::OtherKey,
            840..900 => Kind::EdgeNumbers,
            900..950 => Kind::Deformed,
            950..985 => Kind::Swapped,
            985..995 => Kind::Multiples,
            _ => Kind::Placed,
        };
        let mut key = signer;
        let (specimen, good) = match kind {
            Kind::Multiples => self.forge.multiples(signer),
            Kind::Placed => {
                let nth = self.forge.random.usize(..self.placed.len());
                key = self.forge.signers.len() + nth;
                self.placed[nth].clone()
            }
            _ => self.spoiled(kind, signer, &mut key),
        };
        Made { kind, key, specimen, good }
    }

    /// A fresh good signature, and what `kind` makes of it.
    fn spoiled(&mut self, kind: Kind, signer: usize, key: &mut usize) -> (Specimen, bool) {
        let forge = &mut self.forge;
        let (r, s, mut specimen) = self.fresh.good(&mut forge.random, &forge.signers[signer]);
        match kind {
            Kind::Mirrored => specimen.der = forge::der_of(&r, &-s),
            Kind::BitFlipped => forge.flip(&mut specimen.der),
            Kind::OtherMessage => {
                let message = specimen.message.as_mut().expect("a message");
                forge.flip(message);
                specimen.hash = forge::digest(message);
            }
            Kind::OtherKey => {
                *key = (signer + forge.random.usize(1..forge.signers.len())) % forge.signers.len();
                specimen.sec1 = forge.signers[*key].sec1;
            }
            Kind::EdgeNumbers => {
                let (r, s) = (forge.edge_bytes(), forge.edge_bytes());
                specimen.der = forge::der(&r, &s);
            }
            Kind::Deformed => forge.deform(&mut specimen.der),
            Kind::Swapped => specimen.der = forge::der_of(&s, &r),
            _ => {}
        }
        (specimen, matches!(kind, Kind::Good | Kind::Mirrored))
    }

    fn count(&mut self, made: &Made, ask_libraries: bool) {
        let count = &mut self.by_kind[made.kind as usize];
        count.signatures += 1;
        count.good += u64::from(made.good);
        let specimen = &made.specimen;
        if ask_libraries {
            if let Some(ring) = specimen.ring_says() {
                assert_eq!(ring, made.good, "ring, {:?}: {specimen:?}", made.kind);
                count.ring += 1;
            } else {
                let aws_lc = specimen.aws_lc_with(&self.keys.aws_lc[made.key]);
                assert_eq!(aws_lc, made.good, "aws-lc, {:?}: {specimen:?}", made.kind);
                count.aws_lc += 1;
            }
        }
        if self.forge.random.u8(..) == 0 {
            assert_eq!(specimen.crate_says(), made.good, "p256, {:?}: {specimen:?}", made.kind);
            count.p256 += 1;
        }
    }

    fn report(&self, seed: u64, elapsed: Duration) -> String {
        let mut report = format!("seed {seed}, {} s, no difference\n", elapsed.as_secs());
        for ((engine, _), signatures) in self.keys.engines.iter().zip(&self.by_engine) {
            writeln!(report, "{}: {signatures} signatures", engine.name()).expect("a string");
        }
        let mut line = |kind: &str, c: &Count| {
            let Count { signatures, good, ring, aws_lc, p256 } = c;
            writeln!(
                report,
                "{kind}: {signatures} signatures, {good} good; asked: ring {ring}, aws-lc {aws_lc}, p256 {p256}"
            )
            .expect("a string");
        };
        let mut all = Count::default();
        for (kind, c) in KINDS.iter().zip(&self.by_kind) {
            line(&format!("{kind:?}"), c);
            all.signatures += c.signatures;
            all.good += c.good;
            all.ring += c.ring;
            all.aws_lc += c.aws_lc;
            all.p256 += c.p256;
        }
        line("all", &all);
        report
    }
}

fn check<'a>(made: &'a Made, tables: &'a [KeyTable]) -> LaneCheck<'a> {
    LaneCheck {
        table: &tables[made.key],
        message_hash: made.specimen.hash,
        signature_der: &made.specimen.der,
    }
}
