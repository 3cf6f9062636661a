//! The log against crashes, tampering, rotation and a disk that refuses.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Durability;
use super::OpenError;
use super::allowance::AllowanceLimits;
use super::directory::files;
use super::log::{Body, LINE_BYTES_MAX, Log};
use super::metrics::AuditMetrics;
use super::verify::{LineHash, VerifyError, verify};
use super::writer::{Account, Audit, AuditConfig, AuditError};

const ANYBODY: Account<'_> = Account::Limited(None);
const ROTATE_NEVER: u64 = u64::MAX;

fn bodies(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|n| format!(r#"{{"type":"decision","n":{n}}}"#).into()).collect()
}

fn body(object: Bytes) -> Body {
    Body::new(object).expect("is short enough")
}

fn append(log: &mut Log, range: std::ops::Range<u32>) {
    let bodies = bodies(range);
    let bodies: Vec<_> = bodies.into_iter().map(body).collect();
    log.append(jiff::Timestamp::UNIX_EPOCH, &bodies).expect("appends");
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
    let verified = verify(dir.path(), None).expect("a whole chain");
    assert_eq!((verified.lines, verified.first_seq, verified.torn_bytes), (50, 1, 0));
    assert!(verified.files >= 5, "{verified:?}");
}

/// However a rotation fails, the newest file has a line: alone, it says where the chain goes on.
#[test]
fn a_rotation_that_fails_leaves_no_file_without_a_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Log::open(dir.path(), 1).expect("opens");
    append(&mut log, 0..1);
    let before = files(dir.path()).expect("lists");
    let obstacle = dir.path().join(".next/x");
    std::fs::create_dir_all(&obstacle).expect("creates");
    let more: Vec<_> = bodies(1..2).into_iter().map(body).collect();
    let now = jiff::Timestamp::UNIX_EPOCH;
    log.append(now, &more).expect_err("has nowhere to go");
    assert_eq!(files(dir.path()).expect("lists"), before);
    std::fs::remove_dir_all(dir.path().join(".next")).expect("removes");
    append(&mut log, 1..2);
    let head = verify(dir.path(), None).expect("a whole chain").head;
    drop(log);
    std::fs::remove_file(&before[0].1).expect("ships");
    append(&mut Log::open(dir.path(), 1).expect("opens"), 2..3);
    let verified = verify(dir.path(), Some(head)).expect("goes on");
    assert_eq!((verified.first_seq, verified.lines, verified.kept_seq), (2, 2, Some(2)));
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
    assert_eq!(verify(dir.path(), None).expect("a chain").first_seq, 2);
    std::fs::remove_file(&all[2].1).expect("removes");
    let error = verify(dir.path(), None).expect_err("a hole").to_string();
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
        assert!(matches!(verify(dir.path(), None), Err(VerifyError::Broken { .. })), "byte {at}");
    }
    std::fs::write(&path, &honest).expect("writes");
    assert_eq!(verify(dir.path(), None).expect("honest again").lines, 4);
}

#[test]
fn a_removed_line_is_found_and_a_changed_last_line_changes_the_head() {
    let dir = tempfile::tempdir().expect("a directory");
    append(&mut Log::open(dir.path(), ROTATE_NEVER).expect("opens"), 0..3);
    let head = verify(dir.path(), None).expect("a chain").head;
    let path = newest(dir.path());
    let honest = std::fs::read_to_string(&path).expect("reads");
    let lines: Vec<_> = honest.lines().collect();
    std::fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).expect("writes");
    assert!(verify(dir.path(), None).expect_err("a hole").to_string().contains("line 2"));
    std::fs::write(&path, honest.replace(r#""n":2"#, r#""n":9"#)).expect("writes");
    assert_ne!(verify(dir.path(), None).expect("a chain").head, head);
}

#[test]
fn a_line_cut_off_by_a_crash_is_cut_away() {
    let dir = tempfile::tempdir().expect("a directory");
    append(&mut Log::open(dir.path(), ROTATE_NEVER).expect("opens"), 0..2);
    let mut file =
        std::fs::OpenOptions::new().append(true).open(newest(dir.path())).expect("opens");
    file.write_all(br#"{"seq":3,"time":"19"#).expect("writes");
    assert_eq!(verify(dir.path(), None).expect("a chain").torn_bytes, 19);
    let mut log = Log::open(dir.path(), ROTATE_NEVER).expect("opens");
    assert_eq!(log.torn_bytes(), 19);
    append(&mut log, 2..3);
    let verified = verify(dir.path(), None).expect("a whole chain");
    assert_eq!((verified.lines, verified.torn_bytes), (3, 0));
}

#[tokio::test]
async fn acknowledged_records_are_in_the_file_in_both_durabilities() {
    for durability in [Durability::Write, Durability::Fsync] {
        let dir = tempfile::tempdir().expect("a directory");
        let audit = open(dir.path(), durability);
        let appends = (0..100).map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.append(ANYBODY, bodies(n..n + 1), soon()).await })
        });
        for append in appends.collect::<Vec<_>>() {
            assert_eq!(append.await.expect("runs"), Ok(()));
        }
        assert_eq!(verify(dir.path(), None).expect("a chain").lines, 100);
    }
}

#[tokio::test]
async fn nothing_is_written_for_a_caller_who_has_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = open(dir.path(), Durability::Write);
    audit.append(ANYBODY, bodies(0..1), Instant::now()).await.expect_err("is late");
    audit.append(ANYBODY, bodies(1..2), soon()).await.expect("is in time");
    assert_eq!(verify(dir.path(), None).expect("a chain").lines, 1);
}

/// Records that one principal is refused are counted in its next one, and are of no matter to
/// others.
#[tokio::test]
async fn a_principal_that_writes_too_much_is_refused_for_a_while() {
    let dir = tempfile::tempdir().expect("a directory");
    let allowance = AllowanceLimits { bytes_per_second: 1 << 20, burst_bytes: 64 << 10 };
    let audit = open_as(&AuditConfig { allowance, ..config(dir.path(), Durability::Write) });
    let (loud, quiet) = (Account::Limited(Some("user:loud")), Account::Limited(Some("user:quiet")));
    // It takes two seconds to pay it back.
    let large = Bytes::from([&br#"{"n":""#[..], &vec![b'x'; 2 << 20], br#""}"#].concat());
    audit.append(loud, vec![large], soon()).await.expect("is within the burst");
    let error = audit.append(loud, bodies(0..3), soon()).await.expect_err("used up");
    assert_eq!(error, AuditError::LimitExceeded { principal: "user:loud".to_owned() });
    audit.may_record(Some("user:loud"), 4).expect_err("used up");
    audit.append(quiet, bodies(0..1), soon()).await.expect("is another");
    // An operation that was begun is recorded all the same.
    audit.append(Account::Owed(Some("user:loud")), bodies(3..4), soon()).await.expect("is owed");
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    while audit.may_record(Some("user:loud"), 0).is_err() {
        pace.tick().await;
    }
    audit.append(loud, bodies(4..5), soon()).await.expect("may again");
    let text = std::fs::read(newest(dir.path())).expect("reads");
    let notice = br#""type":"unrecorded","principal":"user:loud","records":7}"#;
    assert!(text.windows(notice.len()).any(|window| window == notice));
    verify(dir.path(), None).expect("a whole chain");
}

/// The first of a group wakes the writer for all of them.
#[tokio::test]
async fn the_group_of_a_caller_who_went_away_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = open(dir.path(), Durability::Write);
    let mut first = Box::pin(audit.append(ANYBODY, bodies(0..1), soon()));
    let mut second = Box::pin(audit.append(ANYBODY, bodies(1..2), soon()));
    for append in [&mut first, &mut second] {
        std::future::poll_fn(|context| {
            assert!(append.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(first);
    assert_eq!(second.await, Ok(()));
    assert_eq!(verify(dir.path(), None).expect("a chain").lines, 2);
}

/// The longest line that is written is read, and one byte more is not written.
#[test]
fn no_line_is_written_that_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let object =
        |bytes: usize| Bytes::from([&br#"{"n":""#[..], &vec![b'x'; bytes - 8], br#""}"#].concat());
    let error = Body::new(object(Body::BYTES_MAX + 1)).expect_err("is too long");
    assert_eq!(error.bytes, Body::BYTES_MAX + 1);
    let longest = body(object(Body::BYTES_MAX));
    let mut log = Log::open(dir.path(), ROTATE_NEVER).expect("opens");
    // A number of 20 digits makes the line longest; the verifier begins wherever a log begins.
    log.append(jiff::Timestamp::MAX, [&longest, &longest]).expect("appends");
    append(&mut log, 0..1);
    let line = std::fs::read(newest(dir.path())).expect("reads");
    let length = line.split(|&byte| byte == b'\n').next().expect("a line").len();
    assert!(length <= LINE_BYTES_MAX && length + 64 > LINE_BYTES_MAX, "{length}");
    assert_eq!(verify(dir.path(), None).expect("a whole chain").lines, 3);
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_and_spoils_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = open(dir.path(), Durability::Write);
    let long = Bytes::from(vec![b'x'; Body::BYTES_MAX + 1]);
    let error = audit.append(ANYBODY, vec![long], soon()).await.expect_err("is too long");
    assert!(matches!(error, AuditError::TooLong(_)), "{error}");
    assert_eq!(audit.append(ANYBODY, bodies(0..1), soon()).await, Ok(()));
    assert_eq!(audit.health().fault, None);
    assert_eq!(verify(dir.path(), None).expect("a chain").lines, 1);
}

#[test]
fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut first = Log::open(dir.path(), ROTATE_NEVER).expect("opens");
    append(&mut first, 0..2);
    // Not even a torn line of the owner is touched.
    let path = newest(dir.path());
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opens");
    file.write_all(b"half a li").expect("writes");
    let before = std::fs::read(&path).expect("reads");
    let error = Log::open(dir.path(), ROTATE_NEVER).expect_err("is owned");
    assert!(matches!(error, OpenError::InUse(Some(_))), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    assert!(said.contains("--audit-dir"), "{said}");
    assert_eq!(std::fs::read(&path).expect("reads"), before);
    drop(first);
    Log::open(dir.path(), ROTATE_NEVER).expect("is free again");
}

#[test]
fn a_head_is_of_any_line_or_of_the_one_before_the_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Log::open(dir.path(), 1).expect("opens");
    let mut heads = Vec::new();
    for n in 0..4 {
        append(&mut log, n..n + 1);
        heads.push(verify(dir.path(), None).expect("a chain").head);
    }
    let seq = |head| verify(dir.path(), Some(head)).map(|found| found.kept_seq);
    for (n, &head) in (1..).zip(&heads) {
        assert_eq!(seq(head).expect("an ancestor"), Some(n));
    }
    // Files that were shipped away: what follows them right away is enough.
    let all = files(dir.path()).expect("lists");
    std::fs::remove_file(&all[0].1).expect("removes");
    assert_eq!(seq(heads[0]).expect("goes on"), Some(1));
    std::fs::remove_file(&all[1].1).expect("removes");
    assert!(matches!(seq(heads[0]), Err(VerifyError::HeadMissing(_))));
    // A line too few.
    std::fs::remove_file(&all[3].1).expect("removes");
    assert!(matches!(seq(heads[3]), Err(VerifyError::HeadMissing(_))));
    assert_eq!(seq(heads[2]).expect("the last"), Some(3));
    for text in ["", "x", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
        text.parse::<LineHash>().expect_err(text);
    }
}

fn open(dir: &Path, durability: Durability) -> Audit {
    open_as(&config(dir, durability))
}

fn open_as(config: &AuditConfig) -> Audit {
    let metrics = AuditMetrics::register(&prometheus::Registry::new()).expect("registers");
    Audit::open(config, metrics).expect("opens")
}

fn config(dir: &Path, durability: Durability) -> AuditConfig {
    AuditConfig {
        dir: dir.to_owned(),
        durability,
        rotate_bytes: 4_096,
        sync_interval: Duration::from_millis(1),
        mend_after: Duration::from_millis(50),
        reserve_bytes: None,
        allowance: AllowanceLimits { bytes_per_second: 1 << 20, burst_bytes: 64 << 20 },
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
