//! Plugins that hang, crash, exit, eat memory or lie, in a process of their own: each loses its
//! own answers, and nothing else is lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fixture::{
    Recorder, at, compile, compile_demo, instance_in_worker, pin, set_mode, worker_options,
};
use hallmark_plugin_api::host::{
    BreakerState, CallError, Circumstances, Instance, LoadReason, PluginImage, WorkerFault,
    WorkerOptions, WorkerStatus, limits,
};
use hallmark_plugin_api::{Algorithm, ErrorKind, Failure, Item};

/// A plugin that is wrong in one way, in a worker.
struct Broken {
    instance: Arc<Instance>,
    recorder: Arc<Recorder>,
    _dir: tempfile::TempDir,
}

fn compile_broken(dir: &Path, how: &str) -> PathBuf {
    compile(dir, "tests/c-plugin/broken_plugin.c", &[&format!("BROKEN_{how}")])
}

impl Broken {
    fn new(how: &str, options: WorkerOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = compile_broken(dir.path(), how);
        let image = PluginImage::load_in_worker(&path, &pin(&path), options).unwrap();
        let recorder = Arc::new(Recorder::default());
        let instance = Instance::create(&Arc::new(image), "{}", Arc::clone(&recorder) as _);
        Self { instance: instance.unwrap(), recorder, _dir: dir }
    }

    fn status(&self) -> WorkerStatus {
        self.instance.worker().unwrap()
    }

    fn verify(&self, message: &[u8]) -> Result<Vec<Result<(), Failure>>, CallError> {
        self.instance.verify_batch(None, &[item(message, b"hello")], &at())
    }

    /// Verifies what is right, and what is not: the plugin does well.
    fn does_well(&self) {
        let items = [item(b"hello", b"hello"), item(b"hello", b"hallo")];
        let answers = self.instance.verify_batch(None, &items, &at());
        assert_eq!(answers.unwrap(), [Ok(()), Err(Failure::BadSignature)]);
    }

    fn failures(&self, reason: &str) -> u64 {
        self.status().failures.iter().find(|(name, _)| *name == reason).unwrap().1
    }
}

fn item<'a>(message: &'a [u8], signature: &'a [u8]) -> Item<'a> {
    Item { key_handle: 1, algorithm: Some(Algorithm::Ed25519), key: &[], message, signature }
}

fn quick() -> WorkerOptions {
    WorkerOptions { call_timeout: Duration::from_millis(300), ..worker_options() }
}

/// `how` costs the call that asked for it, which is told `why`, and no other.
fn costs_its_own_answer(
    how: &str,
    options: WorkerOptions,
    why: fn(&WorkerFault) -> bool,
) -> Broken {
    let broken = Broken::new(how, options);
    broken.does_well();
    let before = broken.status().pid.unwrap();
    let snapshot = broken.instance.snapshot(&at()).unwrap();
    match broken.verify(b"now") {
        Err(CallError::Worker(fault)) if why(&fault) => {}
        other => panic!("{how}: {other:?}"),
    }
    broken.does_well();
    // A snapshot from before goes on serving.
    let signed = broken.instance.sign_batch(&snapshot, &[item(b"abc", b"")], &at());
    assert_eq!(signed.unwrap(), [Ok(b"abc".to_vec())], "{how}");
    let status = broken.status();
    assert_ne!(status.pid.unwrap(), before, "{how}");
    assert!(status.restarts >= 1 && status.breaker == BreakerState::Closed, "{how}: {status:?}");
    assert!(!Path::new(&format!("/proc/{before}")).exists(), "{how}: {before} is still there");
    // A new process may have other keys.
    broken.recorder.wait_for_push();
    broken
}

#[test]
fn a_plugin_that_hangs_is_killed() {
    let late = |fault: &WorkerFault| *fault == WorkerFault::Late(Duration::from_millis(300));
    let broken = costs_its_own_answer("HANG", quick(), late);
    assert_eq!(broken.failures("late"), 1);
}

#[test]
fn a_plugin_that_crashes_is_started_again() {
    let segv = |fault: &WorkerFault| *fault == WorkerFault::Signal(11);
    assert_eq!(costs_its_own_answer("CRASH", worker_options(), segv).failures("signal"), 2);
    // Rust makes an abort of the fault on the guard page.
    for how in ["STACK", "ABORT"] {
        costs_its_own_answer(how, worker_options(), |fault| *fault == WorkerFault::Signal(6));
    }
}

#[test]
fn a_plugin_that_exits_is_started_again() {
    let exit = |fault: &WorkerFault| *fault == WorkerFault::Exit(0);
    assert_eq!(costs_its_own_answer("EXIT", worker_options(), exit).failures("exit"), 2);
}

#[test]
fn a_plugin_that_eats_memory_meets_its_limit() {
    let options = WorkerOptions { memory_bytes: 256 << 20, ..worker_options() };
    costs_its_own_answer("EAT", options, |fault| *fault == WorkerFault::Signal(6));
}

#[test]
fn a_plugin_that_lies_about_its_answers_is_killed() {
    let broken = Broken::new("LIE", quick());
    broken.does_well();
    let answer = broken.verify(b"now");
    assert!(matches!(answer, Err(CallError::Worker(_))), "{answer:?}");
    broken.does_well();
    assert!(broken.failures("nonsense") > 0, "{:?}", broken.status());
}

#[test]
fn a_plugin_that_closes_everything_is_killed() {
    let broken = Broken::new("CLOSE", quick());
    let answer = broken.verify(b"now");
    assert!(matches!(answer, Err(CallError::Worker(_))), "{answer:?}");
    broken.does_well();
}

/// It wrote over its own question, so its own answer is wrong and no other.
#[test]
fn a_plugin_that_scribbles_over_the_shared_memory_harms_no_other_call() {
    let broken = Broken::new("SCRIBBLE", worker_options());
    let answer = broken.verify(b"now");
    assert!(!matches!(answer.as_deref(), Ok([Ok(())])), "{answer:?}");
    broken.does_well();
}

#[test]
fn a_plugin_that_never_stops_talking_is_heard_so_much_and_no_more() {
    let broken = Broken::new("FLOOD", quick());
    let started = Instant::now();
    let answer = broken.verify(b"now");
    let late = WorkerFault::Late(Duration::from_millis(300));
    assert_eq!(answer, Err(CallError::Worker(late)));
    broken.does_well();
    let heard = broken.recorder.log_text().lines().filter(|it| it.contains("another")).count();
    let seconds = started.elapsed().as_secs() as usize + 1;
    assert!((1..=256 * seconds + 1_024).contains(&heard), "{heard} lines in {seconds} s");
}

#[test]
fn a_file_that_cannot_be_loaded_is_refused_and_harms_nobody() {
    let refused = |how: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = compile_broken(dir.path(), how);
        PluginImage::load_in_worker(&path, &pin(&path), worker_options()).unwrap_err()
    };
    let crashes = refused("LOAD_CRASH").to_string();
    assert!(crashes.ends_with("cannot be asked what it is: its process was ended by signal 11"));
    let exits = refused("LOAD_EXIT").reason;
    assert!(matches!(exits, LoadReason::Worker(WorkerFault::Exit(0))), "{exits}");

    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), &["DEMO_MAJOR=2"]);
    let error = PluginImage::load_in_worker(&path, &pin(&path), worker_options()).unwrap_err();
    assert!(error.to_string().ends_with("speaks ABI 2; this host speaks 1"), "{error}");
    std::fs::write(&path, "not an object file").unwrap();
    set_mode(&path, 0o644);
    let error = PluginImage::load_in_worker(&path, &pin(&path), worker_options()).unwrap_err();
    assert!(error.to_string().contains("cannot be mapped"), "{error}");
}

/// A start that fails is no reason not to start: the others go on, and it is tried again.
#[test]
fn an_instance_that_cannot_be_made_is_tried_again_ever_more_rarely() {
    let broken = Broken::new("CREATE_CRASH", worker_options());
    let deadline = Instant::now() + Duration::from_secs(30);
    while broken.status().restarts < 4 {
        let answer = broken.verify(b"hello");
        assert!(matches!(answer, Err(CallError::Worker(_))), "{answer:?}");
        assert!(Instant::now() < deadline, "{:?}", broken.status());
    }
    let status = broken.status();
    assert!(status.pid.is_none() && status.breaker != BreakerState::Closed, "{status:?}");
    assert_eq!(status.last_fault.unwrap(), "its process was ended by signal 11");
}

#[test]
fn the_breaker_answers_at_once_while_it_is_open_and_then_tries() {
    let broken = Broken::new("CRASH", worker_options());
    // Each kills two processes: what was under way is asked once more.
    for _ in 0..2 {
        let _ = broken.verify(b"now").unwrap_err();
    }
    assert_ne!(broken.status().breaker, BreakerState::Closed);
    let (started, mut refused) = (Instant::now(), 0);
    let patience = Duration::from_secs(30);
    while let Err(error) = broken.verify(b"hello") {
        assert!(matches!(error, CallError::Worker(WorkerFault::Resting(_))), "{error}");
        assert!(error.to_string().contains("ended by signal 11"), "{error}");
        assert!(started.elapsed() < patience);
        refused += 1;
    }
    assert!(refused > 0);
    assert_eq!(broken.status().breaker, BreakerState::Closed);
    broken.does_well();
}

/// A hurried caller is told in time, and the others lose nothing by it.
#[test]
fn a_caller_without_time_gives_up_and_kills_nobody() {
    let broken = Broken::new("HANG", worker_options());
    let pid = broken.status().pid;
    let soon = Circumstances { deadline: Some(Instant::now() + Duration::from_millis(50)), ..at() };
    let answer = broken.instance.verify_batch(None, &[item(b"now", b"")], &soon);
    assert_eq!(answer, Err(CallError::Worker(WorkerFault::GaveUp)));
    broken.does_well();
    assert_eq!(broken.status().pid, pid);
}

/// A call that nobody waits for is killed all the same.
#[test]
fn a_call_that_was_given_up_is_killed_when_it_is_late() {
    let broken = Broken::new("HANG", quick());
    let pid = broken.status().pid.unwrap();
    let soon = Circumstances { deadline: Some(Instant::now() + Duration::from_millis(20)), ..at() };
    let _ = broken.instance.verify_batch(None, &[item(b"now", b"")], &soon).unwrap_err();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    broken.does_well();
    assert_eq!(broken.failures("late"), 1);
}

/// `kill -9` from outside, again and again, under calls from many threads: each call has the
/// right answer, or says that it has none.
#[test]
fn calls_survive_the_death_of_the_process_under_them() {
    let dir = tempfile::tempdir().unwrap();
    let (instance, _) = instance_in_worker(&compile_demo(dir.path(), &[]), "{}");
    let snapshot = instance.snapshot(&at()).unwrap();
    let kill = || {
        let pid = instance.worker().unwrap().pid?.to_string();
        Command::new("kill").args(["-9", &pid]).status().unwrap().success().then_some(())
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4_u8)
            .map(|caller| {
                let (instance, snapshot) = (&instance, &snapshot);
                scope.spawn(move || {
                    let answered = (0..2_000_u16).filter(|&n| {
                        let message = [b'm', caller, n as u8, (n >> 8) as u8];
                        let signed = instance.sign_batch(snapshot, &[item(&message, b"")], &at());
                        match signed {
                            Ok(signed) => {
                                assert_eq!(signed, [Ok(message.map(|byte| byte ^ 0x21).to_vec())]);
                                true
                            }
                            Err(CallError::Worker(_)) => false,
                            Err(other) => panic!("{other:?}"),
                        }
                    });
                    answered.count()
                })
            })
            .collect();
        assert_eq!(kill(), Some(()));
        let answered: Vec<_> = callers.into_iter().map(|it| it.join().unwrap()).collect();
        assert_eq!(answered, [2_000; 4], "{:?}", instance.worker());
    });
    assert_eq!(instance.worker().unwrap().restarts, 1);
}

/// The handles of a snapshot are those of its keys: where a new process has others, none is used.
#[test]
fn a_snapshot_whose_keys_a_new_process_has_not_is_stale() {
    let dir = tempfile::tempdir().unwrap();
    let (instance, recorder) = instance_in_worker(&compile_demo(dir.path(), &[]), "{}");
    let snapshot = instance.snapshot(&at()).unwrap();
    recorder.set_secret("mode", b"more");
    let pid = instance.worker().unwrap().pid.unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let error = instance.sign_batch(&snapshot, &[item(b"m", b"")], &at()).unwrap_err();
    let CallError::Refused { kind: ErrorKind::StaleSnapshot, .. } = error else {
        panic!("{error:?}");
    };
    let snapshot = instance.snapshot(&at()).unwrap();
    assert_eq!(snapshot.keys.len(), 3);
    assert!(instance.sign_batch(&snapshot, &[item(b"m", b"")], &at()).unwrap()[0].is_ok());
}

#[test]
fn what_does_not_fit_into_the_shared_memory_is_asked_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (instance, _) = instance_in_worker(&compile_demo(dir.path(), &[]), "{}");
    // Eight items fill a call of this plugin, and five fill the memory.
    let message = vec![b'x'; 3 << 20];
    let items = [item(&message, b"no"); 16];
    let answers = instance.verify_batch(None, &items, &at()).unwrap();
    assert_eq!(answers, [Err(Failure::BadSignature); 16]);

    let too_large = vec![b'x'; 17 << 20];
    let mut items = [item(b"abc", b"no"); 3];
    items[1].message = &too_large;
    let answers = instance.verify_batch(None, &items, &at()).unwrap();
    let bad = Err(Failure::BadSignature);
    assert_eq!(answers, [bad, Err(Failure::Backend), bad]);
}

#[test]
fn a_worker_sees_the_environment_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), &[]);
    let seen = |environment: &[&str]| {
        let environment = environment.iter().map(|&name| name.to_owned()).collect();
        let options = WorkerOptions { environment, ..worker_options() };
        let image = Arc::new(PluginImage::load_in_worker(&path, &pin(&path), options).unwrap());
        let instance = Instance::create(&image, "{}", Arc::new(Recorder::default())).unwrap();
        let pid = instance.worker().unwrap().pid.unwrap();
        std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap()
    };
    assert_eq!(seen(&[]), "");
    let path_is = format!("PATH={}\0", std::env::var("PATH").unwrap());
    assert_eq!(seen(&["PATH", "HALLMARK_NOT_SET"]), path_is);
}

#[test]
fn a_worker_is_confined() {
    let dir = tempfile::tempdir().unwrap();
    let open = std::fs::File::open(dir.path()).unwrap();
    let options = WorkerOptions { memory_bytes: 300 << 20, ..worker_options() };
    let path = compile_demo(dir.path(), &[]);
    let image = Arc::new(PluginImage::load_in_worker(&path, &pin(&path), options).unwrap());
    let instance = Instance::create(&image, "{}", Arc::new(Recorder::default())).unwrap();
    let pid = instance.worker().unwrap().pid.unwrap();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    assert!(read("status").contains("NoNewPrivs:\t1"));
    let limit = |name: &str| {
        let limits = read("limits");
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max open files"), "1024");
    // Beside the two parts of shared memory that a plugin with two calls at once has.
    assert_eq!(limit("Max address space"), ((300_u64 + 32) << 20).to_string());
    for descriptor in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = std::fs::read_link(descriptor.unwrap().path()).unwrap();
        assert_ne!(target, dir.path(), "what the host had open");
    }
    drop(open);
}

#[test]
fn a_worker_ends_with_its_instance() {
    let dir = tempfile::tempdir().unwrap();
    let (instance, recorder) = instance_in_worker(&compile_demo(dir.path(), &[]), "{}");
    let pid = instance.worker().unwrap().pid.unwrap();
    drop(instance);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(recorder.log_text().ends_with("ended in C"), "{}", recorder.log_text());
    // No line of a failure.
    assert!(!recorder.log_text().contains("failed"), "{}", recorder.log_text());
}

/// More keys than one part of the shared memory holds come in several.
#[test]
fn a_snapshot_of_any_permitted_size_comes_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (instance, recorder) =
        instance_in_worker(&compile_demo(dir.path(), &["DEMO_MANY=20000"]), "{}");
    recorder.set_secret("mode", b"many");
    let snapshot = instance.snapshot(&at()).unwrap();
    assert_eq!(snapshot.keys.len(), 20_002);
    assert!(snapshot.keys.iter().map(|key| key.attrs_json.len()).sum::<usize>() > 16 << 20);
    assert!(snapshot.keys.len() < limits::KEYS);
}
