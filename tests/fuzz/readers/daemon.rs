//! A daemon in this process, for the readers that stand behind its routes.
//!
//! It holds project `p`, whose policy denies every image, and serves one listener on loopback. All
//! of it that reads runs on the thread that asks.

use std::cell::OnceCell;
use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hallmark::app::Parts;
use hallmark::auth::Caller;
use hallmark::config::file::File;
use hallmark::http::Api;
use hallmark::http::engine::error::HttpError;
use hallmark::http::engine::exchange::Exchange;
use hallmark::http::engine::routes;
use hallmark::http::engine::server::{Entrance, Reach, serve};
use http::Request;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The resources of the project. No page of a listing of one holds all notes.
const FILES: [(&str, &str); 5] = [
    ("policy.json", include_str!("../../corpus/policy_json/good-deny.json")),
    ("attestors/a.json", include_str!("../../corpus/attestor/good-full.json")),
    ("notes/n.json", include_str!("../../corpus/note/good-attestation.json")),
    ("notes/CVE-1.json", include_str!("../../corpus/note/good-vulnerability.json")),
    ("occurrences/o.json", include_str!("../../corpus/occurrence/good-attestation.json")),
];

/// As long as an API server gives a webhook.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same for a connection that always ends by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rounds of the runtime without a byte after which a daemon that has nothing at work says no more.
const QUIET_ROUNDS: usize = 32;
/// The same for a daemon that has said nothing at all: a busy kernel takes its time over loopback.
const SILENCE: Duration = Duration::from_millis(100);

/// One for each thread that asks.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) api: Arc<Api>,
    runtime: Runtime,
    address: SocketAddr,
    _dir: TempDir,
}

/// Looks into the daemon of this thread.
pub(super) fn inside<T>(look: impl FnOnce(&Inside) -> T) -> T {
    thread_local! {
        static INSIDE: OnceCell<Inside> = const { OnceCell::new() };
    }
    INSIDE.with(|inside| look(inside.get_or_init(Inside::start)))
}

impl Inside {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, content) in FILES {
            write(&dir.path().join("config/projects/p").join(path), content);
        }
        let file: File = toml::from_str(&configuration(dir.path())).expect("a configuration");
        let config = file.resolve(1).expect("a configuration");
        let api = Parts::build(&config).expect("the parts of a daemon").api;
        // Sockets are looked at after every step, so that `QUIET_ROUNDS` counts something.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(1)
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let entrance = Entrance { reach: Reach::Everything, tls: None };
        drop(runtime.spawn(serve(listener, Arc::clone(&api), entrance, pending())));
        Self { api, runtime, address, _dir: dir }
    }

    /// Runs what the daemon would run.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The answer of the endpoint of a request, whose body was read already. A fault of the daemon
    /// panics.
    pub(super) fn answer(&self, request: Request<Bytes>) -> Result<Bytes, HttpError> {
        let (route, params) = routes::find(request.method(), request.uri().path())?;
        let (head, body) = request.into_parts();
        let received = Instant::now();
        let exchange = Exchange {
            method: head.method,
            uri: head.uri,
            params,
            headers: head.headers,
            caller: Caller::Unchecked,
            body,
            received,
            deadline: received + DEADLINE,
        };
        let answered = self.run((route.endpoint)(&self.api, exchange));
        if let Err(HttpError::Internal { inside }) = &answered {
            panic!("internal error: {inside}");
        }
        let body = self.run(answered?.answer.into_body().collect());
        Ok(body.map_or_else(|never| match never {}, |body| body.to_bytes()))
    }

    /// All that a connection answers to these bytes, as far as it has anything to say without more.
    pub(super) fn converse(&self, input: &[u8]) -> Vec<u8> {
        self.run(async {
            let stream = self.connect().await;
            let (read, mut write) = stream.into_split();
            let input = input.to_vec();
            let sent = tokio::spawn(async move {
                // Who has heard enough takes no more.
                drop(write.write_all(&input).await);
                write
            });
            let (mut answer, mut quiet, mut buffer) = (Vec::new(), 0, [0; 16 << 10]);
            let begun = Instant::now();
            let may_say_more = |quiet, answer: &[u8]| {
                quiet < QUIET_ROUNDS
                    || !sent.is_finished()
                    || (answer.is_empty() && begun.elapsed() < SILENCE)
            };
            while may_say_more(quiet, &answer) {
                match read.try_read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        answer.extend_from_slice(&buffer[..count]);
                        quiet = 0;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        quiet = if self.is_at_work() { 0 } else { quiet + 1 };
                        // To the other threads, then to the other tasks.
                        std::thread::yield_now();
                        tokio::task::yield_now().await;
                    }
                    Err(_) => break,
                }
            }
            sent.abort();
            answer
        })
    }

    /// The answer of a connection that ends when it has answered. It is sent in two pieces.
    pub(super) fn ask(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        let conversation = async {
            let (mut read, mut write) = self.connect().await.into_split();
            let send = async {
                write.write_all(first).await?;
                tokio::task::yield_now().await;
                write.write_all(second).await
            };
            let mut answer = Vec::new();
            let (sent, _) = tokio::join!(send, read.read_to_end(&mut answer));
            drop(sent);
            answer
        };
        self.run(async { timeout(PATIENCE, conversation).await }).expect("the connection ends")
    }

    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Else the ports of the machine are used up within a minute, for each is kept for another.
        socket.set_zero_linger().expect("an option");
        socket.set_nodelay(true).expect("an option");
        socket.connect(self.address).await.expect("a connection")
    }

    /// Others are at work for the daemon: the store, the log.
    fn is_at_work(&self) -> bool {
        let metrics = &self.api.engine.metrics;
        metrics.in_flight.get() > 0 || metrics.waiting.get() > 0
    }
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, content).expect("writes");
}

/// The log is bounded, for a fuzzer decides more than a cluster.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "config_dir = '{dir}/config'\n\
         [audit]\ndir = '{dir}/audit'\nprincipal_kib_per_second = 64\nprincipal_burst_mib = 1\n\
         [verifier]\nthreads = 1\n\
         [lanes]\nengine = 'off'\n"
    )
}
