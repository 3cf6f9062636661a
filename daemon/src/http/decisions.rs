//! `POST /v1/decisions`: may these images run?

use super::Doors;
use super::error::HttpError;
use super::exchange::{Answer, Exchange, json};

/// One request, one decision: 200 for allow and deny alike.
pub(super) async fn decide(_: &Doors, _: Exchange) -> Result<Answer, HttpError> {
    std::future::ready(json(&())).await
}
