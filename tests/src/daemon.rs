//! A `hallmark serve` of its own on a port of its own, and the other verbs of the command line.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Client;

/// The time that anything may take on a busy machine before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running daemon. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    /// A client of it.
    pub client: Client,
}

impl Daemon {
    /// Starts a daemon on an embedded store in `dir/data`.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &["--data-dir", &dir.join("data").to_string_lossy()])
    }

    /// Starts a daemon on an embedded store in `dir/data` with this configuration file.
    pub fn start_configured(dir: &Path, toml: &str) -> Self {
        let config = crate::keys::write(dir, "hallmark.toml", toml.as_bytes());
        let data = dir.join("data");
        let data = ["--data-dir", &data.to_string_lossy()];
        Self::start_with(dir, &[&data[..], &["--config", &config.to_string_lossy()]].concat())
    }

    /// Starts a daemon on the files in `dir/config`.
    pub fn start_on_files(dir: &Path) -> Self {
        let (config, audit) = (dir.join("config"), dir.join("audit"));
        let config = ["--config-dir", &config.to_string_lossy()];
        Self::start_with(dir, &[&config[..], &["--audit-dir", &audit.to_string_lossy()]].concat())
    }

    /// Starts a daemon with these arguments to `serve`; `dir` holds its port file.
    pub fn start_with(dir: &Path, args: &[&str]) -> Self {
        Self::try_start(dir, args).unwrap_or_else(|log| panic!("the daemon did not start:\n{log}"))
    }

    /// As [`Daemon::start_with`]; answers the log of a daemon that refused to start.
    pub fn try_start(dir: &Path, args: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(binary("hallmark"));
        command.arg("serve").args(args);
        Self::spawn(dir, command)
    }

    /// Runs a command that ends in `hallmark serve …`, to which listening on a free port is added
    /// unless it says where.
    pub fn spawn(dir: &Path, mut command: Command) -> Result<Self, String> {
        let port_file = dir.join("address");
        if port_file.exists() {
            std::fs::remove_file(&port_file).expect("removes the old port file");
        }
        if !command.get_args().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--port-file").arg(&port_file);
        let mut process = Process::spawn(command);
        let address = wait_for("the daemon to start", || {
            if let Some(status) = process.ended() {
                return Some(Err(format!("{status}\n{}", process.whole_log())));
            }
            let address = std::fs::read_to_string(&port_file).ok()?;
            address.ends_with('\n').then_some(Ok(address))
        })?;
        Ok(Self { process, client: Client::new(address.trim()) })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The most memory it ever held, in MiB.
    pub fn peak_memory_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the daemon runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        kib >> 10
    }

    /// Begins to look for [`Daemon::peak_memory_mib`] from here on.
    pub fn forget_peak_memory(&self) {
        let path = format!("/proc/{}/clear_refs", self.pid());
        std::fs::write(path, "5").expect("Linux, and a daemon of our own");
    }

    /// True until it ends, for whatever reason.
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        // After the name of the program in parentheses comes its state: Z once it has ended.
        stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.child.kill().expect("kills");
        self.process.child.wait().expect("waits");
    }

    /// Sends a signal, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end.
    pub fn wait(mut self) -> ExitStatus {
        wait_for("the daemon to stop", || self.process.ended())
    }

    /// Stops it as an operator does, and expects it to say that all went well.
    pub fn stop(self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}");
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn spawn(mut command: Command) -> Self {
        command.stderr(Stdio::piped()).stdout(Stdio::null()).stdin(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        let log = Arc::new(Mutex::new(String::new()));
        let reader = collect(child.stderr.take().expect("a pipe"), Arc::clone(&log));
        Self { child, log, reader: Some(reader) }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("waits")
    }

    fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log of a process that has ended, to its last line.
    fn whole_log(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        self.log()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(pipe: ChildStderr, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    })
}

/// Runs a verb of `hallmark` against the daemon of `client`, in project `p`.
pub fn hallmark(client: &Client, args: &[&str]) -> Output {
    Command::new(binary("hallmark"))
        .args(args)
        .env("HALLMARK_ENDPOINT", &client.endpoint)
        .env("HALLMARK_PROJECT", "p")
        .output()
        .expect("hallmark runs")
}

/// Runs a verb of `hallmark` that needs no daemon.
pub fn hallmark_offline(args: &[&str]) -> Output {
    hallmark(&Client::new("127.0.0.1:1"), args)
}

/// A binary of the workspace, built by `make test` before the tests.
pub fn binary(name: &str) -> PathBuf {
    let ours = std::env::current_exe().expect("a path");
    let folder = ours.parent().expect("target/PROFILE, or target/PROFILE/deps for a test");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    let path = profile.expect("target/PROFILE").join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace`", path.display());
    path
}

/// Looks until there is something to see.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// As [`wait_for`], where looking takes a request.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let mut pace = tokio::time::interval(LOOK_EVERY);
    let started = Instant::now();
    loop {
        pace.tick().await;
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
    }
}
