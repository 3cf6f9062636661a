//! Sockets: HTTP/1.1 and HTTP/2 with prior knowledge on one port, each connection under the limits
//! of the server, and an end in which nobody is cut off in mid-sentence.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Doors;
use super::dispatch::dispatch;
use super::guarded_io::GuardedIo;
use super::limits::ServerLimits;
use crate::metrics::http::ShedCause;

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

/// Serves until `stop` is done, then lets what is under way finish.
///
/// Afterwards no connection is left.
pub async fn serve(
    listener: TcpListener,
    doors: Arc<Doors>,
    reach: Reach,
    stop: impl Future<Output = ()>,
) -> Drained {
    let mut server = Server::new(doors, reach);
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
    reach: Reach,
    protocol: Arc<Builder<TokioExecutor>>,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Server {
    fn new(doors: Arc<Doors>, reach: Reach) -> Self {
        Self {
            reach,
            protocol: Arc::new(protocol(&doors.limits)),
            places: Arc::new(Semaphore::new(doors.limits.connections_max)),
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            doors,
        }
    }

    fn welcome(&mut self, socket: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.doors.metrics.shed(ShedCause::Connections);
            // The buffer of a new socket is empty: this is taken whole, or the client is gone.
            drop(socket.try_write(ONE_TOO_MANY));
            return;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!("a connection was gone before it was served: {error}");
            return;
        }
        let connection = Connection {
            doors: Arc::clone(&self.doors),
            reach: self.reach,
            protocol: Arc::clone(&self.protocol),
            watcher: self.graceful.watcher(),
            _place: place,
        };
        self.connections.spawn(connection.serve(socket));
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
    reach: Reach,
    protocol: Arc<Builder<TokioExecutor>>,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let _open = Open::new(&self.doors);
        let io = TokioIo::new(GuardedIo::new(io, self.doors.limits));
        let service = service_fn(|request| dispatch(Arc::clone(&self.doors), self.reach, request));
        let served = self.watcher.watch(self.protocol.serve_connection(io, service).into_owned());
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
