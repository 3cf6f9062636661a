//! The memory that `docs/operating.md` promises, as the sum of the limits that make it up.

/// Caches, as configured by default: `cache.verdict_mib`, `cache.evaluation_mib`,
/// `cache.conformance_mib`, `lanes.table_mib`.
const CACHES_MIB: u64 = 64 + 256 + 32 + 64;

/// All bodies at once beyond 64 KiB of each: `body_bytes_in_flight_max`.
const BODIES_MIB: u64 = 256;

/// 64 KiB of body for each request at work, each that waits and each body on its way in:
/// `limits.requests_in_flight`, `waiting_max`, `bodies_max`.
const REQUESTS_MIB: u64 = (1_024 + 1_024 + 2_048) * 64 / 1_024;

/// All answers at once that are not yet taken: `answer_bytes_max`.
const ANSWERS_MIB: u64 = 128;

/// `limits.connections`.
pub const CONNECTIONS: u64 = 10_000;

/// One whole header for each connection: `header_bytes_max`.
const CONNECTION_KIB: u64 = 32;

/// The program, its plugins, the page cache of the database (64 MiB) and threads.
const PROGRAM_MIB: u64 = 192;

/// Slack of the allocator and what is worked out of bodies, in percent of all that.
const SLACK_PERCENT: u64 = 25;

/// The bound in MiB, with the default configuration.
pub const BOUND_MIB: u64 = bound_mib(CONNECTIONS);

/// The bound in MiB, with so many connections and else the default configuration.
pub const fn bound_mib(connections: u64) -> u64 {
    let connections_mib = connections * CONNECTION_KIB / 1_024;
    let limited =
        CACHES_MIB + BODIES_MIB + REQUESTS_MIB + ANSWERS_MIB + connections_mib + PROGRAM_MIB;
    limited * (100 + SLACK_PERCENT) / 100
}
