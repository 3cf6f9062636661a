//! The verifier as its callers see it, and what it does when things go wrong.

use super::self_test;
use super::*;

#[test]
fn the_self_test_knows_every_algorithm_and_notices_wrong_arithmetic() {
    for algorithm in SignatureAlgorithm::all() {
        assert!(self_test::KNOWN_ANSWERS.iter().any(|answer| answer.algorithm == algorithm));
    }
    assert_eq!(self_test::run(algorithm::verify), Ok(()));
    let first = self_test::KNOWN_ANSWERS[0].algorithm;
    assert_eq!(self_test::run(|_, _, _, _| true), Err(SelfTestError::AcceptsBad(first)));
    assert_eq!(self_test::run(|_, _, _, _| false), Err(SelfTestError::RefusesGood(first)));
}
