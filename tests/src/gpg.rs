//! GnuPG as users run it, with a home and a clock of the test's own.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// 2024-06-01, when the keys of the tests are made unless they say otherwise.
pub const MADE: i64 = 1_717_200_000;
/// Seconds.
pub const DAY: i64 = 86_400;

/// Why a key is revoked, as gpg numbers it when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationReason {
    /// No reason given: hard.
    None = 0,
    /// Hard.
    Compromised = 1,
    /// Soft.
    Superseded = 2,
    /// Soft.
    Retired = 3,
}

/// A home directory of GnuPG. Dropped, its agent ends.
#[derive(Debug)]
pub struct Gpg {
    home: TempDir,
}

impl Default for Gpg {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        drop(Command::new("gpgconf").args(["--homedir", self.home(), "--kill", "all"]).output());
    }
}

impl Gpg {
    /// An empty home.
    pub fn new() -> Self {
        // Under /tmp: the path of the agent's socket has to be short.
        Self { home: TempDir::with_prefix_in("gpg", "/tmp").expect("a directory") }
    }

    /// Its path.
    pub fn home(&self) -> &str {
        self.home.path().to_str().expect("UTF-8")
    }

    /// Runs gpg at `at`, whatever the result.
    pub fn try_run(&self, at: i64, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut gpg = Command::new("gpg")
            .args(["--homedir", self.home(), "--batch", "--yes", "--quiet", "--no-tty"])
            .args(["--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"])
            .args(["--ignore-time-conflict", "--faked-system-time", &format!("{at}!")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("install gnupg: tests/tools.sh");
        gpg.stdin.take().expect("a pipe").write_all(stdin).expect("gpg reads");
        gpg.wait_with_output().expect("gpg ends")
    }

    /// The answer of gpg at `at`.
    pub fn run(&self, at: i64, arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
        let output = self.try_run(at, arguments, stdin);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {said}");
        output.stdout
    }

    /// Makes a key at `at` for this usage (`cert`, `cert,sign`), without an end; its fingerprint.
    pub fn key_at(&self, at: i64, algorithm: &str, usage: &str, options: &[&str]) -> String {
        let user = format!("key {} <{algorithm}@example.com>", self.fingerprints("").len());
        let make = ["--quick-gen-key", &user, algorithm, usage, "never"];
        self.run(at, &[options, &make].concat(), b"");
        self.fingerprints(&user).remove(0)
    }

    /// Makes a key that certifies and signs; its fingerprint.
    pub fn key(&self, algorithm: &str) -> String {
        self.key_at(MADE, algorithm, "cert,sign", &[])
    }

    /// Adds a subkey that signs; its fingerprint.
    pub fn subkey(&self, at: i64, primary: &str, algorithm: &str) -> String {
        self.run(at, &["--quick-add-key", primary, algorithm, "sign", "never"], b"");
        self.fingerprints(primary).pop().expect("a subkey")
    }

    /// The fingerprints of all certificates that match, each primary key's first.
    pub fn fingerprints(&self, user: &str) -> Vec<String> {
        let mut arguments = vec!["--with-colons", "--list-keys"];
        if !user.is_empty() {
            arguments.push(user);
        }
        let listed = self.try_run(MADE, &arguments, b"").stdout;
        let lines = String::from_utf8(listed).expect("text");
        let fingerprint =
            |line: &str| Some(line.strip_prefix("fpr:")?.split(':').nth(8)?.to_owned());
        lines.lines().filter_map(fingerprint).collect()
    }

    /// The certificate, armored.
    pub fn export(&self, fingerprint: &str) -> String {
        let armored = self.run(MADE, &["--armor", "--export", fingerprint], b"");
        String::from_utf8(armored).expect("armor")
    }

    /// The certificate with no more than the latest self-signatures, armored.
    pub fn export_minimal(&self, fingerprint: &str) -> String {
        let minimal = ["--export-options", "export-minimal", "--armor", "--export", fingerprint];
        String::from_utf8(self.run(MADE, &minimal, b"")).expect("armor")
    }

    /// Signs with exactly this key or subkey, in the form that the arguments ask for.
    pub fn sign(&self, key: &str, at: i64, arguments: &[&str], payload: &[u8]) -> Vec<u8> {
        let key = format!("{key}!");
        self.run(at, &[&["--local-user", &key], arguments].concat(), payload)
    }

    /// Gives a key an end, in a self-signature of `at`; of a subkey where `subkey` is not empty.
    pub fn expire(&self, at: i64, primary: &str, subkey: &str, date: &str) {
        let all = ["--quick-set-expire", primary, date, subkey];
        let given = if subkey.is_empty() { 3 } else { 4 };
        self.run(at, &all[..given], b"");
    }

    /// Revokes the whole certificate at `at`.
    pub fn revoke(&self, at: i64, primary: &str, reason: RevocationReason) {
        let answers = format!("y\n{}\n\ny\n", reason as u8);
        let arguments = ["--no-batch", "--command-fd", "0", "--gen-revoke", primary];
        let revocation = self.run(at, &arguments, answers.as_bytes());
        self.run(at, &["--import"], &revocation);
    }

    /// Revokes the first subkey at `at`.
    pub fn revoke_subkey(&self, at: i64, primary: &str, reason: RevocationReason) {
        let answers = format!("key 1\nrevkey\ny\n{}\n\ny\nsave\n", reason as u8);
        let arguments = ["--no-batch", "--command-fd", "0", "--edit-key", primary];
        self.run(at, &arguments, answers.as_bytes());
    }
}
