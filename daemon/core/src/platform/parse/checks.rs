//! The checks of a check set: one kind of check each.

use std::collections::HashSet;

use super::{PROJECTS_MAX, Patterns, all, projects, some};
use crate::attestor::parse::{KEYS_MAX, key_id, pkix_material};
use crate::attestor::{KeyId, PublicKey};
use crate::document::read::{Field, Object};
use crate::names::ProjectId;
use crate::platform::trusted_directory::TrustedDirectory;
use crate::platform::{
    AttestationAuthenticator, CheckKind, MaximumSeverity, PolicyCheck, SigstoreAuthority,
    SimpleSigningAttestationCheck, TrustedBuilder, VerificationRule, VulnerabilityCheck,
};

/// Reads the body of one kind of check.
type Kind = (&'static str, fn(&Field<'_>, &mut Patterns) -> Option<CheckKind>);

const KINDS: [Kind; 7] = [
    ("alwaysDeny", |field, _| always_deny(field)),
    ("imageFreshnessCheck", |field, _| image_freshness(field)),
    ("sigstoreSignatureCheck", |field, _| sigstore_signature(field)),
    ("simpleSigningAttestationCheck", |field, _| simple_signing(field)),
    ("slsaCheck", |field, _| slsa(field)),
    ("trustedDirectoryCheck", trusted_directory),
    ("vulnerabilityCheck", |field, _| vulnerability(field)),
];

const FIELDS: [&str; 9] = [
    "displayName",
    "imageAllowlist",
    KINDS[0].0,
    KINDS[1].0,
    KINDS[2].0,
    KINDS[3].0,
    KINDS[4].0,
    KINDS[5].0,
    KINDS[6].0,
];

pub(super) fn check(field: &Field<'_>, patterns: &mut Patterns) -> Option<PolicyCheck> {
    let object = field.object(&FIELDS)?;
    object.refuse_null(&KINDS.map(|(name, _)| name));
    let image_allowlist = patterns.allowlist(&object);
    let mut kinds = Vec::new();
    for (name, read) in KINDS {
        let Some(field) = object.get(name) else { continue };
        if let Some((first, _)) = kinds.first() {
            field.fail(format!("{first} is set too; a check is of one kind: make it two checks"));
        }
        kinds.push((name, read(&field, patterns)));
    }
    if kinds.is_empty() {
        let names = KINDS.map(|(name, _)| name).join(", ");
        field.fail(format!("no check in it; set one of {names}"));
    }
    let (_, kind) = kinds.into_iter().next()?;
    let display_name = object.text("displayName");
    Some(PolicyCheck { display_name, image_allowlist: image_allowlist?, kind: kind? })
}

/// The number of times that an evaluation of this check looks for attestations.
pub(super) fn lookups(check: &PolicyCheck) -> usize {
    match &check.kind {
        CheckKind::SimpleSigningAttestation(check) => {
            check.authenticators.len() * check.projects.len()
        }
        _ => 0,
    }
}

fn always_deny(field: &Field<'_>) -> Option<CheckKind> {
    if !field.boolean()? {
        field.fail("can only be true; remove the check instead");
        return None;
    }
    Some(CheckKind::AlwaysDeny)
}

fn image_freshness(field: &Field<'_>) -> Option<CheckKind> {
    let object = field.object(&["maxUploadAgeDays"])?;
    let days = object.required("maxUploadAgeDays")?.integer(1, i64::from(i32::MAX))?;
    u32::try_from(days).ok().map(CheckKind::ImageFreshness)
}

fn trusted_directory(field: &Field<'_>, patterns: &mut Patterns) -> Option<CheckKind> {
    let object = field.object(&["trustedDirPatterns"])?;
    some(&object, "trustedDirPatterns")?;
    let elements = patterns.taken(&object, "trustedDirPatterns")?;
    let directories = all(&elements, |field| field.parsed(TrustedDirectory::parse))?;
    Some(CheckKind::TrustedDirectory(directories))
}

fn simple_signing(field: &Field<'_>) -> Option<CheckKind> {
    let object =
        field.object(&["containerAnalysisAttestationProjects", "attestationAuthenticators"])?;
    let projects = projects(&object, "containerAnalysisAttestationProjects");
    let authenticators = some(&object, "attestationAuthenticators")
        .and_then(|elements| all(&elements, authenticator));
    Some(CheckKind::SimpleSigningAttestation(SimpleSigningAttestationCheck {
        projects: projects?,
        authenticators: authenticators?,
    }))
}

fn authenticator(field: &Field<'_>) -> Option<AttestationAuthenticator> {
    let object = field.object(&["displayName", "pkixPublicKeySet"])?;
    let set = object.required("pkixPublicKeySet")?.object(&["pkixPublicKeys"])?;
    let elements = some(&set, "pkixPublicKeys")?;
    if elements.len() > KEYS_MAX {
        let given = elements.len();
        set.field().fail(format!("{given} pkixPublicKeys; at most {KEYS_MAX}"));
        return None;
    }
    let public_keys = all(&elements, public_key)?;
    let mut ids = HashSet::new();
    for (field, key) in elements.iter().zip(&public_keys) {
        if key.id.as_ref().is_some_and(|id| !ids.insert(id)) {
            field.fail("a key with this id is here already; remove one of the two");
        }
    }
    Some(AttestationAuthenticator { display_name: object.text("displayName"), public_keys })
}

fn public_key(field: &Field<'_>) -> Option<PublicKey> {
    let object = field.object(&["keyId", "publicKeyPem", "signatureAlgorithm"])?;
    // Google's documentation writes the id as a YAML block, which ends with a line break.
    let id = match object.get("keyId") {
        Some(id) => Some(key_id(&id)?.as_str().trim_end().into()),
        None => None,
    };
    let id = id.filter(|id: &KeyId| !id.as_str().is_empty());
    if id.as_ref().is_some_and(|id| !id.is_uri()) {
        object.get("keyId")?.fail("must be a URI (RFC 3986), or empty for the default");
    }
    Some(PublicKey { comment: String::new(), id, material: pkix_material(&object)? })
}

fn sigstore_signature(field: &Field<'_>) -> Option<CheckKind> {
    let object = field.object(&["sigstoreAuthorities"])?;
    let authorities = all(&some(&object, "sigstoreAuthorities")?, sigstore_authority)?;
    Some(CheckKind::SigstoreSignature(authorities))
}

fn sigstore_authority(field: &Field<'_>) -> Option<SigstoreAuthority> {
    let object = field.object(&["displayName", "publicKeySet"])?;
    let set = object.required("publicKeySet")?.object(&["publicKeys"])?;
    let public_key_pems = all(&some(&set, "publicKeys")?, |field| {
        field.object(&["publicKeyPem"])?.required("publicKeyPem")?.parsed(pem)
    })?;
    Some(SigstoreAuthority { display_name: object.text("displayName"), public_key_pems })
}

/// No plugin reads keys that come without an algorithm, so their form is all that is checked.
fn pem(text: &str) -> Result<String, &'static str> {
    let armored = text.trim();
    let whole = armored.starts_with("-----BEGIN PUBLIC KEY-----")
        && armored.ends_with("-----END PUBLIC KEY-----");
    if whole { Ok(text.to_owned()) } else { Err("must be a PEM public key (RFC 7468 §13)") }
}

fn slsa(field: &Field<'_>) -> Option<CheckKind> {
    let object = field.object(&["rules"])?;
    Some(CheckKind::Slsa(all(&some(&object, "rules")?, verification_rule)?))
}

const TRUSTED_BUILDERS: [(&str, u32, Option<TrustedBuilder>); 2] = [
    ("BUILDER_UNSPECIFIED", 0, None),
    ("GOOGLE_CLOUD_BUILD", 1, Some(TrustedBuilder::GoogleCloudBuild)),
];

fn verification_rule(field: &Field<'_>) -> Option<VerificationRule> {
    let object = field.object(&[
        "trustedBuilder",
        "attestationSource",
        "configBasedBuildRequired",
        "trustedSourceRepoPatterns",
        "customConstraints",
    ])?;
    let trusted_builder = object.required("trustedBuilder").and_then(|field| {
        let builder = field.enumeration(&TRUSTED_BUILDERS)?;
        if builder.is_none() {
            field.fail("required; say GOOGLE_CLOUD_BUILD");
        }
        builder
    });
    let attestation_projects = attestation_source(&object);
    let config_based_build_required = match object.get("configBasedBuildRequired") {
        Some(field) => field.boolean(),
        None => Some(false),
    };
    let patterns = object.list("trustedSourceRepoPatterns");
    let trusted_source_repo_patterns = all(&patterns, |field| field.parsed(source_repo_pattern));
    Some(VerificationRule {
        trusted_builder: trusted_builder?,
        attestation_projects: attestation_projects?,
        config_based_build_required: config_based_build_required?,
        trusted_source_repo_patterns: trusted_source_repo_patterns?,
        custom_constraints: object.text("customConstraints"),
    })
}

/// An object in Google's API, a list of such objects in Google's documentation.
fn attestation_source(object: &Object<'_>) -> Option<Vec<ProjectId>> {
    let sources = object.list("attestationSource");
    let sources = all(&sources, |field| {
        let name = "containerAnalysisAttestationProjects";
        projects(&field.object(&["containerAnalysisAttestationProjects"])?, name)
    })?;
    let mut seen = HashSet::new();
    let mut projects: Vec<_> = sources.into_iter().flatten().collect();
    projects.retain(|project| seen.insert(project.clone()));
    if projects.len() > PROJECTS_MAX {
        let given = projects.len();
        object.field().fail(format!("{given} attestation projects; at most {PROJECTS_MAX}"));
        return None;
    }
    Some(projects)
}

/// A repository URL without its scheme; wildcards stand at the end and after a slash.
fn source_repo_pattern(text: &str) -> Result<String, &'static str> {
    let literal = text.trim_end_matches('*');
    let wildcards = text.len() - literal.len();
    if text.contains("://") {
        return Err("repositories are named without scheme; leave out everything up to ://");
    }
    if literal.contains('*') || wildcards > 2 || (wildcards > 0 && !literal.ends_with('/')) {
        return Err("a wildcard may stand only at the end, after a /: /* or /**");
    }
    if literal.trim_end_matches('/').is_empty() {
        return Err("begin with the host of the repository");
    }
    Ok(text.to_owned())
}

const SEVERITIES: [(&str, u32, Option<MaximumSeverity>); 8] = [
    ("MAXIMUM_ALLOWED_SEVERITY_UNSPECIFIED", 0, None),
    ("BLOCK_ALL", 1, Some(MaximumSeverity::BlockAll)),
    ("MINIMAL", 2, Some(MaximumSeverity::Minimal)),
    ("LOW", 3, Some(MaximumSeverity::Low)),
    ("MEDIUM", 4, Some(MaximumSeverity::Medium)),
    ("HIGH", 5, Some(MaximumSeverity::High)),
    ("CRITICAL", 6, Some(MaximumSeverity::Critical)),
    ("ALLOW_ALL", 7, Some(MaximumSeverity::AllowAll)),
];

fn vulnerability(field: &Field<'_>) -> Option<CheckKind> {
    let object = field.object(&[
        "maximumFixableSeverity",
        "maximumUnfixableSeverity",
        "allowedCves",
        "blockedCves",
        "containerAnalysisVulnerabilityProjects",
    ])?;
    let fixable = severity(&object, "maximumFixableSeverity");
    let unfixable = severity(&object, "maximumUnfixableSeverity");
    let allowed = all(&object.list("allowedCves"), cve);
    let blocked = all(&object.list("blockedCves"), cve);
    let projects = projects(&object, "containerAnalysisVulnerabilityProjects");
    Some(CheckKind::Vulnerability(VulnerabilityCheck {
        maximum_fixable_severity: fixable?,
        maximum_unfixable_severity: unfixable?,
        allowed_cves: allowed?,
        blocked_cves: blocked?,
        projects: projects?,
    }))
}

fn severity(object: &Object<'_>, name: &'static str) -> Option<MaximumSeverity> {
    let field = object.required(name)?;
    let severity = field.enumeration(&SEVERITIES)?;
    if severity.is_none() {
        field.fail("required; say how severe a vulnerability may be");
    }
    severity
}

fn cve(field: &Field<'_>) -> Option<String> {
    let id = field.string()?;
    if id.trim().is_empty() {
        field.fail("must be an id, such as CVE-2022-11111");
        return None;
    }
    Some(id.to_owned())
}
