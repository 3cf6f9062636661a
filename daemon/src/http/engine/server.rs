//! Sockets: HTTP/1.1 and HTTP/2 on one port, each connection under the limits of the server, and an
//! end in which nobody is cut off in mid-sentence.
//!
//! Under TLS the handshake says which HTTP is spoken (ALPN); in clear text the first bytes do.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::{self, Builder};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Engine;
use super::access::Peer;
use super::answer_body::AnswerBody;
use super::connections::Connections;
use super::connections::Standing;
use super::dispatch::GRACE;
use super::dispatch::dispatch;
use super::flow::ClosedCause;
use super::flow::Flow;
use super::guarded_io::GuardedIo;
use super::limits::ServerLimits;
use super::limits::ShedCause;
use super::metrics::HttpMetrics;
use super::pace::{Held, PROBE_DELAY_MAX, Pace, REFUSAL_DELAY_MAX};
use crate::auth::certificate::ClientCertificate;
use crate::http::Api;
use crate::tls::Tls;

/// The answer to one connection too many.
const ONE_TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// Time that accepting rests if the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bytes that an HTTP/2 client may send ahead, per stream and per connection: bounds what a
/// connection holds before anything is read of it.
const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 512 << 10;

/// Bytes of an answer that wait for an HTTP/2 client to take them, per stream.
const HTTP2_SEND_BUFFER: usize = 64 << 10;

/// The outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still at work when the drain timeout passed, and were cut off.
    pub cut_off: usize,
}

/// The routes that may be asked for at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every route.
    Everything,
    /// The routes of operations; the others are not there.
    Operations,
}

impl Reach {
    /// The longest time that a connection is held back.
    fn delay_max(self) -> Duration {
        match self {
            Self::Everything => REFUSAL_DELAY_MAX,
            Self::Operations => PROBE_DELAY_MAX,
        }
    }
}

/// The purpose of a listener.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The routes that may be asked for.
    pub reach: Reach,
    /// The protection of its connections; `None`: not protected.
    pub tls: Option<Arc<Tls>>,
}

/// Serves until `stop` is done, then lets what is under way finish.
///
/// Afterwards no connection is left.
pub async fn serve(
    listener: TcpListener,
    api: Arc<Api>,
    entrance: Entrance,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut server = Server::new(api, entrance);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = server.serving.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) => server.welcome(socket, address.ip()),
                Err(error) => server.not_accepted(&error).await,
            },
        }
    }
    drop(listener);
    server.drain().await
}

struct Server {
    api: Arc<Api>,
    entrance: Entrance,
    protocols: Arc<Protocols>,
    connections: Arc<Connections>,
    strangers: Arc<Pace>,
    serving: JoinSet<()>,
}

impl Server {
    fn new(api: Arc<Api>, entrance: Entrance) -> Self {
        let held_back = api.engine.metrics.held_back(Held::Connection);
        Self {
            strangers: Arc::new(Pace::new(entrance.reach.delay_max(), held_back)),
            entrance,
            protocols: Arc::new(Protocols::new(&api.engine.limits)),
            connections: Connections::new(api.engine.limits.connections_max),
            serving: JoinSet::new(),
            api,
        }
    }

    fn welcome(&mut self, socket: TcpStream, address: IpAddr) {
        let Some(standing) = self.connections.arrive(address) else {
            self.api.engine.metrics.shed(ShedCause::Connections);
            if self.entrance.tls.is_none() {
                // The buffer of a new socket is empty: this is taken whole, or the client is gone.
                drop(socket.try_write(ONE_TOO_MANY));
            }
            return;
        };
        if let Err(error) = prepare(&socket, &self.api.engine.limits) {
            tracing::debug!("a connection was gone before it was served: {error}");
            return;
        }
        let connection = Connection {
            api: Arc::clone(&self.api),
            protocols: Arc::clone(&self.protocols),
            reach: self.entrance.reach,
            address,
            standing,
            strangers: Arc::clone(&self.strangers),
        };
        let tls = self.entrance.tls.as_ref().map(|tls| tls.config());
        self.serving.spawn(connection.serve(socket, tls));
    }

    /// A client that is gone already costs nothing; a process without descriptors needs one of
    /// those that strangers hold, and a rest.
    async fn not_accepted(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
        {
            return;
        }
        tracing::warn!("cannot accept connections: {error}");
        self.connections.evict();
        sleep(ACCEPT_REST).await;
    }

    async fn drain(mut self) -> Drained {
        self.api.engine.readiness.start_draining();
        let finish = async { while self.serving.join_next().await.is_some() {} };
        let finished = timeout(self.api.engine.limits.drain_timeout, finish).await;
        let cut_off = if finished.is_ok() { 0 } else { self.serving.len() };
        self.serving.shutdown().await;
        Drained { cut_off }
    }
}

/// Tells the system how to treat a connection: to send at once, and to give up on a peer that takes
/// no byte of what it holds.
fn prepare(socket: &TcpStream, limits: &ServerLimits) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let patience = u32::try_from(limits.write_timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(socket, patience)?)
}

/// One connection, whatever carries its bytes.
struct Connection {
    api: Arc<Api>,
    protocols: Arc<Protocols>,
    reach: Reach,
    address: IpAddr,
    standing: Arc<Standing>,
    /// Of connections that ended without anybody let in.
    strangers: Arc<Pace>,
}

impl Connection {
    /// Until it ends, or another needs the room of a stranger. Where strangers came to nothing one
    /// after the other, the next is heard at their pace.
    async fn serve(self, socket: TcpStream, tls: Option<Arc<ServerConfig>>) {
        let (engine, standing) = (Arc::clone(&self.api.engine), Arc::clone(&self.standing));
        let (strangers, address) = (Arc::clone(&self.strangers), self.address);
        tokio::select! {
            biased;
            () = standing.given_up() => engine.metrics.closed(ClosedCause::Stranger),
            () = self.hear(socket, tls) => {}
        }
        if engine.authorizer.guard.asks() && !standing.is_known() {
            strangers.charge(address);
        }
    }

    async fn hear(self, socket: TcpStream, tls: Option<Arc<ServerConfig>>) {
        tokio::select! {
            biased;
            () = self.strangers.until_due(self.address) => {}
            () = self.api.engine.readiness.drained() => return,
        }
        match tls {
            Some(config) => self.serve_tls(socket, config).await,
            None => self.serve_clear(socket).await,
        }
    }

    async fn serve_clear(self, socket: TcpStream) {
        let protocols = Arc::clone(&self.protocols);
        self.speak(socket, &protocols.told_by_first_bytes, None).await;
    }

    async fn serve_tls(self, socket: TcpStream, config: Arc<ServerConfig>) {
        let Some(stream) = self.shake_hands(socket, config).await else { return };
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|der| Arc::new(ClientCertificate::read(der)));
        let protocols = Arc::clone(&self.protocols);
        // A client that does not say speaks HTTP/1.1, RFC 9113 §3.2.
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => &protocols.http2,
            _ => &protocols.http1,
        };
        self.speak(stream, protocol, certificate).await;
    }

    async fn shake_hands(
        &self,
        socket: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Option<TlsStream<TcpStream>> {
        let shaking = TlsAcceptor::from(config).accept(socket);
        let shaken = tokio::select! {
            shaken = timeout(self.api.engine.limits.handshake_timeout, shaking) => shaken,
            () = self.api.engine.readiness.drained() => return None,
        };
        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.api.engine.tls_metrics.handshake_errors.inc();
                tracing::debug!("a TLS handshake came to nothing: {error}");
                None
            }
        }
    }

    async fn speak(
        self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: &Builder<TokioExecutor>,
        certificate: Option<Arc<ClientCertificate>>,
    ) {
        let engine = &self.api.engine;
        let _open = Open::new(&engine.metrics);
        let flow = engine.capacity.flows.open();
        let io = TokioIo::new(GuardedIo::new(io, engine.limits, Arc::clone(&flow)));
        let peer = Arc::new(Peer {
            certificate,
            reach: self.reach,
            address: self.address,
            standing: self.standing,
            flow: Arc::clone(&flow),
        });
        let service = service_fn(|request| {
            dispatch(Arc::clone(&self.api), Arc::clone(&peer), flow.begin(), request)
        });
        let speaking = pin!(protocol.serve_connection(io, service).into_owned());
        watch_over(engine, &flow, speaking).await;
    }
}

/// Drives a connection to its end, and ends it if nobody uses it or takes its answers.
async fn watch_over<I, S>(
    engine: &Engine,
    flow: &Flow,
    mut speaking: Pin<&mut auto::Connection<'static, TokioIo<I>, S, TokioExecutor>>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let limits = &engine.limits;
    let period = limits.write_timeout.min(limits.header_timeout) / 2;
    let mut looks = interval_at(Instant::now() + period, period);
    let mut draining = pin!(engine.readiness.drained());
    let mut is_draining = false;
    loop {
        tokio::select! {
            biased;
            cause = flow.is_cut() => return engine.metrics.closed(cause),
            served = speaking.as_mut() => return tell(served),
            () = &mut draining, if !is_draining => {
                is_draining = true;
                speaking.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => if let Some(cause) = flow.end(limits) {
                engine.metrics.closed(cause);
                speaking.as_mut().graceful_shutdown();
                // Requests under way have their time; those that stand still do not get more.
                let rest = timeout(limits.request_deadline + GRACE, speaking).await;
                return rest.map_or((), tell);
            },
        }
    }
}

fn tell(served: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = served {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Counts a connection as long as it is open.
struct Open<'a>(&'a HttpMetrics);

impl<'a> Open<'a> {
    fn new(metrics: &'a HttpMetrics) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
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
