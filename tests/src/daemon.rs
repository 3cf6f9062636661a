//! A `hallmark serve` of its own on a port of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;

/// How long a daemon may take to start or to stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: std::sync::Arc<std::sync::Mutex<String>>,
    /// A client of it.
    pub client: Client,
}

impl Daemon {
    /// Starts a daemon on an embedded store in `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &["--data-dir", &dir.join("data").to_string_lossy()])
    }

    /// Starts a daemon with these arguments to `serve`; `dir` holds its port file.
    pub fn start_with(dir: &Path, args: &[&str]) -> Self {
        Self::try_start(dir, args).unwrap_or_else(|log| panic!("the daemon did not start:\n{log}"))
    }

    /// As [`Daemon::start_with`]; answers the log of a daemon that refused to start.
    pub fn try_start(dir: &Path, args: &[&str]) -> Result<Self, String> {
        let port_file = dir.join("address");
        if port_file.exists() {
            std::fs::remove_file(&port_file).expect("removes the old port file");
        }
        let mut child = Command::new(binary("hallmark"))
            .args(["serve", "--listen", "127.0.0.1:0", "--port-file"])
            .arg(&port_file)
            .args(args)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("hallmark is built");
        let log = collect(child.stderr.take().expect("a pipe"));
        let started = Instant::now();
        loop {
            if let Ok(address) = std::fs::read_to_string(&port_file)
                && address.ends_with('\n')
            {
                let client = Client::new(address.trim());
                return Ok(Self { child, log, client });
            }
            if child.try_wait().expect("waits").is_some() || started.elapsed() > PATIENCE {
                drop(child.kill());
                drop(child.wait());
                std::thread::yield_now();
                return Err(log.lock().expect("log").clone());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("waits");
    }

    /// Sends a signal, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end.
    pub fn wait(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the daemon did not stop:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a verb of `hallmark` against `endpoint`, in project `p`.
pub fn hallmark(endpoint: &str, args: &[&str]) -> Output {
    Command::new(binary("hallmark"))
        .args(args)
        .env("HALLMARK_ENDPOINT", endpoint)
        .env("HALLMARK_PROJECT", "p")
        .output()
        .expect("hallmark is built")
}

/// A binary or library of the workspace, built by `make test` before the tests.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let path = profile.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace`", path.display());
    path
}

fn collect(pipe: std::process::ChildStderr) -> std::sync::Arc<std::sync::Mutex<String>> {
    let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let written = std::sync::Arc::clone(&log);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = written.lock().expect("log");
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}
