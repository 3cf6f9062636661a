//! What is under `deploy/`: that it says what Kubernetes, Prometheus and the daemon understand, and
//! that its parts fit each other.

mod certificates;
mod chart;
mod daemon;
mod gate;
mod kustomize;
mod machine;
mod manifests;
mod observability;
mod tree;
