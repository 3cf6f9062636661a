//! The server over real sockets, with bytes written by hand where HTTP clients are too polite.

mod answers;
mod browsers;
mod endings;
mod google;
mod hostile;
mod http2;
mod limits;
mod reviews;
mod streams;
mod stuck;

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallmark_core::limits::Limits;
use hallmark_core::policy::Policy;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Api;
use crate::admit::Gate;
use crate::admit::metrics::DecisionMetrics;
use crate::audit::Audit;
use crate::audit::Durability;
use crate::audit::allowance::AllowanceLimits;
use crate::audit::metrics::AuditMetrics;
use crate::audit::writer::AuditConfig;
use crate::auth::Guard;
use crate::auth::metrics::AuthMetrics;
use crate::cache::EvaluationCache;
use crate::evidence::EvidenceSource;
use crate::followed::metrics::LookMetrics;
use crate::http::engine::Engine;
use crate::http::engine::access::Authorizer;
use crate::http::engine::browser_guard::BrowserGuard;
use crate::http::engine::capacity::Capacity;
use crate::http::engine::limits::ServerLimits;
use crate::http::engine::metrics::HttpMetrics;
use crate::http::engine::readiness::Readiness;
use crate::http::engine::server::Drained;
use crate::http::engine::server::Entrance;
use crate::http::engine::server::Reach;
use crate::http::engine::server::serve;
use crate::http::engine::writing::WriteLog;
use crate::http::kubernetes::Kubernetes;
use crate::metrics::cache::CacheMetrics;
use crate::plugin::{Decoders, KeyHolders, KeyVersions};
use crate::resources::tests::fixture::{World, attestor, pkix, project, requiring, world};
use crate::tls::Tls;
use crate::tls::metrics::TlsMetrics;
use crate::verifier::metrics::VerifierMetrics;
use crate::verifier::{Verifier, VerifierConfig};

/// Longer than anything here takes on a busy machine, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(20);

const JSON: &str = "content-type: application/json\r\n";

/// The attestor of [`requiring_world`].
const ATTESTOR: &str = "projects/p/attestors/a";

/// A world in which project `p` allows every image.
async fn allowing_world() -> World {
    let world = world();
    let policy = Policy::google_default();
    world.resources.put_policy(project("p"), policy).await.expect("a policy");
    world
}

/// A world in which project `p` asks for attestations, so that images with a digest are looked up
/// in the store. There are none.
async fn requiring_world() -> World {
    let world = world();
    let attestor = attestor("a", vec![pkix("one", Some("k"))]);
    world.resources.create_attestor(attestor).await.expect("an attestor");
    let policy = requiring(&[ATTESTOR]);
    world.resources.put_policy(project("p"), policy).await.expect("a policy");
    world
}

/// Everything behind the routes, over the store of a world. Anybody may do anything.
pub(in crate::http) fn api(world: &World, limits: ServerLimits) -> Api {
    let registry = Registry::new();
    let gate = Arc::new(gate(world, &registry));
    let metrics = HttpMetrics::register(&registry).expect("a fresh registry");
    let resources = world.resources.clone();
    let engine = Engine {
        limits,
        capacity: Capacity::new(limits, &metrics),
        metrics,
        tls_metrics: TlsMetrics::register(&registry).expect("a fresh registry"),
        readiness: Readiness::default(),
        authorizer: Authorizer { guard: Guard::default(), resources: resources.clone() },
        browser_guard: BrowserGuard::default(),
        write_log: WriteLog::new(gate.audit.clone()),
    };
    Api {
        engine: Arc::new(engine),
        key_versions: KeyVersions::new(Arc::clone(&gate.catalog), Vec::new()),
        gate,
        resources,
        kubernetes: Kubernetes::default(),
        refresh: Box::new(|| {}),
        look_metrics: LookMetrics::register(&registry).expect("a fresh registry"),
        auth_metrics: AuthMetrics::register(&registry).expect("a fresh registry"),
        registry,
    }
}

fn gate(world: &World, registry: &Registry) -> Gate {
    let catalog = Arc::new(crate::plugin::tests::load(&[]).expect("no plugins"));
    let caches = CacheMetrics::register(registry).expect("a fresh registry");
    let one = NonZeroUsize::MIN;
    let verifier = VerifierConfig {
        threads: one,
        queue_checks_max: one,
        batch_checks_max: one,
        verdict_cache_bytes_max: 0,
        lanes: None,
    };
    let verifier_metrics = VerifierMetrics::register(registry).expect("a fresh registry");
    Gate {
        snapshots: Arc::clone(&world.snapshots),
        evidence: EvidenceSource::new(world.store.clone()),
        epochs: Arc::clone(&world.epochs),
        evaluations: EvaluationCache::new(0, caches.evaluation),
        conformance: EvaluationCache::new(0, caches.conformance),
        decoders: Decoders::new(Arc::clone(&catalog), 1),
        holders: KeyHolders::new(Arc::clone(&catalog), 1),
        catalog,
        verifier: Verifier::new(verifier, verifier_metrics, caches.verdict).expect("a verifier"),
        audit: audit(world, registry),
        metrics: DecisionMetrics::register(registry).expect("a fresh registry"),
        limits: Limits::DEFAULT,
    }
}

fn audit(world: &World, registry: &Registry) -> Audit {
    let config = AuditConfig {
        dir: world.store.dir().join("audit"),
        durability: Durability::Write,
        rotate_bytes: u64::MAX,
        sync_interval: PATIENCE,
        mend_after: PATIENCE,
        reserve_bytes: Some(0),
        allowance: AllowanceLimits { bytes_per_second: u64::MAX, burst_bytes: u64::MAX },
    };
    let metrics = AuditMetrics::register(registry).expect("a fresh registry");
    Audit::open(&config, metrics).expect("an audit log")
}

/// Lets one read of the store after the other through; dropped, all of them.
pub(in crate::http) type Turns = Sender<()>;

/// Holds every read of the store from now on until it has a turn.
fn hold_reads(world: &World) -> Turns {
    let (turns, given) = channel();
    let given = Mutex::new(given);
    world.store.before_read(move || given.lock().expect("no panic").recv().unwrap_or_default());
    turns
}

/// A gate that gets no answer from the store about the image, until a turn is given.
pub(in crate::http) async fn holding_gate() -> (Gate, Turns, String) {
    let world = requiring_world().await;
    let gate = gate(&world, &Registry::new());
    (gate, hold_reads(&world), image(1))
}

struct Server {
    address: SocketAddr,
    api: Arc<Api>,
    world: World,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Drained>,
}

impl Server {
    /// Allows every image of every request for project `p`.
    async fn start(limits: ServerLimits) -> Self {
        Self::over(allowing_world().await, limits).await
    }

    /// Looks images with a digest up in the store, and denies them once it has a turn for each look.
    async fn holding(limits: ServerLimits) -> (Self, Turns) {
        let server = Self::over(requiring_world().await, limits).await;
        let turns = hold_reads(&server.world);
        (server, turns)
    }

    async fn over(world: World, limits: ServerLimits) -> Self {
        let api = api(&world, limits);
        Self::at(world, api, None).await
    }

    /// Behind TLS, where there is some.
    async fn at(world: World, api: Api, tls: Option<Arc<Tls>>) -> Self {
        let api = Arc::new(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let entrance = Entrance { reach: Reach::Everything, tls };
        let serving = serve(listener, Arc::clone(&api), entrance, async { drop(stopped.await) });
        Self { address, api, world, stop, serving: tokio::spawn(serving) }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("the server accepts"))
    }

    /// Sends bytes on a connection of their own and reads until the server closes it.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.write(bytes).await;
        client.read_to_end().await
    }

    /// One request on a connection of its own.
    async fn post(&self, path: &str, headers: &str, body: impl AsRef<[u8]>) -> String {
        self.send(post(path, &format!("connection: close\r\n{headers}"), body)).await
    }

    async fn stop(self) -> Drained {
        self.stop.send(()).expect("the server runs");
        within(self.serving).await.expect("serving ends without a panic")
    }

    fn metrics(&self) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.api.registry.gather())
            .expect("metrics encode")
    }

    /// Waits until so many bodies are on their way.
    async fn has_bodies(&self, count: usize) {
        within(async {
            while self.api.engine.capacity.bodies.count() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until the metrics show a line.
    async fn shows(&self, line: &str) {
        within(async {
            while !self.metrics().lines().any(|shown| shown == line) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

struct Client(TcpStream);

impl Client {
    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Reads until `end` has arrived.
    async fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        within(async {
            while !text.ends_with(end.as_bytes()) {
                text.push(self.0.read_u8().await.unwrap_or_else(|error| {
                    panic!("{error} before {end:?}: {}", String::from_utf8_lossy(&text))
                }));
            }
        })
        .await;
        String::from_utf8(text).expect("UTF-8")
    }

    /// Reads until the server closes the connection, whichever way.
    async fn read_to_end(&mut self) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        within(async {
            while let Ok(count @ 1..) = self.0.read(&mut buffer).await {
                text.extend_from_slice(&buffer[..count]);
            }
        })
        .await;
        String::from_utf8_lossy(&text).into_owned()
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it takes far too long")
}

/// A `POST` of JSON, unless the headers say what else.
fn post(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let json = if headers.contains("content-type") { "" } else { JSON };
    untyped(path, &format!("{json}{headers}"), body)
}

/// A `POST` with these headers and no content type beside.
fn untyped(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

/// A request for one image.
fn asking(image: &str) -> String {
    format!(r#"{{"project":"p","images":["{image}"]}}"#)
}

/// An image with a digest of its own.
fn image(number: usize) -> String {
    format!("r/i@sha256:{number:064x}")
}
