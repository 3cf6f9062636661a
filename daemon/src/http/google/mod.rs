//! Google's APIs: Binary Authorization, Container Analysis, Cloud KMS, and their IAM policies.

pub(super) mod binaryauthorization;
pub(super) mod cloudkms;
pub(super) mod containeranalysis;
pub(super) mod iam;
pub(super) mod platforms;
pub(super) mod shared;

mod containeranalysis_v1beta1;
mod enums;
