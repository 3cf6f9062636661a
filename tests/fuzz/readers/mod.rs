//! The readers, each with what must hold of whatever it reads.

use std::fmt::{Debug, Display};

use hallmark::auth::iam::IamPolicy;
use hallmark::config::file::File;
use hallmark::public_key;
use hallmark::resources::filter;
use hallmark::store::OccurrenceScope;
use hallmark_core::attestor::parse::attestor_from_json;
use hallmark_core::attestor::render::{ApiVersion, attestor_to_json};
use hallmark_core::document::read::resource;
use hallmark_core::document::{Document, DocumentError, DocumentLimits};
use hallmark_core::image::{Digest, ImageReference};
use hallmark_core::limits::Limits;
use hallmark_core::names::PlatformPolicyName;
use hallmark_core::occurrence::parse::{note_from_json, occurrence_from_json};
use hallmark_core::occurrence::render::{note_to_json, occurrence_to_json};
use hallmark_core::payload::simple_signing::{payload, signed_digest};
use hallmark_core::platform::allow_pattern::AllowPattern;
use hallmark_core::platform::parse::{platform_policy_from_json, platform_policy_from_yaml};
use hallmark_core::platform::render::{platform_policy_to_json, platform_policy_to_yaml};
use hallmark_core::platform::trusted_directory::TrustedDirectory;
use hallmark_core::policy::parse::{policy_from_json, policy_from_yaml};
use hallmark_core::policy::pattern::AllowlistPattern;
use hallmark_core::policy::render::{policy_to_json, policy_to_yaml};

mod api;
mod connections;
mod daemon;
pub(crate) mod plugins;
mod tokens;
mod webhooks;

/// Reads an input. An error says why it was refused; a panic is a fault of ours.
pub(crate) type Reader = fn(&[u8]) -> Read;

type Read = Result<(), String>;

/// Every reader, by the name of its corpus.
pub(crate) const READERS: [(&str, Reader); 33] = [
    ("policy_yaml", policy_yaml),
    ("policy_json", policy_json),
    ("document", document),
    ("attestor", attestor),
    ("note", note),
    ("occurrence", occurrence),
    ("platform_policy", platform_policy),
    ("payload", signed_payload),
    ("image_reference", image_reference),
    ("allowlist_pattern", allowlist_pattern),
    ("allow_pattern", allow_pattern),
    ("trusted_directory", trusted_directory),
    ("iam_policy", iam_policy),
    ("occurrence_filter", occurrence_filter),
    ("decision_request", decision_request),
    ("audit_log", audit_log),
    ("configuration", configuration),
    ("public_key", public_key_info),
    ("pkix_key", plugins::pkix_key),
    ("openpgp_certificate", plugins::openpgp_certificate),
    ("openpgp_signature", plugins::openpgp_signature),
    ("jwt", tokens::jwt),
    ("jwks", tokens::jwks),
    ("client_certificate", tokens::client_certificate),
    ("admission_review", webhooks::admission_review),
    ("image_review", webhooks::image_review),
    ("provider_request", webhooks::provider_request),
    ("api_request", api::api_request),
    ("page_token", api::page_token),
    ("update_mask", api::update_mask),
    ("browser_headers", api::browser_headers),
    ("connection", connections::connection),
    ("ndjson_stream", connections::ndjson_stream),
];

/// The reader of a corpus.
pub(crate) fn reader(corpus: &str) -> Option<Reader> {
    READERS.iter().find(|(name, _)| *name == corpus).map(|(_, reader)| *reader)
}

fn text(input: &[u8]) -> Result<&str, String> {
    str::from_utf8(input).map_err(|_| "not UTF-8".to_owned())
}

fn refused(error: impl Display) -> String {
    error.to_string()
}

/// Asserts that what was written reads as what was read.
fn same<T: PartialEq + Debug, E: Display>(read: &T, written: &str, again: Result<T, E>) {
    match again {
        Ok(again) => assert_eq!(again, *read, "written as {written}"),
        Err(error) => panic!("written as {written:?}, which is refused: {error}"),
    }
}

fn policy_yaml(input: &[u8]) -> Read {
    let policy = policy_from_yaml(text(input)?).map_err(refused)?;
    let yaml = policy_to_yaml(&policy, &"p".parse().expect("an id"));
    same(&policy, &yaml, policy_from_yaml(&yaml));
    Ok(())
}

fn policy_json(input: &[u8]) -> Read {
    let policy = policy_from_json(text(input)?).map_err(refused)?;
    let json = policy_to_json(&policy, &"p".parse().expect("an id")).to_string();
    same(&policy, &json, policy_from_json(&json));
    Ok(())
}

/// JSON is a part of YAML: where both read a text, they read the same.
fn document(input: &[u8]) -> Read {
    let text = text(input)?;
    let limits = DocumentLimits::DEFAULT;
    let value = |document: Result<Document, DocumentError>| {
        resource(document.map_err(refused)?.root(), |root| root.json()).map_err(refused)
    };
    let json = value(Document::from_json(text, &limits))?;
    if let Ok(yaml) = value(Document::from_yaml(text, &limits)) {
        assert_eq!(yaml, json);
    }
    let written = json.to_string();
    same(&json, &written, value(Document::from_json(&written, &limits)));
    Ok(())
}

fn attestor(input: &[u8]) -> Read {
    let attestor = attestor_from_json(text(input)?, None).map_err(refused)?;
    for version in [ApiVersion::V1, ApiVersion::V1Beta1] {
        let json = attestor_to_json(&attestor, version).to_string();
        same(&attestor, &json, attestor_from_json(&json, None));
    }
    Ok(())
}

fn note(input: &[u8]) -> Read {
    let note = note_from_json(text(input)?, None).map_err(refused)?;
    let json = note_to_json(&note).to_string();
    same(&note, &json, note_from_json(&json, None));
    Ok(())
}

fn occurrence(input: &[u8]) -> Read {
    let read = |text: &str| occurrence_from_json(text, None, &Limits::DEFAULT);
    let occurrence = read(text(input)?).map_err(refused)?;
    let json = occurrence_to_json(&occurrence).to_string();
    same(&occurrence, &json, read(&json));
    Ok(())
}

fn platform_policy(input: &[u8]) -> Read {
    let name: PlatformPolicyName = "projects/p/platforms/gke/policies/a".parse().expect("a name");
    let policy = platform_policy_from_yaml(text(input)?, Some(&name)).map_err(refused)?;
    let yaml = platform_policy_to_yaml(&policy);
    same(&policy, &yaml, platform_policy_from_yaml(&yaml, Some(&name)));
    let json = platform_policy_to_json(&policy).to_string();
    same(&policy, &json, platform_policy_from_json(&json, Some(&name)));
    Ok(())
}

fn signed_payload(input: &[u8]) -> Read {
    let digest = signed_digest(input).map_err(refused)?;
    let written = payload("registry.example.com/x", digest);
    assert_eq!(signed_digest(&written), Ok(digest));
    Ok(())
}

fn image_reference(input: &[u8]) -> Read {
    let image = ImageReference::parse(text(input)?).map_err(refused)?;
    assert_eq!(ImageReference::parse(image.as_str()).as_ref(), Ok(&image));
    if let Some(digest) = image.digest() {
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        let bare = format!("{}@{digest}", image.repository());
        let bare = ImageReference::parse(&bare).expect("repository and digest are an image");
        assert_eq!((bare.repository(), bare.digest()), (image.repository(), Some(digest)));
    }
    Ok(())
}

fn allowlist_pattern(input: &[u8]) -> Read {
    let text = text(input)?;
    let pattern = AllowlistPattern::parse(text).map_err(refused)?;
    same(&pattern, pattern.as_str(), AllowlistPattern::parse(pattern.as_str()));
    let literal = text.trim_end_matches('*').trim_end_matches('@');
    pattern.matches(literal);
    assert!(!pattern.matches("elsewhere.example.org/x") || text.starts_with("elsewhere"));
    Ok(())
}

fn allow_pattern(input: &[u8]) -> Read {
    let pattern = AllowPattern::parse(text(input)?).map_err(refused)?;
    same(&pattern, pattern.as_str(), AllowPattern::parse(pattern.as_str()));
    let outside = ImageReference::parse("elsewhere.example.org/x").expect("an image");
    assert!(!pattern.matches(&outside) || pattern.as_str().starts_with("elsewhere"));
    Ok(())
}

fn trusted_directory(input: &[u8]) -> Read {
    let directory = TrustedDirectory::parse(text(input)?).map_err(refused)?;
    same(&directory, directory.as_str(), TrustedDirectory::parse(directory.as_str()));
    let outside = ImageReference::parse("elsewhere.example.org/x").expect("an image");
    assert!(!directory.holds(&outside) || directory.as_str().contains("example.org"));
    Ok(())
}

/// As `:setIamPolicy` has it, in the JSON that Google's API reads.
fn iam_policy(input: &[u8]) -> Read {
    let read = |bytes: &[u8]| {
        let limits = DocumentLimits::DEFAULT;
        let document = Document::from_relaxed_json_bytes(bytes, &limits)?;
        Ok::<_, DocumentError>(resource(document.root(), IamPolicy::from_field)?)
    };
    let policy = read(input).map_err(refused)?;
    let json = policy.to_json().to_string();
    same(&policy, &json, read(json.as_bytes()));
    Ok(())
}

fn occurrence_filter(input: &[u8]) -> Read {
    let scope = OccurrenceScope::Project("p".parse().expect("an id"));
    filter::parse(text(input)?, scope).map(drop).map_err(refused)
}

/// A body of `application/json`, and each line of one of `application/x-ndjson`.
fn decision_request(input: &[u8]) -> Read {
    let mut outcome = Ok(());
    for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let read = hallmark::http::decisions::parse(line);
        if let Ok(request) = &read {
            let images = 1..=Limits::DEFAULT.images_max;
            assert!(images.contains(&request.images.len()));
        }
        let read = read.map(drop).map_err(refused);
        outcome = outcome.and(read);
    }
    outcome
}

/// A log of one file, whatever it holds.
fn audit_log(input: &[u8]) -> Read {
    let dir = tempfile::tempdir().expect("a directory");
    let name = "audit-00000000000000000001.jsonl";
    std::fs::write(dir.path().join(name), input).expect("writes");
    let verified = hallmark::audit::verify::verify(dir.path(), None).map_err(refused)?;
    let lines = input.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(verified.lines, lines, "every whole line was checked");
    Ok(())
}

fn configuration(input: &[u8]) -> Read {
    let file: File = toml::from_str(text(input)?).map_err(refused)?;
    file.resolve(2).map(drop).map_err(refused)
}

fn public_key_info(input: &[u8]) -> Read {
    public_key::judge(input).map(drop).map_err(refused)
}
