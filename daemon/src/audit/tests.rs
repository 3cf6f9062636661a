//! The log against crashes, tampering, rotation and a disk that refuses.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::log::{Log, files};
use super::verify::{VerifyError, verify};
use super::writer::{Audit, AuditConfig};
use crate::config::Durability;
use crate::metrics::audit::AuditMetrics;

const ROTATE_NEVER: u64 = u64::MAX;

fn bodies(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|n| format!(r#"{{"type":"decision","n":{n}}}"#).into()).collect()
}

fn append(log: &mut Log, range: std::ops::Range<u32>) {
    let bodies = bodies(range);
    log.append(jiff::Timestamp::UNIX_EPOCH, bodies.iter().map(Bytes::as_ref)).expect("appends");
}

fn newest(dir: &Path) -> std::path::PathBuf {
    files(dir).expect("lists").pop().expect("has a file").1
}

#[test]
fn a_chain_goes_on_after_reopening_and_rotating() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..5 {
        let mut log = Log::open(dir.path(), 300).expect("opens");
        append(&mut log, round * 10..round * 10 + 5);
        append(&mut log, round * 10 + 5..round * 10 + 10);
    }
    let verified = verify(dir.path()).expect("a whole chain");
    assert_eq!((verified.lines, verified.first_seq, verified.torn_bytes), (50, 1, 0));
    assert!(verified.files >= 5, "{verified:?}");
}

#[test]
fn moved_away_files_leave_a_chain_that_says_where_it_begins() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Log::open(dir.path(), 1).expect("opens");
    for n in 0..4 {
        append(&mut log, n..n + 1);
    }
    let all = files(dir.path()).expect("lists");
    std::fs::remove_file(&all[0].1).expect("removes");
    assert_eq!(verify(dir.path()).expect("a chain").first_seq, 2);
    std::fs::remove_file(&all[2].1).expect("removes");
    let error = verify(dir.path()).expect_err("a hole").to_string();
    assert!(error.contains("a file is missing"), "{error}");
}

#[test]
fn every_changed_byte_but_the_last_lines_breaks_the_chain() {
    let dir = tempfile::tempdir().expect("a directory");
    append(&mut Log::open(dir.path(), ROTATE_NEVER).expect("opens"), 0..4);
    let path = newest(dir.path());
    let honest = std::fs::read(&path).expect("reads");
    let last_line = honest[..honest.len() - 1].iter().rposition(|&b| b == b'\n').expect("lines");
    for at in 0..=last_line {
        let mut forged = honest.clone();
        forged[at] ^= 1;
        std::fs::write(&path, &forged).expect("writes");
        assert!(matches!(verify(dir.path()), Err(VerifyError::Broken { .. })), "byte {at}");
    }
    std::fs::write(&path, &honest).expect("writes");
    assert_eq!(verify(dir.path()).expect("honest again").lines, 4);
}

#[test]
fn a_removed_line_is_found_and_a_changed_last_line_changes_the_head() {
    let dir = tempfile::tempdir().expect("a directory");
    append(&mut Log::open(dir.path(), ROTATE_NEVER).expect("opens"), 0..3);
    let head = verify(dir.path()).expect("a chain").head;
    let path = newest(dir.path());
    let honest = std::fs::read_to_string(&path).expect("reads");
    let lines: Vec<_> = honest.lines().collect();
    std::fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).expect("writes");
    assert!(verify(dir.path()).expect_err("a hole").to_string().contains("line 2"));
    std::fs::write(&path, honest.replace(r#""n":2"#, r#""n":9"#)).expect("writes");
    assert_ne!(verify(dir.path()).expect("a chain").head, head);
}

#[test]
fn a_line_cut_off_by_a_crash_is_cut_away() {
    let dir = tempfile::tempdir().expect("a directory");
    append(&mut Log::open(dir.path(), ROTATE_NEVER).expect("opens"), 0..2);
    let mut file =
        std::fs::OpenOptions::new().append(true).open(newest(dir.path())).expect("opens");
    file.write_all(br#"{"seq":3,"time":"19"#).expect("writes");
    assert_eq!(verify(dir.path()).expect("a chain").torn_bytes, 19);
    let mut log = Log::open(dir.path(), ROTATE_NEVER).expect("opens");
    assert_eq!(log.torn_bytes(), 19);
    append(&mut log, 2..3);
    let verified = verify(dir.path()).expect("a whole chain");
    assert_eq!((verified.lines, verified.torn_bytes), (3, 0));
}

#[tokio::test]
async fn acknowledged_records_are_in_the_file_in_both_durabilities() {
    for durability in [Durability::Write, Durability::Fsync] {
        let dir = tempfile::tempdir().expect("a directory");
        let audit = open(dir.path(), durability);
        let appends = (0..100).map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.append(bodies(n..n + 1), soon()).await })
        });
        for append in appends.collect::<Vec<_>>() {
            assert_eq!(append.await.expect("runs"), Ok(()));
        }
        assert_eq!(verify(dir.path()).expect("a chain").lines, 100);
    }
}

#[tokio::test]
async fn nothing_is_written_for_a_caller_who_has_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = open(dir.path(), Durability::Write);
    audit.append(bodies(0..1), Instant::now()).await.expect_err("is late");
    audit.append(bodies(1..2), soon()).await.expect("is in time");
    assert_eq!(verify(dir.path()).expect("a chain").lines, 1);
}

/// The first of a group wakes the writer for all of them.
#[tokio::test]
async fn the_group_of_a_caller_who_went_away_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = open(dir.path(), Durability::Write);
    let mut first = Box::pin(audit.append(bodies(0..1), soon()));
    let mut second = Box::pin(audit.append(bodies(1..2), soon()));
    for append in [&mut first, &mut second] {
        std::future::poll_fn(|context| {
            assert!(append.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(first);
    assert_eq!(second.await, Ok(()));
    assert_eq!(verify(dir.path()).expect("a chain").lines, 2);
}

fn open(dir: &Path, durability: Durability) -> Audit {
    let config = AuditConfig {
        dir: dir.to_owned(),
        durability,
        rotate_bytes: 4_096,
        sync_interval: Duration::from_millis(1),
    };
    let metrics = AuditMetrics::register(&prometheus::Registry::new()).expect("registers");
    Audit::open(&config, metrics).expect("opens")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
