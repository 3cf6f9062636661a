//! Sockets: HTTP/1.1 and HTTP/2 on one port, each connection under the limits of the server, and an
//! end in which nobody is cut off in mid-sentence.
//!
//! Under TLS the handshake says which HTTP is spoken (ALPN); in clear text the first bytes do.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Doors;
use super::access::Peer;
use super::dispatch::dispatch;
use super::guarded_io::GuardedIo;
use super::limits::ServerLimits;
use crate::auth::certificate::ClientCertificate;
use crate::metrics::http::ShedCause;
use crate::tls::Tls;

/// What is said to one connection too many.
const ONE_TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// How long accepting rests where the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bytes that an HTTP/2 client may send ahead, per stream and per connection: bounds what a
/// connection holds before anything is read of it.
const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 512 << 10;

/// Bytes of an answer that wait for an HTTP/2 client to take them, per stream.
const HTTP2_SEND_BUFFER: usize = 64 << 10;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still at work when the drain timeout passed, and were cut off.
    pub cut_off: usize,
}

/// What may be asked for at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every route.
    Everything,
    /// The routes of operations; the others are not there.
    Operations,
}

/// What a listener is there for.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// What may be asked for.
    pub reach: Reach,
    /// How its connections are protected; `None`: not at all.
    pub tls: Option<Arc<Tls>>,
}

/// Serves until `stop` is done, then lets what is under way finish.
///
/// Afterwards no connection is left.
pub async fn serve(
    listener: TcpListener,
    doors: Arc<Doors>,
    entrance: Entrance,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut server = Server::new(doors, entrance);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = server.connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => server.welcome(socket),
                Err(error) => server.not_accepted(&error).await,
            },
        }
    }
    drop(listener);
    server.drain().await
}

struct Server {
    doors: Arc<Doors>,
    entrance: Entrance,
    protocols: Arc<Protocols>,
    places: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Server {
    fn new(doors: Arc<Doors>, entrance: Entrance) -> Self {
        Self {
            entrance,
            protocols: Arc::new(Protocols::new(&doors.limits)),
            handshakes: Arc::new(Semaphore::new(doors.limits.handshakes_max)),
            places: Arc::new(Semaphore::new(doors.limits.connections_max)),
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            doors,
        }
    }

    fn welcome(&mut self, socket: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.doors.metrics.shed(ShedCause::Connections);
            if self.entrance.tls.is_none() {
                // The buffer of a new socket is empty: this is taken whole, or the client is gone.
                drop(socket.try_write(ONE_TOO_MANY));
            }
            return;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!("a connection was gone before it was served: {error}");
            return;
        }
        let connection = Connection {
            doors: Arc::clone(&self.doors),
            protocols: Arc::clone(&self.protocols),
            reach: self.entrance.reach,
            watcher: self.graceful.watcher(),
            _place: place,
        };
        let Some(tls) = &self.entrance.tls else {
            self.connections.spawn(connection.serve_clear(socket));
            return;
        };
        match Arc::clone(&self.handshakes).try_acquire_owned() {
            Ok(turn) => {
                self.connections.spawn(connection.serve_tls(socket, tls.config(), turn));
            }
            Err(_) => self.doors.metrics.shed(ShedCause::Handshakes),
        }
    }

    /// A client that is gone already costs nothing; a process without descriptors needs a rest.
    async fn not_accepted(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
        {
            return;
        }
        tracing::warn!("cannot accept connections: {error}");
        sleep(ACCEPT_REST).await;
    }

    async fn drain(mut self) -> Drained {
        self.doors.readiness.start_draining();
        let finished = timeout(self.doors.limits.drain_timeout, self.graceful.shutdown()).await;
        let mut cut_off = 0;
        if finished.is_err() {
            while self.connections.try_join_next().is_some() {}
            cut_off = self.connections.len();
        }
        self.connections.shutdown().await;
        Drained { cut_off }
    }
}

/// One connection, whatever carries its bytes.
struct Connection {
    doors: Arc<Doors>,
    protocols: Arc<Protocols>,
    reach: Reach,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve_clear(self, socket: TcpStream) {
        let protocols = Arc::clone(&self.protocols);
        self.serve(socket, &protocols.told_by_first_bytes, None).await;
    }

    async fn serve_tls(
        self,
        socket: TcpStream,
        config: Arc<ServerConfig>,
        turn: OwnedSemaphorePermit,
    ) {
        let shaken = TlsAcceptor::from(config).accept(socket);
        let shaken = timeout(self.doors.limits.handshake_timeout, shaken).await;
        drop(turn);
        let stream = match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => stream,
            Err(error) => {
                self.doors.tls_metrics.handshake_errors.inc();
                tracing::debug!("a TLS handshake came to nothing: {error}");
                return;
            }
        };
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|der| Arc::new(ClientCertificate::read(der)));
        let protocols = Arc::clone(&self.protocols);
        // A client that does not say speaks HTTP/1.1, RFC 9113 §3.2.
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => &protocols.http2,
            _ => &protocols.http1,
        };
        self.serve(stream, protocol, certificate).await;
    }

    async fn serve(
        self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: &Builder<TokioExecutor>,
        certificate: Option<Arc<ClientCertificate>>,
    ) {
        let _open = Open::new(&self.doors);
        let io = TokioIo::new(GuardedIo::new(io, self.doors.limits));
        let peer = Arc::new(Peer { certificate, reach: self.reach });
        let service =
            service_fn(|request| dispatch(Arc::clone(&self.doors), Arc::clone(&peer), request));
        let served = self.watcher.watch(protocol.serve_connection(io, service).into_owned());
        if let Err(error) = served.await {
            tracing::debug!("a connection ended early: {error}");
        }
    }
}

/// Counts a connection as long as it is open.
struct Open<'a>(&'a Doors);

impl<'a> Open<'a> {
    fn new(doors: &'a Doors) -> Self {
        doors.metrics.connections.inc();
        Self(doors)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

/// HTTP in each way that a connection may speak it.
struct Protocols {
    told_by_first_bytes: Builder<TokioExecutor>,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

impl Protocols {
    fn new(limits: &ServerLimits) -> Self {
        Self {
            told_by_first_bytes: protocol(limits),
            http1: protocol(limits).http1_only(),
            http2: protocol(limits).http2_only(),
        }
    }
}

/// HTTP under the limits. The timers are set here: without one, hyper keeps no time at all.
fn protocol(limits: &ServerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes_max);
    if limits.header_count_max != ServerLimits::DEFAULT.header_count_max {
        // Set, even to hyper's own default, it moves the headers from the stack to the heap.
        http1.max_headers(limits.header_count_max);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.http2_ping_interval)
        .keep_alive_timeout(limits.http2_ping_interval)
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER);
    builder
}
