//! The system policy that comes with the daemon: images without which no cluster runs.

use super::SystemPolicy;
use super::pattern::AllowlistPattern;

/// Patterns below which only the named project publishes. A pattern earns its place by the first
/// path component after the registry being owned by that project; none reaches into a namespace
/// that a customer could write to.
const PATTERNS: [&str; 9] = [
    // Kubernetes: the community's registry, all of it written by the project's release process.
    "registry.k8s.io/**",
    // Kubernetes: its frozen predecessor. In Google's list of what to allow where the system
    // policy is off (Binary Authorization policy reference, "globalPolicyEvaluationMode").
    "k8s.gcr.io/**",
    // GKE system images; same list.
    "gke.gcr.io/**",
    // Kubernetes before k8s.gcr.io, Google's project; same list. No deeper than the project.
    "gcr.io/google-containers/*",
    // The same under its older name; the one pattern of the default policy that Google's Terraform
    // provider writes back.
    "gcr.io/google_containers/*",
    // Anthos Service Mesh on GKE; same list.
    "gcr.io/gke-release/asm/*",
    // GKE logging and monitoring agents; same list.
    "gcr.io/stackdriver-agents/*",
    // Amazon EKS Distro: a verified alias of Amazon in the public gallery. EKS add-ons proper come
    // from registries with account and region in their host name, which no pattern can name.
    "public.ecr.aws/eks-distro/**",
    // Azure AKS: Microsoft's own builds of Kubernetes components, in a registry that only
    // Microsoft publishes to.
    "mcr.microsoft.com/oss/kubernetes/**",
];

impl SystemPolicy {
    /// The patterns that come with the daemon.
    pub fn bundled() -> Self {
        let patterns = PATTERNS.iter().filter_map(|text| AllowlistPattern::parse(text).ok());
        Self { admission_whitelist_patterns: patterns.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_pattern_is_one() {
        assert_eq!(SystemPolicy::bundled().admission_whitelist_patterns.len(), PATTERNS.len());
    }

    #[test]
    fn system_images_are_covered_and_neighbours_are_not() {
        let policy = SystemPolicy::bundled();
        let covered = |image| policy.admission_whitelist_patterns.iter().any(|p| p.matches(image));
        for image in [
            "registry.k8s.io/pause:3.10",
            "registry.k8s.io/coredns/coredns:v1.11.1",
            "gke.gcr.io/fluent-bit:v1",
            "gcr.io/google-containers/pause",
            "public.ecr.aws/eks-distro/kubernetes/pause:3.9",
            "mcr.microsoft.com/oss/kubernetes/pause:3.9",
        ] {
            assert!(covered(image), "{image}");
        }
        for image in [
            "registry.k8s.io.example.com/pause",
            "gcr.io/google-containers-x/pause",
            "gcr.io/google-containers/a/b",
            "gcr.io/gke-release/other/x",
            "public.ecr.aws/eks-distro-x/pause",
            "public.ecr.aws/x/eks-distro/pause",
            "mcr.microsoft.com/oss/kubernetesx/pause",
            "pause",
        ] {
            assert!(!covered(image), "{image}");
        }
    }
}
