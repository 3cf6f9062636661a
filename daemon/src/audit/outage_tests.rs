//! The log when its file is taken away or changed under the daemon.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Durability;
use super::allowance::AllowanceLimits;
use super::directory::files;
use super::metrics::AuditMetrics;
use super::verify::verify;
use super::writer::{Account, Audit, AuditConfig, AuditError};

const PATIENCE: Duration = Duration::from_secs(30);

/// A way to spoil the live file at this path, and what is said of it.
type Spoil = (&'static str, fn(&Path), &'static str);

fn spoils() -> Vec<Spoil> {
    vec![
        ("unlinked", |path| std::fs::remove_file(path).expect("removes"), "was removed or renamed"),
        ("renamed", |path| rename_away(path), "was removed or renamed"),
        ("truncated", |path| cut(path, 0), "was truncated"),
        ("cut by a line", |path| cut(path, 40), "was truncated"),
        ("replaced by a copy", replace_by_a_copy, "was replaced"),
        ("changed in its last line", change_last_line, "does not end with"),
        ("cut and grown again", cut_and_grow, "does not end with"),
        ("written by another", |path| write_foreign(path), "something else writes it"),
        (
            "with its directory",
            |path| std::fs::remove_dir_all(path.parent().expect("a parent")).expect("removes"),
            "was removed or renamed",
        ),
    ]
}

/// Denied at once or at the next look, and never acknowledged in a file that is not the log; in the
/// end a new file continues the chain and says what is missing.
#[tokio::test]
async fn a_spoiled_file_is_noticed_by_an_append_and_the_chain_goes_on_elsewhere() {
    for (name, spoil, said) in spoils() {
        let place = tempfile::tempdir().expect("a directory");
        let dir = place.path().join("audit");
        let audit = open(&dir, Duration::from_millis(100));
        append(&audit, 0).await.expect("appends");
        append(&audit, 1).await.expect("appends");
        spoil(&live(&dir));
        match append(&audit, 2).await {
            Err(AuditError::Unwritable(why)) => assert!(why.contains(said), "{name}: {why}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(audit.health().fault.is_some_and(|fault| fault.contains(said)), "{name}");
        until(name, || audit.health().fault.is_none()).await;
        append(&audit, 3).await.expect(name);
        let newest = std::fs::read_to_string(live(&dir)).expect("reads");
        let first: serde_json::Value =
            serde_json::from_str(newest.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["type"], "logContinued", "{name}: {newest}");
        assert_eq!((&first["firstSeq"], &first["lastSeq"]), (&1.into(), &2.into()), "{name}");
        assert!(newest.contains(r#""n":3"#) && !newest.contains(r#""n":2"#), "{name}: {newest}");
        // The damage is found as long as the file lies there.
        let whole = verify(&dir, None);
        match std::fs::exists(dir.join("audit-00000000000000000001.jsonl")).expect("looks") {
            true => drop(whole.expect_err(name)),
            false => assert_eq!(whole.expect(name).losses.len(), 1, "{name}"),
        }
    }
}

#[tokio::test]
async fn a_spoiled_file_is_noticed_while_nobody_appends() {
    for (name, spoil, said) in spoils() {
        let place = tempfile::tempdir().expect("a directory");
        let dir = place.path().join("audit");
        let audit = open(&dir, PATIENCE);
        append(&audit, 0).await.expect("appends");
        spoil(&live(&dir));
        until(name, || audit.health().fault.is_some_and(|fault| fault.contains(said))).await;
    }
}

/// The same bytes in the place of what was written last: found by its look at the end.
#[tokio::test]
async fn a_changed_last_line_is_noticed() {
    let place = tempfile::tempdir().expect("a directory");
    let audit = open(place.path(), PATIENCE);
    append(&audit, 7).await.expect("appends");
    let path = live(place.path());
    let forged = std::fs::read_to_string(&path).expect("reads").replace(r#""n":7"#, r#""n":8"#);
    std::fs::write(&path, forged).expect("writes");
    until("a look", || audit.health().fault.is_some_and(|fault| fault.contains("does not end")))
        .await;
}

/// A file that is put back as it was is gone on with, and nothing is lost.
#[tokio::test]
async fn a_file_that_is_put_back_is_gone_on_with() {
    for copied in [false, true] {
        let place = tempfile::tempdir().expect("a directory");
        let dir = place.path().join("audit");
        let audit = open(&dir, PATIENCE);
        append(&audit, 0).await.expect("appends");
        let (path, aside) = (live(&dir), place.path().join("aside"));
        std::fs::rename(&path, &aside).expect("renames");
        append(&audit, 1).await.expect_err("is gone");
        match copied {
            true => drop(std::fs::copy(&aside, &path).expect("copies")),
            false => std::fs::rename(&aside, &path).expect("renames back"),
        }
        until("the file", || audit.health().fault.is_none()).await;
        append(&audit, 2).await.expect("appends");
        let text = std::fs::read_to_string(&path).expect("reads");
        assert!(text.contains("logResumed") && !text.contains(r#""n":1}"#), "{text}");
        assert_eq!(verify(&dir, None).expect("a whole chain").lines, 3);
    }
}

/// The lock is looked after, too: without it a second daemon would start.
#[tokio::test]
async fn a_lock_that_was_removed_is_taken_again() {
    let place = tempfile::tempdir().expect("a directory");
    let audit = open(place.path(), PATIENCE);
    append(&audit, 0).await.expect("appends");
    let lock = place.path().join(".lock");
    std::fs::remove_file(&lock).expect("removes");
    until("a lock", || lock.exists()).await;
    append(&audit, 1).await.expect("appends");
    super::log::Log::open(place.path(), u64::MAX).expect_err("is owned");
}

fn rename_away(path: &Path) {
    std::fs::rename(path, path.with_extension("aside")).expect("renames");
}

fn cut(path: &Path, less: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    let len = file.metadata().expect("a file").len();
    file.set_len(if less == 0 { 0 } else { len - less }).expect("cuts");
}

/// With another last line: one that is the same would be taken up.
fn replace_by_a_copy(path: &Path) {
    let text = std::fs::read_to_string(path).expect("reads");
    std::fs::remove_file(path).expect("removes");
    std::fs::write(path, text.replace(r#""n":1"#, r#""n":8"#).replace(r#""n":0"#, r#""n":9"#))
        .expect("writes");
}

fn change_last_line(path: &Path) {
    let text = std::fs::read_to_string(path).expect("reads");
    std::fs::write(path, text.replace(r#""n":1"#, r#""n":8"#).replace(r#""n":0"#, r#""n":9"#))
        .expect("writes");
}

fn cut_and_grow(path: &Path) {
    let len = std::fs::metadata(path).expect("a file").len();
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.set_len(10).and_then(|()| file.set_len(len)).expect("resizes");
}

fn write_foreign(path: &Path) {
    let mut file = OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(b"{\"seq\":3}\n").expect("writes");
}

async fn append(audit: &Audit, n: u32) -> Result<(), AuditError> {
    let body = Bytes::from(format!(r#"{{"type":"decision","n":{n}}}"#));
    audit.append(Account::Limited(None), vec![body], Instant::now() + PATIENCE).await
}

async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let started = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while !seen() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        pace.tick().await;
    }
}

fn live(dir: &Path) -> PathBuf {
    files(dir).expect("lists").pop().expect("a file").1
}

fn open(dir: &Path, mend_after: Duration) -> Audit {
    let config = AuditConfig {
        dir: dir.to_owned(),
        durability: Durability::Write,
        rotate_bytes: u64::MAX,
        sync_interval: Duration::from_millis(10),
        mend_after,
        reserve_bytes: None,
        allowance: AllowanceLimits { bytes_per_second: 1 << 20, burst_bytes: 64 << 20 },
    };
    let metrics = AuditMetrics::register(&prometheus::Registry::new()).expect("registers");
    Audit::open(&config, metrics).expect("opens")
}
