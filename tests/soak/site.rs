//! Where the daemon lives: a small disk, a clock that can be set, keys made by OpenSSL, and who may
//! do what.

use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_tests::daemon::{Daemon, binary};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::sha256_hex;
use tempfile::TempDir;

/// Files of the log that are rotated often, and deciders that may ask without end.
const CONFIGURATION: &[u8] = b"audit.rotate_mib = 8\naudit.principal_kib_per_second = 1048576\n";

/// Room for database and audit log: enough for a minute of both, and filled in no time. It is memory
/// while the disk is full.
const DISK_MIB: u64 = 1_024;

/// Debian's package `libfaketime`, on any architecture.
const CLOCK_LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// Those who ask, write and attack, each with a token of its own.
pub(crate) const PRINCIPALS: [&str; 8] =
    ["writer", "decider0", "decider1", "decider2", "decider3", "attacher", "operator", "nobody"];

/// The principals that ask for decisions.
pub(crate) const DECIDERS: std::ops::Range<usize> = 0..4;

/// The daemon's files, and what is needed to start it again.
#[derive(Debug)]
pub(crate) struct Site {
    // Before `dir`: a folder that a file system is mounted in cannot be removed.
    disk: Option<Tmpfs>,
    dir: TempDir,
    clock: Option<PathBuf>,
    /// Trusted by attestor `build` of every project.
    pub(crate) build: Key,
    /// Trusted by attestor `qa` of project `fixed`.
    pub(crate) qa: Key,
    /// Trusted by nobody.
    pub(crate) stranger: Key,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("hallmark-soak-").tempdir().expect("a directory");
        let disk = Tmpfs::mount(&dir.path().join("disk"));
        if disk.is_none() {
            eprintln!("soak: no tmpfs may be mounted here: disks are full by RLIMIT_FSIZE alone");
        }
        let clock = CLOCK_LIBRARIES.iter().any(|library| Path::new(library).exists());
        if !clock {
            eprintln!("soak: no libfaketime here (Debian: libfaketime): the clock is not stepped");
        }
        let clock = clock.then(|| write(dir.path(), "clock", b"+0"));
        let this = Self {
            disk,
            clock,
            build: Key::generate("ECDSA_P256_SHA256"),
            qa: Key::generate("ED25519"),
            stranger: Key::generate("ECDSA_P256_SHA256"),
            dir,
        };
        std::fs::create_dir_all(this.data()).expect("creates");
        write_secret(this.dir.path(), "auth.toml", &auth());
        write(this.dir.path(), "hallmark.toml", CONFIGURATION);
        this
    }

    fn state(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.dir.path().join("state"), |disk| disk.0.clone())
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.state().join("data")
    }

    /// The directory of the audit log.
    pub(crate) fn audit(&self) -> PathBuf {
        self.state().join("audit")
    }

    /// The file system that can be filled; `None` if this user may not mount one.
    pub(crate) fn disk(&self) -> Option<&Path> {
        self.disk.as_ref().map(|disk| disk.0.as_path())
    }

    /// True if the daemon's clock can be stepped.
    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Steps the daemon's clock to this many seconds from the real time.
    pub(crate) fn set_clock(&self, seconds: i64) {
        if let Some(clock) = &self.clock {
            // Renamed into place: the daemon reads it at any time.
            let new = write(self.dir.path(), "clock.new", format!("{seconds:+}").as_bytes());
            std::fs::rename(new, clock).expect("renames");
        }
    }

    /// Keeps the files for whoever looks into a violation; answers where they are.
    pub(crate) fn keep(self) -> PathBuf {
        if let Some(disk) = &self.disk {
            let kept = self.dir.path().join("kept");
            drop(Command::new("cp").arg("--recursive").arg(&disk.0).arg(kept).status());
        }
        self.dir.keep()
    }

    /// Starts the daemon; answers its log if it does not start.
    pub(crate) fn start(&self) -> Result<Daemon, String> {
        let mut command = Command::new("sh");
        // A write beyond RLIMIT_FSIZE is to fail, not to kill.
        command.args(["-c", "umask 022; trap '' XFSZ; exec \"$@\"", "sh"]);
        if let Some(clock) = &self.clock {
            let library = CLOCK_LIBRARIES.iter().find(|library| Path::new(library).exists());
            command.arg("env").arg(format!("LD_PRELOAD={}", library.expect("looked for")));
            command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()));
            command.args(["FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]);
            command.arg("FAKETIME_CACHE_DURATION=1");
        }
        command.arg(binary("hallmark")).arg("serve");
        command.arg("--config").arg(self.dir.path().join("hallmark.toml"));
        command.arg("--auth").arg(self.dir.path().join("auth.toml"));
        command.arg("--data-dir").arg(self.data()).arg("--audit-dir").arg(self.audit());
        Daemon::spawn(self.dir.path(), command)
    }
}

/// The token of a principal.
pub(crate) fn token(name: &str) -> String {
    format!("token-of-{name}-{}", sha256_hex(name.as_bytes()))
}

fn auth() -> String {
    let known = |name: &&str| {
        let hash = sha256_hex(token(name).as_bytes());
        format!("[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'\n")
    };
    let bound = |(role, members): &(&str, Vec<String>)| {
        let members: Vec<_> = members.iter().map(|name| format!("'user:{name}'")).collect();
        let members = members.join(", ");
        format!("[[bindings]]\nrole = 'roles/{role}'\nmembers = [{members}]\nprojects = ['*']\n")
    };
    let only = |name: &str| vec![name.to_owned()];
    let both = || vec!["writer".to_owned(), "attacher".to_owned()];
    let deciders = DECIDERS.map(|number| format!("decider{number}")).collect();
    let bindings = [
        ("binaryauthorization.policyAdmin", only("writer")),
        ("binaryauthorization.attestorsAdmin", only("writer")),
        ("containeranalysis.notes.editor", only("writer")),
        ("containeranalysis.occurrences.editor", both()),
        ("containeranalysis.notes.attacher", both()),
        ("hallmark.decider", deciders),
        ("hallmark.operator", only("operator")),
    ];
    PRINCIPALS.iter().map(known).chain(bindings.iter().map(bound)).collect()
}

fn write_secret(dir: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = write(dir, name, text.as_bytes());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("sets the mode");
}

/// A small file system, unmounted when dropped.
#[derive(Debug)]
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).expect("creates");
        let mut mount = Command::new("mount");
        let size = format!("size={DISK_MIB}m");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "hallmark-soak"]).arg(at);
        let output = mount.output().ok()?;
        output.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
