//! The files under `deploy/`: they say what Kubernetes, Prometheus and the daemon understand, and
//! their parts fit each other.

mod certificates;
mod chart;
mod daemon;
mod gate;
mod kustomize;
mod machine;
mod manifests;
mod observability;
mod tree;
