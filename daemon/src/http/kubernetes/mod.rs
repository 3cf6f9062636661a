//! The webhooks of Kubernetes API servers and of Gatekeeper.

pub(super) mod admission_review;
pub(super) mod external_data;
pub(super) mod image_review;

mod webhook;
