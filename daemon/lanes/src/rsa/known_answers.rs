//! The power-on self-test: answers that are known, in every lane, good and bad.
//!
//! The keys and signatures in `known_answers/` were made with OpenSSL 3.0 and the private keys
//! thrown away.

use super::encoding::{MessageHash, Padding};
use super::engine::{Engine, LaneCheck};
use super::job::LANES;
use super::key::KeyTable;

/// Two full vectors, and one in which a single lane counts.
const CHECKS: usize = 2 * LANES + 1;

/// True if `engine` gives every known answer.
pub(super) fn hold(engine: Engine) -> bool {
    ANSWERS.iter().all(|answer| answer.hold(engine).unwrap_or(false))
}

struct Answer {
    key: &'static [u8],
    padding: Padding,
    message_hash: MessageHash,
    signature: &'static [u8],
}

impl Answer {
    /// Asks with every lane good and bad once. `None` if the key is refused.
    fn hold(&self, engine: Engine) -> Option<bool> {
        let table = engine.build_table(self.key).ok()?;
        let expected: [bool; CHECKS] =
            std::array::from_fn(|nth| (nth + nth / LANES).is_multiple_of(2));
        let mut flipped = self.signature.to_vec();
        *flipped.last_mut()? ^= 1;
        let checks = expected.map(|good| self.check(&table, good, &flipped));
        let mut verdicts = expected.map(|good| !good);
        engine.verify_batch(&checks, &mut verdicts);
        let other_hash =
            LaneCheck { message_hash: OTHER_HASH, ..self.check(&table, true, &flipped) };
        let mut other_is_good = [true];
        engine.verify_batch(&[other_hash], &mut other_is_good);
        Some(verdicts == expected && !other_is_good[0])
    }

    fn check<'a>(&self, table: &'a KeyTable, good: bool, flipped: &'a [u8]) -> LaneCheck<'a> {
        LaneCheck {
            table,
            padding: self.padding,
            message_hash: self.message_hash,
            signature: if good { self.signature } else { flipped },
        }
    }
}

macro_rules! answer {
    ($key:literal $padding:ident $hash:ident $signature:literal) => {
        Answer {
            key: include_bytes!(concat!("known_answers/", $key, ".key")),
            padding: Padding::$padding,
            message_hash: $hash,
            signature: include_bytes!(concat!("known_answers/", $signature, ".sig")),
        }
    };
}

/// Every size with both encodings, every hash with both, both lengths of salt.
const ANSWERS: [Answer; 8] = [
    answer!("2048" Pkcs1 SHA256 "2048_pkcs1_sha256"),
    answer!("2048" Pss SHA256 "2048_pss_sha256"),
    answer!("2048" Pss SHA256 "2048_pss_sha256_longest"),
    answer!("3072" Pkcs1 SHA256 "3072_pkcs1_sha256"),
    answer!("3072" Pss SHA512 "3072_pss_sha512"),
    answer!("4096" Pkcs1 SHA512 "4096_pkcs1_sha512"),
    answer!("4096" Pss SHA512 "4096_pss_sha512"),
    answer!("4096" Pss SHA256 "4096_pss_sha256_longest"),
];

/// Of `sample`.
const SHA256: MessageHash = MessageHash::Sha256([
    0xaf, 0x2b, 0xdb, 0xe1, 0xaa, 0x9b, 0x6e, 0xc1, 0xe2, 0xad, 0xe1, 0xd6, 0x94, 0xf4, 0x1f, 0xc7,
    0x1a, 0x83, 0x1d, 0x02, 0x68, 0xe9, 0x89, 0x15, 0x62, 0x11, 0x3d, 0x8a, 0x62, 0xad, 0xd1, 0xbf,
]);
/// Of `sample`.
const SHA512: MessageHash = MessageHash::Sha512([
    0x39, 0xa5, 0xe0, 0x4a, 0xaf, 0xf7, 0x45, 0x5d, 0x98, 0x50, 0xc6, 0x05, 0x36, 0x4f, 0x51, 0x4c,
    0x11, 0x32, 0x4c, 0xe6, 0x40, 0x16, 0x96, 0x0d, 0x23, 0xd5, 0xdc, 0x57, 0xd3, 0xff, 0xd8, 0xf4,
    0x9a, 0x73, 0x94, 0x68, 0xab, 0x80, 0x49, 0xbf, 0x18, 0xee, 0xf8, 0x20, 0xcd, 0xb1, 0xad, 0x6c,
    0x90, 0x15, 0xf8, 0x38, 0x55, 0x6b, 0xc7, 0xfa, 0xd4, 0x13, 0x8b, 0x23, 0xfd, 0xf9, 0x86, 0xc7,
]);
/// Of nothing.
const OTHER_HASH: MessageHash = MessageHash::Sha256([0; 32]);
