//! The server: sockets, limits, draining, routes, who may use them, and the record of writes. It
//! hands each request to the endpoint of its route.

pub mod access;
pub mod browser_guard;
pub mod error;
pub mod exchange;
pub mod limits;
pub mod metrics;
pub mod routes;
pub mod server;

pub(super) mod answer_body;
pub(super) mod body;
pub(super) mod dispatch;
pub(super) mod flow;
pub(super) mod guarded_io;
pub(super) mod holder;
pub(super) mod pace;
pub(super) mod room;
pub(super) mod slots;
pub(super) mod writing;

mod connections;
