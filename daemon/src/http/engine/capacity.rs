//! Room for everything that is under way, within the limits of the server.

use std::sync::Arc;

use super::body::Bodies;
use super::flow::Flows;
use super::limits::ServerLimits;
use super::metrics::HttpMetrics;
use super::pace::{Held, PROBE_DELAY_MAX, Pace, REFUSAL_DELAY_MAX};
use super::room::{GivesWay, Room};
use super::slots::Slots;

/// The room of one server.
#[derive(Debug)]
pub struct Capacity {
    pub(in crate::http) slots: Arc<Slots>,
    pub(in crate::http) bodies: Bodies,
    pub(in crate::http) streams: Arc<Room>,
    pub(in crate::http) flows: Arc<Flows>,
    /// Of answers to probes, and of refusals: a flood of one must not hold up the other.
    pub(in crate::http) probes: Pace,
    pub(in crate::http) refusals: Pace,
}

impl Capacity {
    /// As much as `limits` allow; `metrics` show what is taken of the slots.
    pub fn new(limits: ServerLimits, metrics: &HttpMetrics) -> Self {
        let (at_work, waiting) = (metrics.in_flight.clone(), metrics.waiting.clone());
        Self {
            slots: Slots::new(limits.in_flight_max, limits.waiting_max, at_work, waiting),
            bodies: Bodies::new(limits),
            streams: Room::new(GivesWay::ToSmaller),
            flows: Flows::new(limits),
            probes: Pace::new(PROBE_DELAY_MAX, metrics.held_back(Held::Probe)),
            refusals: Pace::new(REFUSAL_DELAY_MAX, metrics.held_back(Held::Refusal)),
        }
    }
}
