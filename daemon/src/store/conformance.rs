//! The answers that every store must give, asked of both: the same resources, the same questions.

use hallmark_core::evaluate::question::Lookup;
use hallmark_core::names::{OccurrenceName, Platform, ProjectId};
use hallmark_core::occurrence::Occurrence;
use hallmark_core::resource::Resource;

use super::evidence::{PAGE_SIGNATURES_MAX, READ_BYTES_MAX};
use super::samples::{
    attestation, attestor, digest, note, platform_policy, policy, unproven, uri, vulnerability,
};
use super::{
    Cursor, EvidencePage, EvidenceQuery, OccurrenceQuery, OccurrenceScope, Store, StoreError, Write,
};
use crate::auth::iam::{IamBinding, IamPolicy, IamResource};

const NOTE: &str = "projects/p/notes/n";
/// In the order of their names.
const PLATFORM_POLICIES: [&str; 4] = [
    "projects/p/platforms/gke/policies/a",
    "projects/p/platforms/gke/policies/b",
    "projects/p-2/platforms/gke/policies/a",
    "projects/only-a-platform-policy/platforms/gke/policies/a",
];
const OTHER_NOTE: &str = "projects/notes-live-here/notes/n";

fn project(id: &str) -> ProjectId {
    id.parse().unwrap()
}

/// One for each kind of resource that has any.
fn iam_policies() -> impl Iterator<Item = (IamResource, IamPolicy)> {
    let resources = [
        IamResource::Policy(project("p")),
        IamResource::Attestor("projects/p/attestors/a".parse().unwrap()),
        IamResource::Note(NOTE.parse().unwrap()),
    ];
    resources.into_iter().map(|resource| {
        let role = "roles/binaryauthorization.policyViewer".to_owned();
        let members = vec![format!("group:of-{}", resource.to_string().len())];
        let bindings = vec![IamBinding { role, members }];
        (resource, IamPolicy { bindings, etag: "AAAA".to_owned() })
    })
}

/// Occurrences in the order of their names.
pub(super) fn occurrences() -> Vec<Occurrence> {
    vec![
        attestation("projects/a/occurrences/of-a-note-elsewhere", NOTE, &uri(1)),
        attestation("projects/p/occurrences/1", NOTE, &uri(1)),
        attestation("projects/p/occurrences/10", NOTE, &format!("https://{}", uri(1))),
        attestation("projects/p/occurrences/2", OTHER_NOTE, &uri(1)),
        attestation("projects/p/occurrences/3", NOTE, &uri(2)),
        attestation("projects/p/occurrences/4-no-digest", NOTE, "gcr.io/p/i:tag"),
        vulnerability("projects/p/occurrences/5", NOTE, &uri(1)),
        vulnerability("projects/p/occurrences/6-no-digest", OTHER_NOTE, "gcr.io/p/i"),
        attestation("projects/p-2/occurrences/1", OTHER_NOTE, &uri(1)),
    ]
}

/// Everything that the suite expects to find.
pub(super) fn resources() -> Vec<Write> {
    let put = |id: &str| {
        let policy = policy("projects/p/attestors/a", "\"1\"");
        Write::replace(Resource::Policy(project(id), policy))
    };
    let mut writes = vec![
        put("p"),
        put("only-a-policy"),
        Write::create(attestor("projects/p/attestors/b", OTHER_NOTE, "\"1\"")),
        Write::create(attestor("projects/p/attestors/a", NOTE, "\"1\"")),
        Write::create(attestor("projects/p-2/attestors/a", NOTE, "\"1\"")),
        Write::create(note(NOTE)),
        Write::create(note(OTHER_NOTE)),
    ];
    writes.extend(PLATFORM_POLICIES.map(|name| Write::create(platform_policy(name, "\"1\""))));
    let iam = iam_policies().map(|(resource, policy)| Write::put_iam_policy(resource, policy));
    writes.extend(iam);
    // Written in another order than they are listed in.
    writes.extend(occurrences().into_iter().rev().map(|one| unproven(vec![one])));
    writes
}

/// The suite. `store` holds [`resources`].
pub(super) fn check(store: &dyn Store) {
    projects_and_what_they_hold(store);
    single_resources(store);
    evidence(store);
    evidence_of_projects(store);
    platform_policies(store);
    for (resource, policy) in iam_policies() {
        assert_eq!(store.iam_policy(&resource), Ok(Some(policy)), "{resource}");
    }
    let none = IamResource::Policy(project("only-a-policy"));
    assert_eq!(store.iam_policy(&none), Ok(None));
    listings(store);
    pages(store);
}

fn projects_and_what_they_hold(store: &dyn Store) {
    let expected = ["a", "notes-live-here", "only-a-platform-policy", "only-a-policy", "p", "p-2"]
        .map(project);
    let all = store.load_all().unwrap();
    assert!(all.iter().map(|(name, _)| name).eq(&expected), "{all:?}");
    for (name, resources) in &all {
        assert_eq!(store.project(name).as_ref(), Ok(resources));
    }

    let p = store.project(&project("p")).unwrap();
    assert_eq!(p.policy, Some(policy("projects/p/attestors/a", "\"1\"")));
    let attestors = [
        attestor("projects/p/attestors/a", NOTE, "\"1\""),
        attestor("projects/p/attestors/b", OTHER_NOTE, "\"1\""),
    ];
    assert_eq!(p.attestors, attestors);
    assert!(p.known);

    for (id, known) in [
        ("a", true),
        ("notes-live-here", true),
        ("only-a-platform-policy", true),
        ("only-a-policy", true),
        ("nobody", false),
        ("p-", false),
    ] {
        assert_eq!(store.project(&project(id)).unwrap().known, known, "{id}");
    }
}

fn single_resources(store: &dyn Store) {
    assert_eq!(store.note(&NOTE.parse().unwrap()), Ok(Some(note(NOTE))));
    assert_eq!(store.note(&"projects/p/notes/none".parse().unwrap()), Ok(None));
    assert_eq!(store.notes(&project("p"), None, 10), Ok(vec![note(NOTE)]));
    assert_eq!(store.notes(&project("p"), None, 0), Ok(vec![]));
    assert_eq!(store.notes(&project("p"), Some(&NOTE.parse().unwrap()), 10), Ok(vec![]));
    assert_eq!(store.notes(&project("nobody"), None, 10), Ok(vec![]));
    for occurrence in occurrences() {
        assert_eq!(store.occurrence(&occurrence.name), Ok(Some(occurrence)));
    }
    assert_eq!(store.occurrence(&"projects/p/occurrences/none".parse().unwrap()), Ok(None));
}

/// The next page of a lookup: the names on it, and where to go on.
fn page(store: &dyn Store, lookup: &Lookup, from: Cursor) -> (Vec<String>, Option<Cursor>) {
    let query = EvidenceQuery { from, ..EvidenceQuery::of(lookup.clone()) };
    let mut pages = store.evidence(&[query]).unwrap();
    let page = pages.pop().unwrap();
    let names = page.attestations.iter().map(|found| found.occurrence.to_string());
    (names.collect(), page.next)
}

/// The names on all pages of each lookup, read together.
fn found(store: &dyn Store, lookups: &[Lookup]) -> Vec<Vec<String>> {
    let query = |lookup: &Lookup| EvidenceQuery::of(lookup.clone());
    let pages = store.evidence(&lookups.iter().map(query).collect::<Vec<_>>()).unwrap();
    let whole = |(lookup, first): (&Lookup, EvidencePage)| {
        let names = first.attestations.iter().map(|found| found.occurrence.to_string());
        let mut names: Vec<_> = names.collect();
        let mut next = first.next;
        while let Some(from) = next {
            let more;
            (more, next) = page(store, lookup, from);
            names.extend(more);
        }
        names
    };
    assert_eq!(pages.len(), lookups.len());
    lookups.iter().zip(pages).map(whole).collect()
}

fn under(note: &str, seed: u8) -> Lookup {
    Lookup::UnderNote(note.parse().unwrap(), digest(seed))
}

fn evidence(store: &dyn Store) {
    let wanted = [under(NOTE, 1), under(NOTE, 9), under(OTHER_NOTE, 1), under(NOTE, 2)];
    let of_note_1 = [
        "projects/a/occurrences/of-a-note-elsewhere",
        "projects/p/occurrences/1",
        "projects/p/occurrences/10",
    ];
    let of_other = ["projects/p/occurrences/2", "projects/p-2/occurrences/1"];
    let expected = [of_note_1.as_slice(), &[], &of_other, &["projects/p/occurrences/3"]];
    assert_eq!(found(store, &wanted), expected);

    let query = EvidenceQuery::of(under(NOTE, 2));
    let pages = store.evidence(&[query]).unwrap();
    let expected = occurrences()[4].attestation.clone().unwrap();
    let read = &pages[0].attestations[0];
    assert_eq!((&read.payload, &read.signatures), (&expected.payload, &expected.signatures));
    assert_eq!(read.first_signature, 0);
}

/// As many attestations of one digest as fill several pages, and a few that fill one read by their
/// bytes.
pub(super) fn many() -> Vec<Occurrence> {
    let small = (0..2_500).map(|number| {
        attestation(&format!("projects/many/occurrences/{number:04}"), NOTE, &uri(7))
    });
    let large = (0..5).map(|number| {
        let name = format!("projects/many/occurrences/large-{number}");
        let mut one = attestation(&name, NOTE, &uri(8));
        let body = one.attestation.as_mut().unwrap();
        body.signatures[0].signature = vec![7; READ_BYTES_MAX / 4].into();
        one.json.remove("attestation");
        one
    });
    small.chain(large).collect()
}

/// Checks the answers for [`many`], beside [`resources`].
pub(super) fn check_many(store: &dyn Store) {
    let all: Vec<_> = many().iter().map(|one| one.name.to_string()).collect();
    let in_project = |seed| Lookup::InProject(project("many"), digest(seed));
    for lookup in [under(NOTE, 7), in_project(7)] {
        let (first, next) = page(store, &lookup, Cursor::default());
        assert_eq!(first.len(), PAGE_SIGNATURES_MAX / 2, "of two signatures each");
        assert!(next.is_some());
        assert_eq!(found(store, &[lookup]), [all[..2_500].to_vec()]);
    }
    let (first, next) = page(store, &under(NOTE, 8), Cursor::default());
    assert_eq!((first.len(), next.is_some()), (4, true), "a read has so many bytes");
    let both = [under(NOTE, 8), under(NOTE, 7), in_project(8)];
    let expected = [&all[2_500..], &all[..2_500], &all[2_500..]];
    assert_eq!(found(store, &both), expected, "what has no room comes later");
}

fn query(scope: OccurrenceScope) -> OccurrenceQuery {
    OccurrenceQuery { scope, resource_uri: None, resource_uri_suffix: None, kind: None, note: None }
}

fn of_project() -> OccurrenceQuery {
    query(OccurrenceScope::Project(project("p")))
}

fn of_note() -> OccurrenceQuery {
    query(OccurrenceScope::Note(NOTE.parse().unwrap()))
}

fn assert_lists(store: &dyn Store, query: &OccurrenceQuery, positions: &[usize]) {
    let all = occurrences();
    let expected: Vec<_> = positions.iter().map(|position| all[*position].clone()).collect();
    assert_eq!(store.occurrences(query, None, 100), Ok(expected), "{query:?}");
}

fn evidence_of_projects(store: &dyn Store) {
    let wanted = [("p", 1), ("a", 1), ("p-2", 1), ("p", 2), ("p", 9), ("nobody", 1)];
    let wanted = wanted.map(|(id, seed)| Lookup::InProject(project(id), digest(seed)));
    let mut names = found(store, &wanted);
    // Of several notes; which comes first is not said.
    names.iter_mut().for_each(|names| names.sort());
    let of_p: Vec<_> = ["1", "10", "2"].map(|id| format!("projects/p/occurrences/{id}")).into();
    assert_eq!(names[0], of_p);
    assert_eq!(names[1], ["projects/a/occurrences/of-a-note-elsewhere"]);
    assert_eq!(names[2], ["projects/p-2/occurrences/1"]);
    assert_eq!(names[3], ["projects/p/occurrences/3"]);
    assert_eq!((names[4].len(), names[5].len()), (0, 0));
}

fn platform_policies(store: &dyn Store) {
    let list = |after: Option<&str>, limit| {
        let after = after.map(|name| name.parse().unwrap());
        let found =
            store.platform_policies(&project("p"), Platform::Gke, after.as_ref(), limit).unwrap();
        found.iter().map(|policy| policy.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10), PLATFORM_POLICIES[..2]);
    assert_eq!(list(None, 1), PLATFORM_POLICIES[..1]);
    assert_eq!(list(Some(PLATFORM_POLICIES[0]), 10), PLATFORM_POLICIES[1..2]);
    let cloud_run = store.platform_policies(&project("p"), Platform::CloudRun, None, 10);
    assert_eq!(cloud_run, Ok(vec![]));
    for name in PLATFORM_POLICIES {
        let found = store.platform_policy(&name.parse().unwrap());
        assert_eq!(found, Ok(Some(platform_policy(name, "\"1\""))));
    }
    let none = "projects/p/platforms/cloudRun/policies/a".parse().unwrap();
    assert_eq!(store.platform_policy(&none), Ok(None));
}

fn listings(store: &dyn Store) {
    let suffix = || Some(digest(1).to_string());
    assert_lists(store, &of_project(), &[1, 2, 3, 4, 5, 6, 7]);
    assert_lists(store, &of_note(), &[0, 1, 2, 4, 5, 6]);
    assert_lists(
        store,
        &OccurrenceQuery { resource_uri_suffix: suffix(), ..of_project() },
        &[1, 2, 3, 6],
    );
    assert_lists(
        store,
        &OccurrenceQuery { resource_uri_suffix: suffix(), ..of_note() },
        &[0, 1, 2, 6],
    );
    assert_lists(
        store,
        &OccurrenceQuery { resource_uri_suffix: Some("tag".into()), ..of_project() },
        &[5],
    );
    assert_lists(
        store,
        &OccurrenceQuery { kind: Some("VULNERABILITY".into()), ..of_project() },
        &[6, 7],
    );
    assert_lists(
        store,
        &OccurrenceQuery { note: Some(OTHER_NOTE.parse().unwrap()), ..of_project() },
        &[3, 7],
    );
    assert_lists(
        store,
        &OccurrenceQuery { note: Some(OTHER_NOTE.parse().unwrap()), ..of_note() },
        &[],
    );
    for uri in [uri(1), format!("https://{}", uri(1))] {
        let by_uri = OccurrenceQuery { resource_uri: Some(uri), ..of_project() };
        assert_lists(store, &by_uri, &[1, 2, 3, 6]);
        assert_lists(
            store,
            &OccurrenceQuery { kind: Some("ATTESTATION".into()), ..by_uri },
            &[1, 2, 3],
        );
    }
    let other_repository = format!("elsewhere/web@{}", digest(1));
    assert_lists(
        store,
        &OccurrenceQuery { resource_uri: Some(other_repository), ..of_project() },
        &[],
    );
    assert_lists(store, &query(OccurrenceScope::Project(project("nobody"))), &[]);
}

fn pages(store: &dyn Store) {
    for query in [
        of_project(),
        of_note(),
        OccurrenceQuery { resource_uri_suffix: Some(digest(1).to_string()), ..of_note() },
    ] {
        let whole = store.occurrences(&query, None, 100).unwrap();
        for size in 1..4 {
            let mut pages: Vec<Occurrence> = Vec::new();
            loop {
                let after: Option<OccurrenceName> = pages.last().map(|last| last.name.clone());
                let page = store.occurrences(&query, after.as_ref(), size).unwrap();
                assert!(page.len() <= size);
                if page.is_empty() {
                    break;
                }
                pages.extend(page);
            }
            assert_eq!(pages, whole, "{query:?} in pages of {size}");
        }
    }
}

/// Every write is refused with [`StoreError::ReadOnly`].
pub(super) fn check_read_only(store: &dyn Store) {
    assert!(store.read_only());
    for write in resources() {
        assert_eq!(store.apply(write), Err(StoreError::ReadOnly));
    }
}
