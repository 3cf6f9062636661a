//! The power-on self-test: answers that are known, in every lane, good and bad.

use super::engine::{Engine, LaneCheck};
use super::known_answers::{
    GENERATOR, HALVES, HALVES_HASH, RFC_KEY, SAMPLE, SAMPLE_HASH, TEST, TEST_HASH,
};

/// True if `engine` gives every known answer.
pub(crate) fn hold(engine: &Engine) -> bool {
    let (Ok(rfc), Ok(generator)) = (engine.build_table(&RFC_KEY), engine.build_table(&GENERATOR))
    else {
        return false;
    };
    let good = [
        LaneCheck { table: &rfc, message_hash: SAMPLE_HASH, signature_der: &SAMPLE },
        LaneCheck { table: &generator, message_hash: HALVES_HASH, signature_der: &HALVES },
        LaneCheck { table: &rfc, message_hash: TEST_HASH, signature_der: &TEST },
    ];
    // Three kinds in turn, every other one bad: all of them in all of the lanes, full and not.
    let expected: [bool; 53] = std::array::from_fn(|nth| nth % 2 == 0);
    let checks = std::array::from_fn::<_, 53, _>(|nth| {
        let mut check = good[nth % 3];
        check.message_hash[0] ^= u8::from(!expected[nth]);
        check
    });
    let mut verdicts = expected.map(|good| !good);
    engine.verify_batch(&checks, &mut verdicts);
    verdicts == expected
}
