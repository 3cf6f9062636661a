//! The fixture of the loader's tests: a daemon that records, and plugins to load.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hallmark_plugin_api::LogLevel;
use hallmark_plugin_api::host::{
    Circumstances, Instance, Pin, PluginImage, Services, WorkerOptions,
};
use sha2::{Digest, Sha256};

/// 2026-11-20.
pub(crate) const NOW: i64 = 1_795_000_000;

pub(crate) fn at() -> Circumstances<'static> {
    Circumstances::at(NOW)
}

/// The daemon's side of an instance, recording.
#[derive(Default)]
pub(crate) struct Recorder {
    secrets: Mutex<HashMap<String, Vec<u8>>>,
    log: Mutex<Vec<String>>,
    pushes: AtomicU32,
    lost: AtomicU64,
}

impl Recorder {
    pub(crate) fn set_secret(&self, name: &str, value: &[u8]) {
        self.secrets.lock().unwrap().insert(name.to_owned(), value.to_vec());
    }

    pub(crate) fn log_text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) fn wait_for_push(&self) {
        Self::wait_for("a push", || self.pushes() > 0);
    }

    pub(crate) fn wait_for_line(&self, part: &str) {
        Self::wait_for(part, || self.log_text().contains(part));
    }

    pub(crate) fn wait_for(what: &str, seen: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !seen() {
            assert!(Instant::now() < deadline, "no {what}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn pushes(&self) -> u32 {
        self.pushes.load(Ordering::Relaxed)
    }
}

impl Services for Recorder {
    fn log(&self, level: LogLevel, target: &str, text: &str) {
        self.log.lock().unwrap().push(format!("{level:?} {target}: {text}"));
    }

    fn log_level(&self) -> LogLevel {
        LogLevel::Info
    }

    fn log_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    fn keys_changed(&self) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
    }

    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        self.secrets.lock().unwrap().get(name).cloned()
    }

    fn unix_now(&self) -> i64 {
        NOW
    }
}

/// Compiles the plugin in C with these `-D` definitions.
pub(crate) fn compile_demo(dir: &Path, definitions: &[&str]) -> PathBuf {
    compile(dir, "tests/c-plugin/demo_plugin.c", definitions)
}

/// Compiles a plugin of this package's tests.
pub(crate) fn compile(dir: &Path, source: &str, definitions: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = dir.join("libdemo.so");
    let output = Command::new("cc")
        .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror"])
        .args(["-fPIC", "-shared", "-fvisibility=hidden"])
        .args(definitions.iter().map(|definition| format!("-D{definition}")))
        .arg("-I")
        .arg(root.join("include"))
        .arg("-o")
        .arg(&out)
        .arg(root.join(source))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    set_mode(&out, 0o755);
    out
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The pin of the file as it is now.
pub(crate) fn pin(path: &Path) -> Pin {
    Pin::Sha256(vec![Sha256::digest(std::fs::read(path).unwrap()).into()])
}

/// Workers as the tests make them: patient, since the machine may be busy.
pub(crate) fn worker_options() -> WorkerOptions {
    let executable = std::env::current_exe().unwrap();
    let program = executable.ancestors().nth(2).unwrap().join("examples/plugin_worker");
    assert!(program.exists(), "build it: cargo build -p hallmark-plugin-api --examples");
    WorkerOptions {
        program,
        arguments: Vec::new(),
        call_timeout: Duration::from_secs(20),
        memory_bytes: 512 << 20,
        environment: Vec::new(),
        user: None,
        files: None,
    }
}

/// Loads a plugin in a process of its own and makes an instance of it.
pub(crate) fn instance_in_worker(path: &Path, config: &str) -> (Arc<Instance>, Arc<Recorder>) {
    let image = PluginImage::load_in_worker(path, &pin(path), worker_options()).unwrap();
    let recorder = Arc::new(Recorder::default());
    let instance = Instance::create(&Arc::new(image), config, Arc::clone(&recorder) as _).unwrap();
    (instance, recorder)
}

/// Loads a plugin and makes an instance of it.
pub(crate) fn instance(path: &Path, config: &str) -> (Arc<Instance>, Arc<Recorder>) {
    let image = Arc::new(PluginImage::load(path, &pin(path)).unwrap());
    let recorder = Arc::new(Recorder::default());
    let instance = Instance::create(&image, config, Arc::clone(&recorder) as _).unwrap();
    (instance, recorder)
}
