//! A real process that writes and is killed with SIGKILL, again and again, on the same files.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use hallmark_core::resource::Resource;

use super::*;
use crate::store::samples::{attestation, policy, unproven, uri};

const DIR: &str = "HALLMARK_TEST_STORE_CRASH_DIR";
const ROUND: &str = "HALLMARK_TEST_STORE_CRASH_ROUND";
const ROUNDS: usize = 20;
const WRITERS: usize = 4;
const NOTE: &str = "projects/p/notes/n";

/// The words that the child says on its standard output, one a line.
const CREATED: &str = "created ";
const DELETING: &str = "deleting ";
const DELETED: &str = "deleted ";
const PUT: &str = "policy ";

fn name(batch: &str, position: usize) -> String {
    format!("projects/p/occurrences/{batch}-{position}")
}

/// The child: only writes where the parent told it where.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let round = std::env::var(ROUND).unwrap();
    let store = open(Path::new(&dir));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, round) = (&store, &round);
            scope.spawn(move || write_until_killed(store, &format!("{round}.{writer}")));
        }
    });
}

fn write_until_killed(store: &EmbeddedStore, writer: &str) {
    for number in 0_usize.. {
        let batch = format!("{writer}.{number}");
        // Of many digests: each takes so many attestations and no more.
        let digest = |position| uri((number % 80 * 3 + position) as u8);
        let all =
            (0..3).map(|position| attestation(&name(&batch, position), NOTE, &digest(position)));
        store.apply(unproven(all.collect())).unwrap();
        println!("\n{CREATED}{batch}");
        if number % 4 == 3 {
            println!("\n{DELETING}{batch}");
            store.apply(Write::delete(name(&batch, 0).parse::<OccurrenceName>().unwrap())).unwrap();
            println!("\n{DELETED}{batch}");
        }
        let policy = policy("projects/p/attestors/a", &batch);
        let project = writer.parse().unwrap();
        store.apply(Write::replace(Resource::Policy(project, policy))).unwrap();
        println!("\n{PUT}{batch}");
    }
}

#[derive(Default)]
struct Acknowledged {
    created: HashSet<String>,
    deleting: HashSet<String>,
    deleted: HashSet<String>,
    /// Per writer, the last.
    policies: std::collections::HashMap<String, usize>,
}

impl Acknowledged {
    fn read(&mut self, line: &str) -> bool {
        if let Some(batch) = line.strip_prefix(CREATED) {
            self.created.insert(batch.to_owned());
        } else if let Some(batch) = line.strip_prefix(DELETING) {
            self.deleting.insert(batch.to_owned());
        } else if let Some(batch) = line.strip_prefix(DELETED) {
            self.deleted.insert(batch.to_owned());
        } else if let Some((writer, number)) =
            line.strip_prefix(PUT).and_then(|batch| batch.rsplit_once('.'))
        {
            self.policies.insert(writer.to_owned(), number.parse().unwrap());
        } else {
            return false;
        }
        true
    }

    fn assert_kept(&self, store: &EmbeddedStore) {
        for batch in &self.created {
            for position in 0..3 {
                let found = store.occurrence(&name(batch, position).parse().unwrap()).unwrap();
                let may_be_gone = position == 0 && self.deleting.contains(batch);
                assert!(
                    found.is_some() || may_be_gone,
                    "{batch}-{position} was acknowledged and is lost"
                );
                let must_be_gone = position == 0 && self.deleted.contains(batch);
                assert!(
                    found.is_none() || !must_be_gone,
                    "{batch}-{position} was deleted and is back"
                );
            }
        }
        for (writer, number) in &self.policies {
            let etag = store.project(&writer.parse().unwrap()).unwrap().policy.unwrap().etag;
            let stored: usize = etag.rsplit_once('.').unwrap().1.parse().unwrap();
            assert!(
                stored >= *number,
                "{writer}: policy {number} was acknowledged, {stored} is stored"
            );
        }
    }
}

/// Starts the child and kills it after `lines` acknowledgements.
fn crash(dir: &Path, round: usize, lines: usize, acknowledged: &mut Acknowledged) {
    let child_test = concat!(module_path!(), "::child").split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child_test, "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    while let Some(line) = whole_line(&mut output) {
        seen += usize::from(acknowledged.read(&line));
        if seen == lines {
            child.kill().unwrap();
        }
    }
    assert!(seen >= lines, "the child ended before it was killed");
    child.wait().unwrap();
}

/// The next line, unless the child died before it had ended it.
fn whole_line(output: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.strip_suffix('\n').map(str::to_owned)
}

#[test]
fn everything_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        crash(dir.path(), round, 1 + round * 7 % 61, &mut acknowledged);
        let store = open(dir.path());
        acknowledged.assert_kept(&store);
        assert_consistent(&store);
        assert_batches_whole(&store);
    }
    assert!(acknowledged.created.len() > ROUNDS, "{} batches", acknowledged.created.len());
}

/// Positions 1 and 2 of a batch are never deleted: both are there or neither.
fn assert_batches_whole(store: &EmbeddedStore) {
    use crate::store::{OccurrenceQuery, OccurrenceScope};
    let scope = OccurrenceScope::Project("p".parse().unwrap());
    let query = OccurrenceQuery {
        scope,
        resource_uri: None,
        resource_uri_suffix: None,
        kind: None,
        note: None,
    };
    let all = store.occurrences(&query, None, usize::MAX).unwrap();
    let ids: HashSet<_> = all.iter().map(|one| one.name.id()).collect();
    for id in &ids {
        let batch = id.rsplit_once('-').unwrap().0;
        for position in [1, 2] {
            assert!(
                ids.contains(format!("{batch}-{position}").as_str()),
                "batch {batch} is written in part"
            );
        }
    }
}
