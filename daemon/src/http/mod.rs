//! The wire: one file per dialect, wire types live and die here.
//!
//! [`ROUTES`] is the contents page of the API. `server` owns sockets, limits and draining and
//! hands every request to `dispatch`, which finds its route, reads its body under the limits and
//! calls its endpoint. An endpoint is a function of the [`Doors`] and one [`Exchange`]; it answers
//! or fails with an [`HttpError`], which is rendered in one place.

pub mod error;
pub mod exchange;
pub mod limits;
pub mod routes;

mod binaryauthorization;
mod containeranalysis;
mod decisions;
mod google;
pub mod health;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;
use prometheus::Registry;

use crate::admit::{self, Gate, Origin};
use crate::metrics::http::HttpMetrics;
use crate::resources::Resources;
use error::HttpError;
use exchange::{Answer, Exchange};
use health::Readiness;
use limits::ServerLimits;
use routes::routes;

routes! {
    Decisions {
        POST "/v1/decisions" => decisions::decide;
    }
    BinaryAuthorization {
        GET "/v1/projects/{project}/policy" => binaryauthorization::get_policy;
        PUT "/v1/projects/{project}/policy" => binaryauthorization::update_policy;
        GET "/v1/locations/{location}/policy" => ready binaryauthorization::get_system_policy;
        POST "/v1/projects/{project}/attestors" => binaryauthorization::create_attestor;
        GET "/v1/projects/{project}/attestors" => binaryauthorization::list_attestors;
        GET "/v1/projects/{project}/attestors/{attestor}" => binaryauthorization::get_attestor;
        PUT "/v1/projects/{project}/attestors/{attestor}" => binaryauthorization::update_attestor;
        DELETE "/v1/projects/{project}/attestors/{attestor}" => binaryauthorization::delete_attestor;
        GET "/v1beta1/projects/{project}/policy" => binaryauthorization::get_policy;
        PUT "/v1beta1/projects/{project}/policy" => binaryauthorization::update_policy;
        GET "/v1beta1/locations/{location}/policy" => ready binaryauthorization::get_system_policy;
        POST "/v1beta1/projects/{project}/attestors" => binaryauthorization::create_attestor;
        GET "/v1beta1/projects/{project}/attestors" => binaryauthorization::list_attestors;
        GET "/v1beta1/projects/{project}/attestors/{attestor}" => binaryauthorization::get_attestor;
        PUT "/v1beta1/projects/{project}/attestors/{attestor}" => binaryauthorization::update_attestor;
        DELETE "/v1beta1/projects/{project}/attestors/{attestor}" => binaryauthorization::delete_attestor;
    }
    ContainerAnalysis {
        POST "/v1/projects/{project}/notes" => containeranalysis::create_note;
        GET "/v1/projects/{project}/notes/{note}" => containeranalysis::get_note;
        GET "/v1/projects/{project}/notes/{note}/occurrences" => containeranalysis::list_note_occurrences;
        POST "/v1/projects/{project}/occurrences" => containeranalysis::create_occurrence;
        POST "/v1/projects/{project}/occurrences:batchCreate" => containeranalysis::create_occurrences;
        GET "/v1/projects/{project}/occurrences" => containeranalysis::list_occurrences;
        GET "/v1/projects/{project}/occurrences/{occurrence}" => containeranalysis::get_occurrence;
        DELETE "/v1/projects/{project}/occurrences/{occurrence}" => containeranalysis::delete_occurrence;
    }
    Operations {
        GET "/livez" => ready health::livez;
        GET "/readyz" => ready health::readyz;
        GET "/version" => ready health::version;
        GET "/metrics" => ready health::metrics;
    }
}

/// What an endpoint gives.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<Answer, HttpError>> + Send + 'a>>;

/// Answers one request whose body has been read whole.
pub type Endpoint = for<'a> fn(&'a Doors, Exchange) -> Reply<'a>;

/// Everything behind the routes. One per daemon.
pub struct Doors {
    /// Decides.
    pub gate: Arc<Gate>,
    /// Reads and writes policies, attestors, notes and occurrences.
    pub resources: Resources,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// Counts requests, connections and sheds.
    pub metrics: HttpMetrics,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// What the outside may ask of this server.
    pub limits: ServerLimits,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Doors {
    /// Decides requests, each on its own; see [`admit::admit`].
    pub async fn admit(
        &self,
        origin: &Origin,
        requests: Vec<Request>,
        deadline: Instant,
    ) -> Vec<Decision> {
        admit::admit(&self.gate, origin, requests, deadline).await
    }
}
