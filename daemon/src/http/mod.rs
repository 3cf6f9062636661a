//! The wire: wire types live and die here.
//!
//! [`ROUTES`] is the contents page of the API; every route says what it takes to be used. The
//! [`engine`] owns sockets, limits and draining; it finds the route of each request, reads the body
//! under the limits and calls the endpoint. An endpoint is a function of the [`Api`] and one
//! [`Exchange`]; it answers or fails with an [`HttpError`], which is rendered in one place.
//! Endpoints live with their dialect: `google`, `kubernetes`, [`decisions`], [`health`].

pub mod decisions;
pub mod dialect;
pub mod engine;
pub mod health;
pub mod kubernetes;

mod google;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use prometheus::Registry;

use crate::admit::Gate;
use crate::auth::Credentials;
use crate::auth::metrics::AuthMetrics;
use crate::followed::metrics::LookMetrics;
use crate::plugin::KeyVersions;
use crate::resources::Resources;
use engine::Engine;
use engine::answer_body::StreamBroken;
use engine::error::HttpError;
use engine::exchange::{Exchange, Written};
use engine::holder::Holder;
use engine::routes::routes;
use kubernetes::Kubernetes;

routes! {
    Decisions {
        POST "/v1/decisions" [in_body DecisionsCreate] => decisions::decide, ndjson decisions::stream, forms true;
    }
    AdmissionReview {
        POST "/k8s/projects/{project}/clusters/{cluster}/admission" [DecisionsCreate] => kubernetes::admission_review::review, full kubernetes::admission_review::deny;
    }
    ImageReview {
        POST "/k8s/projects/{project}/clusters/{cluster}/imagereview" [DecisionsCreate] => kubernetes::image_review::review, full kubernetes::image_review::deny;
    }
    ExternalData {
        POST "/gatekeeper/projects/{project}/clusters/{cluster}/validate" [DecisionsCreate] => kubernetes::external_data::validate, full kubernetes::external_data::deny;
    }
    BinaryAuthorization {
        GET "/v1/projects/{project}/policy" [PolicyGet] => google::binaryauthorization::get_policy;
        PUT "/v1/projects/{project}/policy" [PolicyUpdate] => google::binaryauthorization::update_policy;
        GET "/v1/projects/{project}/policy:getIamPolicy" [PolicyGetIamPolicy] => google::iam::get_iam_policy;
        POST "/v1/projects/{project}/policy:setIamPolicy" [PolicySetIamPolicy] => google::iam::set_iam_policy;
        POST "/v1/projects/{project}/policy:testIamPermissions" [authenticated] => google::iam::test_iam_permissions;
        GET "/v1/locations/{location}/policy" [authenticated] => ready google::binaryauthorization::get_system_policy;
        POST "/v1/projects/{project}/attestors" [AttestorsCreate] => google::binaryauthorization::create_attestor;
        GET "/v1/projects/{project}/attestors" [AttestorsList] => google::binaryauthorization::list_attestors;
        GET "/v1/projects/{project}/attestors/{attestor}" [AttestorsGet] => google::binaryauthorization::get_attestor;
        PUT "/v1/projects/{project}/attestors/{attestor}" [AttestorsUpdate] => google::binaryauthorization::update_attestor;
        DELETE "/v1/projects/{project}/attestors/{attestor}" [AttestorsDelete] => google::binaryauthorization::delete_attestor;
        POST "/v1/projects/{project}/attestors/{attestor}:validateAttestationOccurrence" [AttestorsVerifyImageAttested] => google::binaryauthorization::validate_attestation_occurrence;
        GET "/v1/projects/{project}/attestors/{attestor}:getIamPolicy" [AttestorsGetIamPolicy] => google::iam::get_iam_policy;
        POST "/v1/projects/{project}/attestors/{attestor}:setIamPolicy" [AttestorsSetIamPolicy] => google::iam::set_iam_policy;
        POST "/v1/projects/{project}/attestors/{attestor}:testIamPermissions" [authenticated] => google::iam::test_iam_permissions;
        GET "/v1/projects/{project}/platforms" [PlatformPoliciesList] => ready google::platforms::list_platforms;
        POST "/v1/projects/{project}/platforms/{platform}/policies" [PlatformPoliciesCreate] => google::platforms::create_platform_policy;
        GET "/v1/projects/{project}/platforms/{platform}/policies" [PlatformPoliciesList] => google::platforms::list_platform_policies;
        GET "/v1/projects/{project}/platforms/{platform}/policies/{policy}" [PlatformPoliciesGet] => google::platforms::get_platform_policy;
        PUT "/v1/projects/{project}/platforms/{platform}/policies/{policy}" [PlatformPoliciesReplace] => google::platforms::replace_platform_policy;
        DELETE "/v1/projects/{project}/platforms/{platform}/policies/{policy}" [PlatformPoliciesDelete] => google::platforms::delete_platform_policy;
        POST "/v1/projects/{project}/platforms/{platform}/policies/{policy}:evaluate" [PlatformPoliciesEvaluate] => google::platforms::evaluate;
    }
    ContainerAnalysis {
        POST "/v1/projects/{project}/notes" [NotesCreate] => google::containeranalysis::create_note;
        POST "/v1/projects/{project}/notes:batchCreate" [NotesCreate] => google::containeranalysis::create_notes;
        GET "/v1/projects/{project}/notes" [NotesList] => google::containeranalysis::list_notes;
        GET "/v1/projects/{project}/notes/{note}" [NotesGet] => google::containeranalysis::get_note;
        PATCH "/v1/projects/{project}/notes/{note}" [NotesUpdate] => google::containeranalysis::patch_note;
        DELETE "/v1/projects/{project}/notes/{note}" [NotesDelete] => google::containeranalysis::delete_note;
        POST "/v1/projects/{project}/notes/{note}:getIamPolicy" [NotesGetIamPolicy] => google::iam::get_iam_policy;
        POST "/v1/projects/{project}/notes/{note}:setIamPolicy" [NotesSetIamPolicy] => google::iam::set_iam_policy;
        POST "/v1/projects/{project}/notes/{note}:testIamPermissions" [authenticated] => google::iam::test_iam_permissions;
        GET "/v1/projects/{project}/notes/{note}/occurrences" [NotesListOccurrences] => google::containeranalysis::list_note_occurrences;
        POST "/v1/projects/{project}/occurrences" [OccurrencesCreate] => google::containeranalysis::create_occurrence;
        POST "/v1/projects/{project}/occurrences:batchCreate" [OccurrencesCreate] => google::containeranalysis::create_occurrences;
        GET "/v1/projects/{project}/occurrences" [OccurrencesList] => google::containeranalysis::list_occurrences;
        GET "/v1/projects/{project}/occurrences/{occurrence}" [OccurrencesGet] => google::containeranalysis::get_occurrence;
        PATCH "/v1/projects/{project}/occurrences/{occurrence}" [OccurrencesUpdate] => google::containeranalysis::patch_occurrence;
        DELETE "/v1/projects/{project}/occurrences/{occurrence}" [OccurrencesDelete] => google::containeranalysis::delete_occurrence;
        GET "/v1/projects/{project}/occurrences/{occurrence}/notes" [OccurrencesGet] => google::containeranalysis::get_occurrence_note;
        GET "/v1/projects/{project}/occurrences:vulnerabilitySummary" [OccurrencesList] => ready google::containeranalysis::summarize_vulnerabilities;
        POST "/v1/projects/{project}/occurrences/{occurrence}:getIamPolicy" [OccurrencesGetIamPolicy] => ready google::containeranalysis::no_occurrence_iam;
        POST "/v1/projects/{project}/occurrences/{occurrence}:setIamPolicy" [OccurrencesSetIamPolicy] => ready google::containeranalysis::no_occurrence_iam;
        POST "/v1/projects/{project}/occurrences/{occurrence}:testIamPermissions" [authenticated] => ready google::containeranalysis::no_occurrence_iam;
    }
    CloudKms {
        GET "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}" [CryptoKeyVersionsViewPublicKey] => ready google::cloudkms::get_key_version;
        GET "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}/publicKey" [CryptoKeyVersionsViewPublicKey] => ready google::cloudkms::get_public_key;
        POST "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}:asymmetricSign" [CryptoKeyVersionsUseToSign] => google::cloudkms::asymmetric_sign;
    }
    Operations {
        GET "/livez" [anybody] => ready health::livez;
        GET "/readyz" [anybody] => ready health::readyz;
        GET "/version" [anybody] => ready health::version;
        GET "/metrics" [OperationsGet] => ready health::metrics;
    }
}

/// The result of an endpoint.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<Written, HttpError>> + Send + 'a>>;

/// Answers one request whose body has been read whole.
pub type Endpoint = for<'a> fn(&'a Api, Exchange) -> Reply<'a>;

/// Answers a stream of requests as it arrives.
type StreamEndpoint = fn(
    &Arc<Api>,
    Credentials,
    Holder,
    Incoming,
) -> Result<Response<Channel<Bytes, StreamBroken>>, HttpError>;

/// Common parts for endpoints: everything behind the routes, and the engine that they run in. One
/// per daemon.
pub struct Api {
    /// The server. Streams take its slots, operators are told of it.
    pub engine: Arc<Engine>,
    /// The gate, which decides.
    pub gate: Arc<Gate>,
    /// Reads and writes policies, attestors, notes and occurrences.
    pub resources: Resources,
    /// The keys that sign as Cloud KMS does.
    pub key_versions: KeyVersions,
    /// Settings of the answers to Kubernetes API servers beside the verdicts on pods.
    pub kubernetes: Kubernetes,
    /// The metrics that `/metrics` shows.
    pub registry: Registry,
    /// Called before each answer of `/metrics`, for what is only measured when somebody looks.
    pub refresh: Box<dyn Fn() + Send + Sync>,
    /// When files were last looked at.
    pub look_metrics: LookMetrics,
    /// The count of refused keys of issuers of tokens.
    pub auth_metrics: AuthMetrics,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("engine", &self.engine).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
