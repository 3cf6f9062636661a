//! The harm that a plugin in a worker can do to its host, and how much it can talk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fixture::{Recorder, at, compile, pin, worker_options};
use hallmark_plugin_api::host::{CallError, Instance, PluginImage, WorkerFiles, WorkerOptions};

/// The hostile plugin's report of its attempts, by name. It tries to open the file `config`.
fn attempts(options: WorkerOptions, config: &str) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "tests/c-plugin/hostile_plugin.c", &["_GNU_SOURCE"]);
    let image = Arc::new(PluginImage::load_in_worker(&path, &pin(&path), options).unwrap());
    let made = Instance::create(&image, config, Arc::new(Recorder::default()));
    let Err(CallError::Refused { text, .. }) = made else { panic!("{made:?}") };
    let attempt = |word: &str| {
        let (name, result) = word.split_once('=').unwrap();
        (name.to_owned(), result.to_owned())
    };
    text.split_whitespace().map(attempt).collect()
}

fn assert_harmless(attempts: &[(String, String)]) {
    for (name, result) in attempts {
        match name.as_str() {
            "CapEff" | "CapPrm" => assert_eq!(result, "0", "{name}: {attempts:?}"),
            "CapBnd" | "Uid" => {}
            name if name.starts_with("own-") => assert_eq!(result, "0", "{name}: {attempts:?}"),
            name => assert_ne!(result, "0", "{name} succeeded: {attempts:?}"),
        }
    }
    assert!(attempts.len() > 20, "{attempts:?}");
}

#[test]
fn a_worker_reaches_no_other_process() {
    let attempts = attempts(worker_options(), "/nowhere/file");
    assert_harmless(&attempts);
    // Not unknown to the kernel, but denied.
    let errno = |of: &str| attempts.iter().find(|(name, _)| name == of).map(|(_, errno)| &**errno);
    assert!(errno("x32").is_none_or(|errno| errno == "1"), "{attempts:?}");
    for call in ["priority", "priority-group", "priority-user", "io-priority", "namespace"] {
        assert_eq!(errno(call), Some("1"), "{call}: {attempts:?}");
    }
    assert_eq!(errno("clone3"), Some("38"), "as if the kernel had none");
    // Without the right to, there is nothing that could be gained either: `no_new_privs`.
    let bound = attempts.iter().find(|(name, _)| name == "CapBnd").unwrap();
    assert!(bound.1 == "0" || !rustix::process::geteuid().is_root(), "{attempts:?}");
}

#[test]
fn a_worker_has_a_user_of_its_own_where_it_is_given_one() {
    // Only root may give it one.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let options = WorkerOptions { user: Some(65_534), ..worker_options() };
    let attempts = attempts(options, "/nowhere/file");
    assert_harmless(&attempts);
    let uid = attempts.iter().find(|(name, _)| name == "Uid").unwrap();
    // The plugin reads the number as hexadecimal.
    assert_eq!(uid.1, "65534", "{attempts:?}");
}

/// Files that a worker is not given are closed to it; the machine must have Landlock.
#[test]
fn a_worker_opens_no_files_but_those_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let (given, other) = (dir.path().join("given"), dir.path().join("other"));
    for dir in [&given, &other] {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("file"), "secret").unwrap();
    }
    let results = |files: Option<WorkerFiles>, file: &Path| {
        let options = WorkerOptions { files, ..worker_options() };
        let attempts = attempts(options, file.to_str().unwrap());
        let result = |name| attempts.iter().find(|(it, _)| it == name).unwrap().1.clone();
        std::fs::remove_file(file.with_extension("new")).unwrap_or_default();
        ["read", "write", "make"].map(result).join(" ")
    };
    let only = |read: &[&Path], write: &[&Path]| {
        let list = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
        Some(WorkerFiles { read: list(read), write: list(write) })
    };
    let (mine, theirs) = (given.join("file"), other.join("file"));
    assert_eq!(results(None, &theirs), "0 0 0");
    assert_eq!(results(only(&[], &[]), &theirs), "13 13 13");
    assert_eq!(results(only(&[], &[&given]), &theirs), "13 13 13");
    assert_eq!(results(only(&[&given], &[]), &mine), "0 13 13");
    assert_eq!(results(only(&[&mine], &[]), &mine), "0 13 13");
    assert_eq!(results(only(&[], &[&given]), &mine), "0 0 0");
}

fn chatterbox(dir: &Path) -> std::path::PathBuf {
    compile(dir, "tests/c-plugin/lister_plugin.c", &["_GNU_SOURCE", "LISTER_CHATTER=5000"])
}

/// Thousands of lines, pushes and complaints within one call: none makes it late, and few of them
/// are heard.
#[test]
fn a_plugin_that_talks_much_is_neither_late_nor_heard_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = chatterbox(dir.path());
    let options = WorkerOptions { call_timeout: Duration::from_secs(5), ..worker_options() };
    let image = Arc::new(PluginImage::load_in_worker(&path, &pin(&path), options).unwrap());
    let recorder = Arc::new(Recorder::default());
    let instance = Instance::create(&image, "{}", Arc::clone(&recorder) as _).unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        instance.snapshot(&at()).unwrap();
    }
    let worker = instance.worker().unwrap();
    assert_eq!((worker.restarts, worker.last_fault), (0, None));
    recorder.wait_for_push();
    recorder.wait_for_line("Warn chatter");
    // The number of lost lines is told with the next line that is not lost.
    Recorder::wait_for("the number of lost lines", || {
        instance.snapshot(&at()).unwrap();
        recorder.lost() > 1_000
    });
    let seconds = started.elapsed().as_secs() as u32 + 1;
    assert!(recorder.pushes() <= 10 * seconds + 1, "{} pushes", recorder.pushes());
    drop(instance);
    let text = recorder.log_text();
    let lines = text.lines().filter(|line| line.contains("Warn chatter")).count();
    assert!(
        (1..=200 + 20 * (started.elapsed().as_secs() as usize + 1)).contains(&lines),
        "{lines}"
    );
    assert!(!text.contains("whoever debugs"), "filtered before it is sent");
    // Its standard error is heard by lines.
    let complaints = text.lines().filter(|line| line.starts_with("Warn stderr: complaint")).count();
    assert!(complaints >= 15_000, "{complaints}");
}
