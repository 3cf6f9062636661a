//! Tokens of SoftHSM, and keys made by OpenSSL.

use std::path::PathBuf;
use std::process::Command;

use hallmark_plugin_api::Algorithm;
use tempfile::TempDir;

/// The module of Debian's softhsm2, on any architecture.
pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(crate) const PIN: &str = "pin-of-the-tests-4711";

/// Runs a program that must succeed; gives its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().expect(program);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    output.stdout
}

/// SubjectPublicKeyInfo of a new key.
pub(crate) fn ec_public_der(curve: &str) -> Vec<u8> {
    let directory = TempDir::new().expect("a directory");
    let key = directory.path().join("key").display().to_string();
    let curve = format!("ec_paramgen_curve:{curve}");
    let group = ["-algorithm", "EC", "-pkeyopt", &curve, "-pkeyopt", "ec_param_enc:named_curve"];
    run("openssl", &[&["genpkey", "-out", &key], group.as_slice()].concat());
    run("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER"])
}

/// A certificate and the SubjectPublicKeyInfo of its key, both DER.
pub(crate) fn certificate() -> (Vec<u8>, Vec<u8>) {
    let directory = TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key, certificate) = (path("key"), path("certificate"));
    let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=k", "-days", "30"];
    run("openssl", &[&make[..], &["-keyout", &key, "-out", &certificate]].concat());
    let der = run("openssl", &["x509", "-in", &certificate, "-outform", "DER"]);
    (der, run("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER"]))
}

/// A token with keys, in a directory of its own.
pub(crate) struct SoftToken {
    directory: PathBuf,
}

impl SoftToken {
    /// Runs a test in a process of its own, in which SoftHSM finds a new token: its configuration
    /// is a variable of the environment, read once.
    pub(crate) fn in_child(test: &str, keys: &[(&str, &str, &str)], body: impl FnOnce(&Self)) {
        const DIRECTORY: &str = "HALLMARK_TEST_TOKEN";
        if let Some(directory) = std::env::var_os(DIRECTORY) {
            return body(&Self { directory: directory.into() });
        }
        let directory = TempDir::new().expect("a directory");
        let tokens = directory.path().join("tokens");
        std::fs::create_dir(&tokens).expect("creates");
        let conf = directory.path().join("softhsm2.conf");
        let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        std::fs::write(&conf, text).expect("writes");
        let mut child = Command::new(std::env::current_exe().expect("a path"));
        child.args(["--exact", test, "--nocapture"]);
        child.env(DIRECTORY, directory.path()).env("SOFTHSM2_CONF", &conf).env("TEST_PIN", PIN);
        let token = Self { directory: directory.path().to_owned() };
        token.util(&["--init-token", "--free", "--label", "t", "--so-pin", "1234", "--pin", PIN]);
        for (kind, label, id) in keys {
            token.import(kind, label, id);
        }
        let output = child.output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        assert!(!text.contains(PIN), "{text}");
    }

    fn util(&self, arguments: &[&str]) {
        let conf = self.directory.join("softhsm2.conf");
        let output = Command::new("softhsm2-util")
            .args(arguments)
            .env("SOFTHSM2_CONF", conf)
            .output()
            .expect("softhsm2-util: see tests/tools.sh");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// A new key pair, made by OpenSSL: `RSA:2048`, `EC:P-256`.
    pub(crate) fn import(&self, kind: &str, label: &str, id: &str) {
        let key = self.directory.join(format!("{label}-{id}.pem"));
        let (key, (kind, size)) = (key.display().to_string(), kind.split_once(':').expect("kind"));
        let option = match kind {
            "RSA" => format!("rsa_keygen_bits:{size}"),
            _ => format!("ec_paramgen_curve:{size}"),
        };
        run("openssl", &["genpkey", "-algorithm", kind, "-pkeyopt", &option, "-out", &key]);
        let place = ["--token", "t", "--pin", PIN, "--label", label, "--id", id];
        self.util(&[&["--import", &key], place.as_slice()].concat());
    }

    /// The public half of an imported key, DER.
    pub(crate) fn public_der(&self, label: &str, id: &str) -> Vec<u8> {
        let key = self.directory.join(format!("{label}-{id}.pem")).display().to_string();
        run("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER"])
    }

    /// True if OpenSSL takes the signature.
    pub(crate) fn openssl_verifies(
        &self,
        (label, id): (&str, &str),
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let path = |name: &str| self.directory.join(name);
        let key = path(&format!("{label}-{id}.pem"));
        let (message_file, signature_file) = (path("message"), path("signature"));
        std::fs::write(&message_file, message).expect("writes");
        std::fs::write(&signature_file, signature).expect("writes");
        let name = algorithm.name();
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", &format!("-{}", name[name.len() - 6..].to_lowercase())]);
        if name.contains("PSS") {
            openssl.args(["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]);
        }
        openssl.arg("-prverify").arg(key).arg("-signature").arg(signature_file).arg(message_file);
        openssl.output().expect("openssl").status.success()
    }

    /// Pulls the token out, or plugs it in again.
    pub(crate) fn plug(&self, there: bool) {
        let (place, aside) = (self.directory.join("tokens"), self.directory.join("aside"));
        std::fs::create_dir_all(&aside).expect("creates");
        let (from, to) = if there { (aside, place) } else { (place, aside) };
        for token in std::fs::read_dir(from).expect("lists") {
            let token = token.expect("lists");
            std::fs::rename(token.path(), to.join(token.file_name())).expect("moves");
        }
    }
}
