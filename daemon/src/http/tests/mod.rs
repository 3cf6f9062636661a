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
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hallmark_core::decision::{Decision, ImageDecision, Reason};
use hallmark_core::evaluate::Request;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Decider;
use super::Doors;
use crate::http::engine::limits::ServerLimits;
use crate::http::engine::server::Drained;
use crate::http::engine::server::Entrance;
use crate::http::engine::server::Reach;
use crate::http::engine::server::serve;
use crate::resources::Resources;
use crate::resources::tests::fixture::world;
use crate::tls::Tls;

/// Decides in place of the gate.
pub(super) type Decide =
    Box<dyn Fn(Vec<Request>) -> Pin<Box<dyn Future<Output = Vec<Decision>> + Send>> + Send + Sync>;

/// Longer than anything here takes on a busy machine, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(20);

const JSON: &str = "content-type: application/json\r\n";

struct Server {
    address: SocketAddr,
    doors: Arc<Doors>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Drained>,
}

impl Server {
    /// Allows every image of every request.
    async fn start(limits: ServerLimits) -> Self {
        Self::deciding(limits, |requests| std::future::ready(allowed(requests))).await
    }

    async fn deciding<F>(
        limits: ServerLimits,
        decider: impl Fn(Vec<Request>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<Decision>> + Send + 'static,
    {
        Self::holding(world().resources, limits, decider).await
    }

    async fn holding<F>(
        resources: Resources,
        limits: ServerLimits,
        decider: impl Fn(Vec<Request>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<Decision>> + Send + 'static,
    {
        let decide: Decide = Box::new(move |requests| Box::pin(decider(requests)));
        let doors = Doors::before(Decider::Test(decide), resources, Registry::new(), limits);
        Self::at(doors.expect("a fresh registry"), None).await
    }

    /// Behind TLS, where there is some.
    async fn at(doors: Doors, tls: Option<Arc<Tls>>) -> Self {
        let doors = Arc::new(doors);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let entrance = Entrance { reach: Reach::Everything, tls };
        let serving = serve(listener, Arc::clone(&doors), entrance, async { drop(stopped.await) });
        Self { address, doors, stop, serving: tokio::spawn(serving) }
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
            .encode_to_string(&self.doors.registry.gather())
            .expect("metrics encode")
    }

    /// Waits until so many bodies are on their way.
    async fn doors_show_bodies(&self, count: usize) {
        within(async {
            while self.doors.bodies.count() != count {
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

fn allowed(requests: Vec<Request>) -> Vec<Decision> {
    requests.into_iter().map(allowed_one).collect()
}

fn allowed_one(request: Request) -> Decision {
    let images = request.images.into_iter().map(|image| ImageDecision {
        image,
        digest: None,
        allowed: true,
        rule: None,
        enforcement: None,
        reason: Reason::AlwaysAllow,
        message: String::new(),
        attestors: Arc::default(),
        attestors_left_out: 0,
        cached: false,
    });
    Decision {
        allowed: true,
        dry_run: false,
        break_glass: request.break_glass,
        generation: 1,
        images: images.collect(),
    }
}
