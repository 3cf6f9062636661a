//! The dialects of the API: which versions a route has and who may reach it goes by them.

/// The dialect that a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/v1/decisions`.
    Decisions,
    /// AdmissionReview, from a Kubernetes API server.
    AdmissionReview,
    /// ImageReview, from a Kubernetes API server.
    ImageReview,
    /// Gatekeeper's external data provider.
    ExternalData,
    /// Google's Binary Authorization API.
    BinaryAuthorization,
    /// Google's Container Analysis API.
    ContainerAnalysis,
    /// The sliver of Google's Cloud KMS API.
    CloudKms,
    /// `/livez`, `/readyz`, `/version`, `/metrics`.
    Operations,
    /// No route was found.
    Unknown,
}

impl Dialect {
    pub(in crate::http) const ALL: [Self; 9] = [
        Self::Decisions,
        Self::AdmissionReview,
        Self::ImageReview,
        Self::ExternalData,
        Self::BinaryAuthorization,
        Self::ContainerAnalysis,
        Self::CloudKms,
        Self::Operations,
        Self::Unknown,
    ];

    /// The word in metrics and audit records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::AdmissionReview => "admission_review",
            Self::ImageReview => "image_review",
            Self::ExternalData => "external_data",
            Self::BinaryAuthorization => "binaryauthorization",
            Self::ContainerAnalysis => "containeranalysis",
            Self::CloudKms => "cloudkms",
            Self::Operations => "operations",
            Self::Unknown => "unknown",
        }
    }
}
