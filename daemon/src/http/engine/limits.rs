//! Limits on requests from outside. Every limit has its source and its own error.

use std::time::Duration;

/// The limits of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once; one more is told 503 and closed. C10K, at some 20 KiB each. Half of
    /// them at most are strangers', see `connections`.
    pub connections_max: usize,
    /// Requests at work at once, operations aside. Each may hold [`BODY_BYTES_FREE`] of body, so
    /// this bounds memory to 64 MiB; so may each that waits.
    pub in_flight_max: usize,
    /// Requests that wait for one of those to end; one more is told 503, or one of whoever has most.
    pub waiting_max: usize,
    /// The time that they wait: an API server waits for 10 s unless told otherwise, and for 1 s at
    /// least.
    pub slot_patience: Duration,
    /// Bodies on their way in; for one more, the one that is longest under way makes room. Bounds
    /// memory to 128 MiB.
    pub bodies_max: usize,
    /// Bytes of all bodies at once beyond [`BODY_BYTES_FREE`] of each; for more, bodies that are
    /// still on their way make room, else it is told 503.
    pub body_bytes_in_flight_max: usize,
    /// Bytes of all answers that are not yet taken; for more, connections whose answers stand still
    /// are ended, else a large answer is 503.
    pub answer_bytes_max: usize,
    /// The same of one connection: as many as its largest answers.
    pub answer_bytes_per_connection_max: usize,
    /// Requests under way at once on connections over which nobody was let in yet, all together. Beyond
    /// them, such a connection is read no further while it has one under way. Each costs some 4 KiB:
    /// together 16 MiB.
    pub stranger_requests_max: usize,
    /// Bytes of one body, 413 beyond. AdmissionReview carries an object (etcd's limit of 1.5 MiB)
    /// and its old form; batchCreate carries 1,000 occurrences of some 2 KiB.
    pub body_bytes_max: usize,
    /// Ndjson streams at once; for one more, one of whoever has more makes room, else it is told 503.
    /// Each may hold some six batches of
    /// [`BATCH_BYTES`].
    pub streams_max: usize,
    /// Bytes of one line of an ndjson stream: 1,000 images of 1 KiB.
    pub line_bytes_max: usize,
    /// Bytes of request line and headers, 431 beyond. nginx takes 4 × 8 KiB.
    pub header_bytes_max: usize,
    /// Headers of one request over HTTP/1.1, 431 beyond. Hyper's own default, which it keeps on
    /// the stack.
    pub header_count_max: usize,
    /// From the opening of a connection to the end of its TLS handshake.
    pub handshake_timeout: Duration,
    /// From the opening of a connection to the bytes that tell HTTP/1.1 from HTTP/2.
    pub first_byte_timeout: Duration,
    /// From the end of one request to the whole header of the next, so also how long an idle
    /// connection is kept, whichever HTTP it speaks. Above the 60 s of most load balancers, so that they close first.
    pub header_timeout: Duration,
    /// For the whole of a body. Admission webhooks are given 10 s in all by default.
    pub body_timeout: Duration,
    /// Between the bytes of an ndjson stream, either way.
    pub stream_idle_timeout: Duration,
    /// Time that a client may leave what is ready for it: 4 KiB of a connection, and 16 KiB of each
    /// answer, must be taken in this time.
    pub write_timeout: Duration,
    /// From the end of the body to the answer: the default of admission webhooks.
    pub request_deadline: Duration,
    /// Streams of one HTTP/2 connection. RFC 9113 §6.5.2 asks for no less than 100.
    pub http2_streams_max: u32,
    /// Between pings of an HTTP/2 connection, and how long the answer may take.
    pub http2_ping_interval: Duration,
    /// Time that a connection that is closed may go on sending before it is reset. As nginx's
    /// `lingering_timeout`, shorter.
    pub linger_timeout: Duration,
    /// From the signal to stop to the end of the last connection. Kubernetes kills after 30 s.
    pub drain_timeout: Duration,
}

/// Body bytes of a request that count against no budget: nearly every request is smaller.
pub const BODY_BYTES_FREE: usize = 64 << 10;

/// Bytes of ndjson lines that are decided as one batch: 256 of 4 KiB.
pub const BATCH_BYTES: usize = 1 << 20;

/// Ndjson lines that are decided as one batch: wide enough to fill a verifier's lanes.
pub const BATCH_LINES: usize = 256;

impl ServerLimits {
    /// The limits that the daemon uses unless told otherwise.
    pub const DEFAULT: Self = Self {
        connections_max: 10_000,
        in_flight_max: 1_024,
        waiting_max: 1_024,
        slot_patience: Duration::from_millis(500),
        bodies_max: 2_048,
        body_bytes_in_flight_max: 256 << 20,
        answer_bytes_max: 128 << 20,
        answer_bytes_per_connection_max: 8 << 20,
        stranger_requests_max: 4_096,
        body_bytes_max: 4 << 20,
        streams_max: 64,
        line_bytes_max: 1 << 20,
        header_bytes_max: 32 << 10,
        header_count_max: 100,
        handshake_timeout: Duration::from_secs(10),
        first_byte_timeout: Duration::from_secs(10),
        header_timeout: Duration::from_secs(75),
        body_timeout: Duration::from_secs(10),
        stream_idle_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(30),
        request_deadline: Duration::from_secs(10),
        http2_streams_max: 250,
        http2_ping_interval: Duration::from_secs(20),
        linger_timeout: Duration::from_secs(2),
        drain_timeout: Duration::from_secs(20),
    };
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why work was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedCause {
    /// Too many connections.
    Connections,
    /// Too many requests at work.
    Requests,
    /// Too many ndjson streams.
    Streams,
    /// Too many bodies on their way in.
    Bodies,
    /// Too many bytes of bodies.
    BodyBytes,
    /// Too many bytes of answers on their way out.
    AnswerBytes,
}

impl ShedCause {
    pub(in crate::http) const ALL: [Self; 6] = [
        Self::Connections,
        Self::Requests,
        Self::Streams,
        Self::Bodies,
        Self::BodyBytes,
        Self::AnswerBytes,
    ];

    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Streams => "streams",
            Self::Bodies => "bodies",
            Self::BodyBytes => "body_bytes",
            Self::AnswerBytes => "answer_bytes",
        }
    }
}
