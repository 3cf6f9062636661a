//! A GnuPG of the test's own, with a clock of the test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A simple-signing payload.
pub(crate) const PAYLOAD: &[u8] = b"{\"critical\":{\"image\":{}}}\n";
/// 2024-06-01, when keys of the tests are made unless they say otherwise.
pub(crate) const MADE: i64 = 1_717_200_000;
pub(crate) const DAY: i64 = 86_400;

/// A home directory of GnuPG. Ends its agent when dropped.
pub(crate) struct Gpg {
    home: TempDir,
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ended =
            Command::new("gpgconf").args(["--homedir", self.home(), "--kill", "all"]).status();
    }
}

impl Gpg {
    pub(crate) fn new() -> Self {
        // Under /tmp: the path of the agent's socket has to be short.
        Self { home: TempDir::with_prefix_in("gpg", "/tmp").unwrap() }
    }

    pub(crate) fn home(&self) -> &str {
        self.home.path().to_str().unwrap()
    }

    /// What gpg answers at `at`.
    pub(crate) fn run(&self, at: i64, arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
        let mut gpg = Command::new("gpg")
            .args(["--homedir", self.home(), "--batch", "--yes", "--quiet", "--no-tty"])
            .args(["--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"])
            .args(["--faked-system-time", &format!("{at}!")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("install gnupg: tests/tools.sh");
        gpg.stdin.take().unwrap().write_all(stdin).unwrap();
        let output = gpg.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {said}");
        output.stdout
    }

    /// A key that certifies and signs; its fingerprint.
    pub(crate) fn key(&self, algorithm: &str, expires: &str) -> String {
        self.key_for(algorithm, "cert,sign", expires)
    }

    pub(crate) fn key_for(&self, algorithm: &str, usage: &str, expires: &str) -> String {
        let user = format!("{algorithm} <{usage}-{expires}@example.com>");
        let arguments = ["--quick-gen-key", &user, algorithm, usage, expires];
        self.run(MADE, &arguments, b"");
        self.fingerprints(&user).remove(0)
    }

    /// The fingerprints of a certificate, the primary key's first.
    pub(crate) fn fingerprints(&self, user: &str) -> Vec<String> {
        let listed = self.run(MADE, &["--with-colons", "--list-keys", user], b"");
        let lines = String::from_utf8(listed).unwrap();
        let fingerprint =
            |line: &str| Some(line.strip_prefix("fpr:")?.split(':').nth(8)?.to_owned());
        lines.lines().filter_map(fingerprint).collect()
    }

    pub(crate) fn export(&self, fingerprint: &str) -> Vec<u8> {
        self.run(MADE, &["--armor", "--export", fingerprint], b"")
    }

    pub(crate) fn sign(&self, fingerprint: &str, at: i64, arguments: &[&str]) -> Vec<u8> {
        self.run(at, &[&["--local-user", fingerprint], arguments].concat(), PAYLOAD)
    }
}

/// A file in a directory.
pub(crate) fn written(directory: &TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// As JSON wants it.
pub(crate) fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
