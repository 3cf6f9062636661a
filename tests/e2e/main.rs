//! Hallmark from outside: each test is something that a user would notice.

mod access;
mod admission;
mod algorithms;
mod api;
mod audit;
mod changes;
mod cli;
mod crash;
mod decisions;
mod doors;
mod gcloud;
mod google_clients;
mod hostile;
mod key_sources;
mod metrics;
mod never_stale;
mod platform_verbs;
mod platforms;
mod plugin_kit;
mod same_answers;
mod startup;
mod tls;
mod transfer;
mod validate_running;
mod vectors;
