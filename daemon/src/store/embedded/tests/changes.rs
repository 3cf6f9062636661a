//! Changing and deleting notes and occurrences, and IAM policies.

use hallmark_core::names::AttestorName;
use hallmark_core::names::PlatformPolicyName;

use super::*;
use crate::auth::iam::{IamBinding, IamPolicy, IamResource};
use crate::store::samples::named;
use crate::store::samples::{attestation, attestor, digest, note, platform_policy, unproven, uri};

const NOTE: &str = "projects/p/notes/n";
const ATTESTOR: &str = "projects/p/attestors/a";
const OCCURRENCE: &str = "projects/p/occurrences/o";

fn missing(name: &str) -> Result<Option<String>, StoreError> {
    Err(StoreError::NotFound(named(name)))
}

fn evidence(store: &EmbeddedStore, byte: u8) -> usize {
    super::evidence(store, NOTE, digest(byte)).len()
}

#[test]
fn notes_are_created_together_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let names = ["projects/p/notes/m", NOTE];
    let both = || Write::create_all(names.map(note).to_vec());
    assert_eq!(store.apply(Write::replace(note(NOTE))), missing(NOTE));
    assert_eq!(store.apply(Write::delete(NOTE.parse::<NoteName>().unwrap())), missing(NOTE));
    store.apply(Write::create(note(NOTE))).unwrap();
    assert_eq!(store.apply(both()), Err(StoreError::AlreadyExists(named(NOTE))));
    assert_eq!(store.note(&names[0].parse().unwrap()), Ok(None), "all or none");
    let mut changed = note(NOTE);
    changed.json.insert("shortDescription".to_owned(), "changed".into());
    store.apply(Write::replace(changed.clone())).unwrap();
    assert_eq!(store.note(&changed.name), Ok(Some(changed)));
    store.apply(Write::delete(NOTE.parse::<NoteName>().unwrap())).unwrap();
    store.apply(both()).unwrap();
    assert_eq!(store.notes(&"p".parse().unwrap(), None, 10), Ok(names.map(note).to_vec()));
}

#[test]
fn a_deleted_note_takes_its_evidence_out_of_force() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(Write::create(note(NOTE))).unwrap();
    store.apply(unproven(vec![attestation(OCCURRENCE, NOTE, &uri(1))])).unwrap();
    assert_eq!(evidence(&store, 1), 1);
    store.apply(Write::delete(NOTE.parse::<NoteName>().unwrap())).unwrap();
    assert_eq!(evidence(&store, 1), 0);
    assert!(store.occurrence(&OCCURRENCE.parse().unwrap()).unwrap().is_some());
    assert_consistent(&store);
}

#[test]
fn a_changed_occurrence_is_filed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(Write::create(note(NOTE))).unwrap();
    let (before, after) =
        (attestation(OCCURRENCE, NOTE, &uri(1)), attestation(OCCURRENCE, NOTE, &uri(2)));
    assert_eq!(store.apply(Write::replace(before.clone())), missing(OCCURRENCE));
    store.apply(unproven(vec![before])).unwrap();
    store.apply(Write::replace(after.clone())).unwrap();
    assert_eq!((evidence(&store, 1), evidence(&store, 2)), (0, 1));
    assert_eq!(store.occurrence(&after.name), Ok(Some(after)));
    assert_consistent(&store);
}

#[test]
fn an_iam_policy_is_kept_until_its_resource_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let policy = |etag: &str| IamPolicy {
        bindings: vec![IamBinding { role: "roles/r".into(), members: vec!["user:u".into()] }],
        etag: etag.to_owned(),
    };
    let put = |resource: &IamResource, etag: &str, expected: Option<&str>| {
        let expected_etag = expected.map(str::to_owned);
        let write = Write::put_iam_policy(resource.clone(), policy(etag));
        store.apply(write.given_etag(expected_etag))
    };
    let attestor_iam = IamResource::Attestor(ATTESTOR.parse().unwrap());
    let note_iam = IamResource::Note(NOTE.parse().unwrap());
    let policy_iam = IamResource::Policy("p".parse().unwrap());
    store.apply(Write::create(attestor(ATTESTOR, NOTE, "1"))).unwrap();
    store.apply(Write::create(note(NOTE))).unwrap();
    for resource in [&attestor_iam, &note_iam, &policy_iam] {
        assert_eq!(store.iam_policy(resource), Ok(None));
        put(resource, "1", Some("")).unwrap();
        let stale = StoreError::EtagMismatch { name: resource.clone().into(), current: "1".into() };
        assert_eq!(put(resource, "2", Some("0")), Err(stale));
        put(resource, "2", Some("1")).unwrap();
        assert_eq!(store.iam_policy(resource), Ok(Some(policy("2"))));
    }
    store.apply(Write::delete(ATTESTOR.parse::<AttestorName>().unwrap())).unwrap();
    store.apply(Write::delete(NOTE.parse::<NoteName>().unwrap())).unwrap();
    assert_eq!(store.iam_policy(&attestor_iam), Ok(None));
    assert_eq!(store.iam_policy(&note_iam), Ok(None));
    assert_eq!(store.iam_policy(&policy_iam), Ok(Some(policy("2"))));
    assert!(!store.project(&"p".parse().unwrap()).unwrap().known, "an IAM policy makes no project");
}

#[test]
fn a_platform_policy_is_replaced_and_deleted_by_its_etag() {
    const POLICY: &str = "projects/p/platforms/gke/policies/a";
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let name = || POLICY.parse::<PlatformPolicyName>().unwrap();
    let replace = |etag: &str, expected: Option<&str>| {
        let expected_etag = expected.map(str::to_owned);
        let policy = platform_policy(POLICY, etag);
        store.apply(Write::replace(policy).given_etag(expected_etag))
    };
    let delete = |expected: Option<&str>| {
        let expected_etag = expected.map(str::to_owned);
        store.apply(Write::delete(name()).given_etag(expected_etag))
    };
    let stale = Err(StoreError::EtagMismatch { name: named(POLICY), current: "2".into() });
    assert_eq!(replace("1", None), missing(POLICY));
    assert_eq!(delete(None), missing(POLICY));
    let create = || store.apply(Write::create(platform_policy(POLICY, "1")));
    create().unwrap();
    assert_eq!(create(), Err(StoreError::AlreadyExists(named(POLICY))));
    replace("2", Some("1")).unwrap();
    assert_eq!(replace("3", Some("1")), stale);
    assert_eq!(delete(Some("1")), stale);
    assert_eq!(store.platform_policy(&name()), Ok(Some(platform_policy(POLICY, "2"))));
    delete(Some("2")).unwrap();
    assert_eq!(store.platform_policy(&name()), Ok(None));
}
