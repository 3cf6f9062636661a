use std::thread;

use hallmark_core::names::AttestorName;
use hallmark_core::resource::Resource;

use super::super::tables::{ATTESTORS, POLICIES, key, project_key};
use super::*;
use crate::store::samples::named;
use crate::store::samples::{
    attestation, attestor, digest, note, policy, unproven, uri, vulnerability,
};

const ATTESTOR: &str = "projects/p/attestors/a";
const NOTE: &str = "projects/p/notes/n";

fn put(etag: &str, expected: Option<&str>) -> Write {
    let policy = Resource::Policy("p".parse().unwrap(), policy(ATTESTOR, etag));
    Write::replace(policy).given_etag(expected.map(str::to_owned))
}

fn update(etag: &str, expected: Option<&str>) -> Write {
    let attestor = attestor(ATTESTOR, NOTE, etag);
    Write::replace(attestor).given_etag(expected.map(str::to_owned))
}

fn mismatch(name: &str, current: &str) -> Result<Option<String>, StoreError> {
    Err(StoreError::EtagMismatch { name: named(name), current: current.to_owned() })
}

#[test]
fn an_etag_that_is_no_longer_current_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.apply(put("1", Some("0"))), mismatch("projects/p/policy", ""));
    assert_eq!(store.apply(put("1", None)), Ok(None));
    assert_eq!(store.apply(put("2", Some("0"))), mismatch("projects/p/policy", "1"));
    assert_eq!(store.apply(put("2", Some("1"))), Ok(Some("1".to_owned())));
    assert_eq!(store.apply(update("1", None)), Err(StoreError::NotFound(named(ATTESTOR))));
    assert_eq!(store.apply(Write::create(attestor(ATTESTOR, NOTE, "1"))), Ok(None));
    assert_eq!(store.apply(update("2", Some("0"))), mismatch(ATTESTOR, "1"));
    assert_eq!(store.apply(update("2", Some("1"))), Ok(Some("1".to_owned())));
    let project = store.project(&"p".parse().unwrap()).unwrap();
    assert_eq!(project.policy.unwrap().etag, "2");
    assert_eq!(project.attestors, [attestor(ATTESTOR, NOTE, "2")]);
}

#[test]
fn a_taken_name_and_a_missing_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let taken = |name: &str| Err(StoreError::AlreadyExists(named(name)));
    let missing = |name: &str| Err(StoreError::NotFound(named(name)));
    let occurrence = "projects/p/occurrences/o";
    let delete = || Write::delete(occurrence.parse::<OccurrenceName>().unwrap());
    assert_eq!(
        store.apply(Write::delete(ATTESTOR.parse::<AttestorName>().unwrap())),
        missing(ATTESTOR)
    );
    assert_eq!(store.apply(delete()), missing(occurrence));
    for (write, name) in [
        (Write::create(attestor(ATTESTOR, NOTE, "1")), ATTESTOR),
        (Write::create(note(NOTE)), NOTE),
        (unproven(vec![attestation(occurrence, NOTE, &uri(1))]), occurrence),
    ] {
        assert_eq!(store.apply(write.clone()), Ok(None));
        assert_eq!(store.apply(write), taken(name));
    }
    assert_eq!(
        store.apply(Write::delete(ATTESTOR.parse::<AttestorName>().unwrap())),
        Ok(Some("1".to_owned()))
    );
    assert_eq!(store.project(&"p".parse().unwrap()).unwrap().attestors, []);
    assert_eq!(store.apply(delete()), Ok(None));
    assert_eq!(store.apply(delete()), missing(occurrence));
}

#[test]
fn a_batch_is_created_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(Write::create(note(NOTE))).unwrap();
    let one = |id: &str| attestation(&format!("projects/p/occurrences/{id}"), NOTE, &uri(1));
    assert_eq!(store.apply(unproven(vec![one("b")])), Ok(None));
    for batch in [vec![one("a"), one("b")], vec![one("c"), one("d"), one("c")]] {
        let refused = store.apply(unproven(batch));
        assert!(matches!(refused, Err(StoreError::AlreadyExists(_))), "{refused:?}");
    }
    assert_eq!(evidence(&store, NOTE, digest(1)).len(), 1);
    assert_consistent(&store);
}

#[test]
fn a_deleted_occurrence_is_gone_from_every_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for write in conformance::resources() {
        store.apply(write).unwrap();
    }
    let mut apart = vulnerability("projects/p/occurrences/apart", NOTE, &uri(3));
    apart.digest = Some(digest(4));
    store.apply(unproven(vec![apart.clone()])).unwrap();
    let mut all = conformance::occurrences();
    all.push(apart);
    while let Some(occurrence) = all.pop() {
        store.apply(Write::delete(occurrence.name.clone())).unwrap();
        assert_eq!(store.occurrence(&occurrence.name), Ok(None));
        assert_consistent(&store);
    }
    assert_eq!(evidence(&store, NOTE, digest(1)), []);
}

#[test]
fn of_many_writers_of_one_name_exactly_one_wins_and_none_spoils_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(Write::create(note(NOTE))).unwrap();
    let contested = attestation("projects/p/occurrences/contested", NOTE, &uri(1));
    let results: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..32)
            .map(|writer| {
                let (store, contested) = (&store, contested.clone());
                scope.spawn(move || {
                    let own =
                        attestation(&format!("projects/p/occurrences/{writer}"), NOTE, &uri(2));
                    store.apply(unproven(vec![own.clone()])).unwrap();
                    // A write that was acknowledged is read at once.
                    assert_eq!(store.occurrence(&own.name), Ok(Some(own)));
                    store.apply(unproven(vec![contested]))
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(evidence(&store, NOTE, digest(2)).len(), 32);
    assert_consistent(&store);
}

#[test]
fn every_form_of_attestor_and_policy_comes_back() {
    use hallmark_core::attestor::{KeyMaterial, PublicKey, SignatureAlgorithm};
    use hallmark_core::policy::{EvaluationMode, GlobalPolicyEvaluationMode, SpecificRules};
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let project = "p".parse().unwrap();
    let mut all_keys = attestor(ATTESTOR, NOTE, "1");
    let key = |material| PublicKey { comment: String::new(), id: None, material };
    all_keys.public_keys = SignatureAlgorithm::all()
        .map(|signature_algorithm| {
            key(KeyMaterial::Pkix { public_key_pem: "PEM".to_owned(), signature_algorithm })
        })
        .chain([
            key(KeyMaterial::Pgp { ascii_armored: "ARMOR\n".to_owned() }),
            key(KeyMaterial::Reference),
        ])
        .collect();
    store.apply(Write::create(all_keys.clone())).unwrap();
    assert_eq!(store.project(&project).unwrap().attestors, [all_keys]);

    let sample = policy(ATTESTOR, "1");
    let mut deny = sample.default_admission_rule.clone();
    deny.evaluation = EvaluationMode::AlwaysDeny;
    let rules = || [("key".to_owned(), deny.clone())].into();
    for specific_rules in [
        SpecificRules::None,
        SpecificRules::Cluster(rules()),
        SpecificRules::KubernetesNamespace(rules()),
        SpecificRules::KubernetesServiceAccount(rules()),
        SpecificRules::IstioServiceIdentity(rules()),
    ] {
        for global in [GlobalPolicyEvaluationMode::Unspecified, GlobalPolicyEvaluationMode::Disable]
        {
            let mut policy = sample.clone();
            policy.specific_rules = specific_rules.clone();
            policy.global_policy_evaluation_mode = global;
            let write = Write::replace(Resource::Policy(project.clone(), policy.clone()));
            store.apply(write).unwrap();
            assert_eq!(store.project(&project).unwrap().policy, Some(policy));
        }
    }
}

#[test]
fn a_damaged_record_is_an_error_of_that_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(put("1", None)).unwrap();
    store.apply(Write::create(note(NOTE))).unwrap();
    drop(store);
    let database = redb::Database::open(dir.path().join("hallmark.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let key = project_key(&"p".parse().unwrap());
    // Requiring the attestation of nobody would allow everything.
    let record = br#"{"etag":"1","description":"","global":"enable","patterns":[],"default":
        {"evaluation":{"require_attestation":[]},"enforced":true},"specific":"none","update_time":""}"#;
    transaction.open_table(POLICIES).unwrap().insert(key.as_slice(), record.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = open(dir.path());
    let error = store.project(&"p".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("a stored record is damaged"), "{error}");
    assert_eq!(store.note(&NOTE.parse().unwrap()), Ok(Some(note(NOTE))));
    assert_eq!(
        store.apply(put("2", None)),
        Ok(Some("1".to_owned())),
        "a new policy takes the place of a damaged one"
    );
    assert_eq!(store.project(&"p".parse().unwrap()).unwrap().policy.unwrap().etag, "2");
}

#[test]
fn a_write_that_meets_a_damaged_record_spoils_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(Write::create(attestor(ATTESTOR, NOTE, "1"))).unwrap();
    drop(store);
    let database = redb::Database::open(dir.path().join("hallmark.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let name: AttestorName = ATTESTOR.parse().unwrap();
    let key = key(name.project(), name.id());
    transaction.open_table(ATTESTORS).unwrap().insert(key.as_slice(), b"{".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = open(dir.path());
    thread::scope(|scope| {
        for writer in 0..16 {
            let store = &store;
            scope.spawn(move || {
                let refused = store.apply(update("2", Some("1")));
                assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
                let own = attestation(&format!("projects/p/occurrences/{writer}"), NOTE, &uri(1));
                assert_eq!(store.apply(unproven(vec![own])), Ok(None));
            });
        }
    });
}
