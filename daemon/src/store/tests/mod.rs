//! The same question has the same answer from every store: each read in each state, held against a
//! model without an index.

mod model;

use hallmark_core::evaluate::question::Lookup;
use hallmark_core::names::AttestorName;
use hallmark_core::names::{NoteName, Platform, ProjectId};
use hallmark_core::occurrence::{Attestation, Occurrence};

use self::model::Model;
use super::samples::{attestation, attestor, digest, note, unproven, uri, vulnerability};
use super::{Cursor, EvidenceQuery, OccurrenceQuery, OccurrenceScope, Store, Write, conformance};
use crate::auth::iam::IamResource;

const PROJECTS: [&str; 8] =
    ["a", "notes-live-here", "only-a-platform-policy", "only-a-policy", "p", "p-2", "p-", "nobody"];
const NOTES: [&str; 5] = [
    "projects/p/notes/n",
    "projects/p/notes/vulnerable",
    "projects/notes-live-here/notes/n",
    "projects/p/notes/none",
    "projects/p-2/notes/n",
];

/// The writes made, and the model of what must be read then.
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) writes: Vec<Write>,
    pub(super) model: Model,
}

/// The states of a store in which reads could differ.
pub(super) fn states() -> Vec<State> {
    let none = || Write::delete(NOTES[0].parse::<NoteName>().unwrap());
    let all_notes = || [0, 1, 2].map(|i| Write::delete(NOTES[i].parse::<NoteName>().unwrap()));
    let attestors =
        ["projects/p/attestors/a", "projects/p/attestors/b", "projects/p-2/attestors/a"]
            .map(|name| Write::delete(name.parse::<AttestorName>().unwrap()));
    let occurrences = || conformance::occurrences().into_iter();
    let gone = occurrences().map(|one| Write::delete(one.name));
    let resigned = occurrences().filter(|one| one.attestation.is_some()).map(|mut one| {
        let body = one.attestation.as_mut().unwrap();
        body.signatures.pop();
        let kept = one.json["attestation"]["signatures"].as_array_mut().unwrap();
        kept.pop();
        Write::replace(one)
    });
    let mut other_kind = note(NOTES[0]);
    other_kind.json.insert("kind".into(), "VULNERABILITY".into());
    other_kind.json.insert("vulnerability".into(), serde_json::json!({}));
    other_kind.json.remove("attestation");
    let unsigned = attestor("projects/p/attestors/a", NOTES[3], "\"2\"");
    [
        ("nothing is changed", vec![]),
        ("a note is missing", vec![none()]),
        ("all notes are missing", all_notes().into()),
        ("a note is back", vec![none(), Write::create(note(NOTES[0]))]),
        ("a note is back as one of another kind", vec![none(), Write::create(other_kind)]),
        ("all attestors are missing", attestors.into()),
        ("an attestor looks under a note that is missing", vec![Write::replace(unsigned)]),
        ("all occurrences are missing", gone.collect()),
        ("all attestations have other signatures", resigned.collect()),
    ]
    .map(|(name, changes)| State::new(name, changes))
    .into_iter()
    .chain([State { name: "nothing was ever written", writes: vec![], model: Model::default() }])
    .collect()
}

impl State {
    fn new(name: &'static str, changes: Vec<Write>) -> Self {
        let mut writes = conformance::resources();
        let odd = format!("gcr.io/p/i:{}", digest(1));
        writes.extend([
            Write::create(note(NOTES[1])),
            unproven(vec![
                // In files they may be of any kind of note; in a database since before it was checked.
                attestation("projects/p/occurrences/7", NOTES[1], &uri(1)),
                vulnerability("projects/p/occurrences/8", NOTES[1], &uri(2)),
                attestation("projects/p-2/occurrences/0", NOTES[0], &uri(1)),
                Occurrence {
                    digest: None,
                    ..attestation("projects/p/occurrences/digest-of-no-reference", NOTES[0], &odd)
                },
            ]),
        ]);
        writes.extend(changes);
        let model = Model::of(&writes);
        Self { name, writes, model }
    }

    /// Asks `store` everything that the model knows, and more.
    pub(super) fn check(&self, store: &dyn Store) {
        let check = Check { state: self.name, expected: &self.model, found: store };
        check.projects();
        check.notes();
        check.evidence();
        check.platform_policies();
        check.occurrences();
    }
}

struct Check<'a> {
    state: &'a str,
    expected: &'a Model,
    found: &'a dyn Store,
}

impl Check<'_> {
    /// Asks both the same.
    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, ask: impl Fn(&dyn Store) -> T) {
        let (expected, found) = (ask(self.expected), ask(self.found));
        assert_eq!(found, expected, "{what} where {}", self.state);
    }

    fn projects(&self) {
        self.same("projects", |store| store.load_all());
        for project in PROJECTS.map(id) {
            self.same(&format!("project {project}"), |store| store.project(&project));
            let attestor = format!("projects/{project}/attestors/a").parse().unwrap();
            for of in [IamResource::Policy(project), IamResource::Attestor(attestor)] {
                self.same(&format!("IAM policy of {of}"), |store| store.iam_policy(&of));
            }
        }
    }

    fn notes(&self) {
        for name in NOTES.map(|name| name.parse::<NoteName>().unwrap()) {
            self.same(&name.to_string(), |store| store.note(&name));
            let of = IamResource::Note(name.clone());
            self.same(&format!("IAM policy of {of}"), |store| store.iam_policy(&of));
            for project in PROJECTS.map(id) {
                for limit in [0, 1, 10] {
                    let what = format!("{limit} notes of {project} after {name}");
                    self.same(&what, |store| store.notes(&project, Some(&name), limit));
                    self.same(&what, |store| store.notes(&project, None, limit));
                }
            }
        }
    }

    fn evidence(&self) {
        let digests = [1, 2, 9].map(digest);
        let under = NOTES.map(|note| note.parse::<NoteName>().unwrap()).into_iter();
        let under =
            under.flat_map(|note| digests.map(|digest| Lookup::UnderNote(note.clone(), digest)));
        let within = PROJECTS.map(id).into_iter();
        let within = within
            .flat_map(|project| digests.map(|digest| Lookup::InProject(project.clone(), digest)));
        for lookup in under.chain(within) {
            self.same(&format!("{lookup:?}"), |store| all_pages(store, &lookup));
        }
    }

    fn platform_policies(&self) {
        for project in PROJECTS.map(id) {
            for platform in Platform::ALL {
                for after in [None, Some("a"), Some("b"), Some("none")] {
                    let after = after.map(|after| {
                        let name =
                            format!("projects/{project}/platforms/{platform}/policies/{after}");
                        name.parse().unwrap()
                    });
                    for limit in [0, 1, 10] {
                        let what = format!("{platform} policies of {project} after {after:?}");
                        self.same(&what, |store| {
                            store.platform_policies(&project, platform, after.as_ref(), limit)
                        });
                    }
                    if let Some(name) = &after {
                        self.same(&name.to_string(), |store| store.platform_policy(name));
                    }
                }
            }
        }
    }

    fn occurrences(&self) {
        let more = ["7", "8", "none"].map(|id| format!("projects/p/occurrences/{id}").parse());
        let names = conformance::occurrences().into_iter().map(|one| one.name);
        for name in names.chain(more.map(Result::unwrap)) {
            self.same(&name.to_string(), |store| store.occurrence(&name));
        }
        for query in queries() {
            self.same(&format!("{query:?}"), |store| store.occurrences(&query, None, 100));
            if query.kind.is_none() && query.note.is_none() {
                self.pages(&query);
            }
        }
    }

    /// Pages that begin after every name there is, of this project or another.
    fn pages(&self, query: &OccurrenceQuery) {
        let names = ["projects/a/occurrences/of-a-note-elsewhere", "projects/p/occurrences/1"];
        let more =
            ["projects/p/occurrences/4", "projects/p-2/occurrences/1", "projects/z/occurrences/z"];
        for after in names.into_iter().chain(more) {
            let name = after.parse().unwrap();
            for limit in [0, 1, 2, 100] {
                let what = format!("{limit} after {after} of {query:?}");
                self.same(&what, |store| store.occurrences(query, Some(&name), limit));
            }
        }
    }
}

fn id(project: &str) -> ProjectId {
    project.parse().unwrap()
}

fn query(scope: OccurrenceScope) -> OccurrenceQuery {
    OccurrenceQuery { scope, resource_uri: None, resource_uri_suffix: None, kind: None, note: None }
}

/// Every scope × what is asked of the resource × kind × note.
fn queries() -> Vec<OccurrenceQuery> {
    let projects = PROJECTS.map(|project| OccurrenceScope::Project(id(project)));
    let notes = NOTES.map(|note| OccurrenceScope::Note(note.parse().unwrap()));
    let one = digest(1).to_string();
    let resources = [
        (None, None),
        (Some(uri(1)), None),
        (Some(format!("https://{}", uri(1))), None),
        (Some(format!("elsewhere/web@{one}")), None),
        (Some(format!("gcr.io/p/i:{one}")), None),
        (Some("gcr.io/p/i:tag".to_owned()), None),
        (None, Some(one.clone())),
        (None, Some(format!("web@{one}"))),
        (None, Some(one.to_uppercase())),
        (None, Some(one[20..].to_owned())),
        (None, Some("tag".to_owned())),
        (Some(uri(1)), Some(digest(2).to_string())),
    ];
    let mut queries = Vec::new();
    for scope in projects.into_iter().chain(notes) {
        for (resource_uri, resource_uri_suffix) in &resources {
            for kind in [None, Some("ATTESTATION"), Some("VULNERABILITY"), Some("BUILD")] {
                for note in [None, Some(NOTES[0]), Some(NOTES[2]), Some(NOTES[3])] {
                    queries.push(OccurrenceQuery {
                        resource_uri: resource_uri.clone(),
                        resource_uri_suffix: resource_uri_suffix.clone(),
                        kind: kind.map(str::to_owned),
                        note: note.map(|note| note.parse().unwrap()),
                        ..query(scope.clone())
                    });
                }
            }
        }
    }
    queries
}

/// All that a lookup finds, in the order of names: pages come in the order of the store.
fn all_pages(store: &dyn Store, lookup: &Lookup) -> Vec<Attestation> {
    let (mut found, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let query = EvidenceQuery { from, ..EvidenceQuery::of(lookup.clone()) };
        let page = store.evidence(&[query]).unwrap().pop().unwrap();
        found.extend(page.attestations);
        next = page.next;
    }
    found.sort_by(|one, other| one.occurrence.cmp(&other.occurrence));
    found
}
