//! The wire: wire types live and die here.
//!
//! [`ROUTES`] is the contents page of the API; every route says what it takes to be used. The
//! [`engine`] owns sockets, limits and draining; it finds the route of each request, reads the body
//! under the limits and calls the endpoint. An endpoint is a function of the [`Doors`] and one
//! [`Exchange`]; it answers or fails with an [`HttpError`], which is rendered in one place. Endpoints
//! live with their dialect: `google`, `kubernetes`, [`decisions`], [`health`].

pub mod decisions;
pub mod dialect;
pub mod engine;
pub mod health;

mod google;
mod kubernetes;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hallmark_core::evaluate::Request;
use hallmark_core::names::AttestorName;
use hallmark_core::occurrence::UnstoredAttestation;
use hallmark_core::platform::TrustedGkePolicy;
use hallmark_core::platform::evaluate::Pod;
use hallmark_core::platform::result::PodResult;
use http::Response;
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use prometheus::Registry;

use crate::admit::{self, Gate, Origin, Recorded, Validation};
use crate::audit;
use crate::auth::{Credentials, Guard};
use crate::config::Kubernetes;
use crate::metrics::auth::AuthMetrics;
use crate::metrics::look::LookMetrics;
use crate::metrics::tls::TlsMetrics;
use crate::plugin::KeyVersions;
use crate::resources::Resources;
use engine::answer_body::StreamBroken;
use engine::body::Bodies;
use engine::browser_guard::BrowserGuard;
use engine::error::HttpError;
use engine::exchange::{Answer, Exchange};
use engine::flow::Flows;
use engine::holder::Holder;
use engine::limits::ServerLimits;
use engine::metrics::HttpMetrics;
use engine::pace::{PROBE_DELAY_MAX, Pace, REFUSAL_DELAY_MAX};
use engine::room::{GivesWay, Room};
use engine::routes::routes;
use engine::slots::Slots;
use engine::writing::Nameless;
use health::Readiness;

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

/// What an endpoint gives.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<Answer, HttpError>> + Send + 'a>>;

/// Answers one request whose body has been read whole.
pub type Endpoint = for<'a> fn(&'a Doors, Exchange) -> Reply<'a>;

/// Answers a stream of requests as it arrives.
type StreamEndpoint = fn(
    &Arc<Doors>,
    Credentials,
    Holder,
    Incoming,
) -> Result<Response<Channel<Bytes, StreamBroken>>, HttpError>;

/// Everything behind the routes. One per daemon.
pub struct Doors {
    decider: Decider,
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
    /// Who may do what.
    pub guard: Arc<Guard>,
    /// Tells requests of web pages from those of programs.
    pub browser_guard: BrowserGuard,
    /// What TLS comes to.
    pub tls_metrics: TlsMetrics,
    look_metrics: LookMetrics,
    auth_metrics: AuthMetrics,
    /// What Kubernetes API servers are told beside the verdicts on pods.
    pub kubernetes: Kubernetes,
    slots: Arc<Slots>,
    bodies: Bodies,
    streams: Arc<Room>,
    flows: Arc<Flows>,
    /// Of answers to probes, and of refusals: a flood of one must not hold up the other.
    probes: Pace,
    refusals: Pace,
    nameless: Nameless,
    before_scrape: Option<Box<dyn Fn() + Send + Sync>>,
    plugin_errors: Option<PluginErrors>,
    key_versions: Option<Arc<KeyVersions>>,
}

/// What is wrong with plugins now, by instance.
type PluginErrors = Box<dyn Fn() -> BTreeMap<String, String> + Send + Sync>;

/// What decides.
enum Decider {
    Gate(Arc<Gate>),
    /// The server is tested without what is behind it.
    #[cfg(test)]
    Test(tests::Decide),
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Doors {
    /// Opens the doors before `gate` and `resources`. Fails where `registry` holds the server's
    /// metrics already.
    pub fn new(
        gate: Arc<Gate>,
        resources: Resources,
        registry: Registry,
        limits: ServerLimits,
    ) -> Result<Self, prometheus::Error> {
        Self::before(Decider::Gate(gate), resources, registry, limits)
    }

    fn before(
        decider: Decider,
        resources: Resources,
        registry: Registry,
        limits: ServerLimits,
    ) -> Result<Self, prometheus::Error> {
        let metrics = HttpMetrics::register(&registry)?;
        let (at_work, waiting) = (metrics.in_flight.clone(), metrics.waiting.clone());
        Ok(Self {
            decider,
            resources,
            metrics,
            tls_metrics: TlsMetrics::register(&registry)?,
            look_metrics: LookMetrics::register(&registry)?,
            auth_metrics: AuthMetrics::register(&registry)?,
            guard: Arc::default(),
            browser_guard: BrowserGuard::default(),
            nameless: Nameless::default(),
            registry,
            readiness: Arc::default(),
            limits,
            kubernetes: Kubernetes::default(),
            slots: Slots::new(limits.in_flight_max, limits.waiting_max, at_work, waiting),
            bodies: Bodies::new(limits),
            streams: Room::new(GivesWay::ToSmaller),
            flows: Flows::new(limits),
            probes: Pace::new(PROBE_DELAY_MAX),
            refusals: Pace::new(REFUSAL_DELAY_MAX),
            before_scrape: None,
            plugin_errors: None,
            key_versions: None,
        })
    }

    /// Asks callers who they are, as `guard` says. Without it nobody is asked.
    #[must_use]
    pub fn guarded_by(mut self, guard: Guard) -> Self {
        self.guard = Arc::new(guard);
        self
    }

    /// Answers to these names beside those of loopback.
    #[must_use]
    pub fn answering_to(mut self, allowed_hosts: Vec<String>) -> Self {
        self.browser_guard = BrowserGuard { allowed_hosts };
        self
    }

    /// Reviews objects of Kubernetes as `kubernetes` says.
    #[must_use]
    pub fn reviewing(mut self, kubernetes: Kubernetes) -> Self {
        self.kubernetes = kubernetes;
        self
    }

    /// Calls `refresh` before each answer of `/metrics`, for what is only measured when somebody
    /// looks.
    #[must_use]
    pub fn before_scrape(mut self, refresh: impl Fn() + Send + Sync + 'static) -> Self {
        self.before_scrape = Some(Box::new(refresh));
        self
    }

    /// Tells operators what is wrong with plugins, by instance.
    #[must_use]
    pub fn telling_plugin_errors(
        mut self,
        errors: impl Fn() -> BTreeMap<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.plugin_errors = Some(Box::new(errors));
        self
    }

    fn kms_key_errors(&self) -> BTreeMap<String, String> {
        self.key_versions.as_ref().map_or_else(BTreeMap::new, |versions| versions.unserved())
    }

    /// Keys of attestors that cannot be used now, by attestor: the first `max`.
    fn attestor_errors(&self, max: usize) -> BTreeMap<String, String> {
        match &self.decider {
            Decider::Gate(gate) => gate.snapshots.current().attestor_errors(max).0,
            #[cfg(test)]
            Decider::Test(_) => BTreeMap::new(),
        }
    }

    fn plugin_errors(&self) -> BTreeMap<String, String> {
        self.plugin_errors.as_ref().map_or_else(BTreeMap::new, |errors| errors())
    }

    /// Whether an attestor would accept an attestation; see [`admit::validate`].
    pub async fn validate(
        &self,
        attestor: &AttestorName,
        candidate: UnstoredAttestation,
        deadline: Instant,
    ) -> Result<Validation, HttpError> {
        match &self.decider {
            Decider::Gate(gate) => Ok(admit::validate(gate, attestor, candidate, deadline).await),
            #[cfg(test)]
            Decider::Test(_) => Err(HttpError::internal("there is no gate")),
        }
    }

    /// Answers for these key versions as Cloud KMS does.
    #[must_use]
    pub fn with_key_versions(mut self, key_versions: KeyVersions) -> Self {
        self.key_versions = Some(Arc::new(key_versions));
        self
    }

    /// Whether pods conform to a platform policy; see [`admit::conformance`].
    pub async fn conformance(
        &self,
        policy: &TrustedGkePolicy,
        pods: Vec<Pod>,
        deadline: Instant,
    ) -> Result<Vec<PodResult>, HttpError> {
        match &self.decider {
            Decider::Gate(gate) => Ok(admit::conformance(gate, policy, pods, deadline).await),
            #[cfg(test)]
            Decider::Test(_) => Err(HttpError::internal("there is no gate")),
        }
    }

    fn refresh_metrics(&self) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.bodies.set(gauge(self.bodies.count()));
        self.metrics.answer_bytes.set(gauge(self.flows.held()));
        if let Some(refresh) = &self.before_scrape {
            refresh();
        }
    }

    /// Of the snapshot that decides now: writes move it, as reloads do.
    fn generation(&self) -> Option<u64> {
        match &self.decider {
            Decider::Gate(gate) => Some(gate.snapshots.current().generation),
            #[cfg(test)]
            Decider::Test(_) => None,
        }
    }

    /// What is wrong with the audit log now, if anything.
    fn audit(&self) -> audit::Report {
        match &self.decider {
            Decider::Gate(gate) => gate.audit.health(),
            #[cfg(test)]
            Decider::Test(_) => audit::Report::default(),
        }
    }

    /// Decides requests, each on its own; see [`admit::admit`].
    pub async fn admit(
        &self,
        origin: &Origin,
        requests: Vec<Request>,
        deadline: Instant,
    ) -> Vec<Recorded> {
        match &self.decider {
            Decider::Gate(gate) => admit::admit(gate, origin, requests, deadline).await,
            #[cfg(test)]
            Decider::Test(decide) => {
                decide(requests).await.into_iter().map(Recorded::without_record).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
