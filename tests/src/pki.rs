//! Certificates as users make them: a CA and what it signs, by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::keys::{openssl, write};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    /// Its certificate: PEM.
    pub certificate: String,
}

/// A certificate and its private key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub certificate: String,
    /// PKCS#8 in PEM.
    pub key: String,
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = path(&dir, "ca.key");
        let subject = format!("/CN={name}");
        let request = ["req", "-x509", "-days", "30", "-keyout", &key, "-subj", &subject];
        let certificate = text(openssl(&[&request[..], &NEW_KEY].concat()));
        write(dir.path(), "ca.pem", certificate.as_bytes());
        Self { dir, certificate }
    }

    /// A certificate for `/CN=` and, where not empty, subject alternative names such as
    /// `IP:127.0.0.1`, valid for `days`;
    /// -1: expired.
    pub fn issue(&self, common_name: &str, names: &str, days: i32) -> Certificate {
        let key = path(&self.dir, "leaf.key");
        let subject = format!("/CN={common_name}");
        let request = ["req", "-new", "-keyout", &key, "-subj", &subject];
        let request = openssl(&[&request[..], &NEW_KEY].concat());
        let request = write(self.dir.path(), "leaf.csr", &request).to_string_lossy().into_owned();
        let extensions = match names {
            "" => "extendedKeyUsage=serverAuth,clientAuth".to_owned(),
            names => format!("extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={names}"),
        };
        let extensions = write(self.dir.path(), "extensions", extensions.as_bytes());
        let (ca, ca_key) = (path(&self.dir, "ca.pem"), path(&self.dir, "ca.key"));
        let (extensions, days) = (extensions.to_string_lossy(), days.to_string());
        let certificate = text(openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            &days,
            "-extfile",
            &extensions,
        ]));
        Certificate { certificate, key: std::fs::read_to_string(key).expect("written") }
    }

    /// The list of these certificates as revoked, in PEM; it expires in `days`.
    pub fn revoke(&self, certificates: &[&Certificate], days: i32) -> String {
        let config = "[ca]\ndefault_ca = this\n[this]\ndatabase = index.txt\ncrlnumber = number\n\
                      default_md = sha256\n";
        let dir = self.dir.path();
        write(dir, "ca.conf", config.as_bytes());
        write(dir, "index.txt", b"");
        write(dir, "number", b"01");
        let expires = match days {
            ..0 => ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z"],
            _ => ["-crldays", "30", "-md", "sha256"],
        };
        let ca = |args: &[&str]| {
            let of = ["ca", "-config", "ca.conf", "-keyfile", "ca.key", "-cert", "ca.pem"];
            let output = Command::new("openssl").args(of).args(args).current_dir(dir).output();
            let output = output.expect("openssl runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            text(output.stdout)
        };
        for certificate in certificates {
            write(dir, "revoked.pem", certificate.certificate.as_bytes());
            ca(&["-revoke", "revoked.pem"]);
        }
        ca(&[&["-gencrl"][..], &expires].concat())
    }

    /// A certificate for a daemon on loopback.
    pub fn server(&self) -> Certificate {
        self.issue("hallmark", "IP:127.0.0.1,DNS:localhost", 30)
    }
}

impl Certificate {
    /// For [`crate::client::Client::over_tls`].
    pub fn identity(&self) -> Option<(&str, &str)> {
        Some((&self.certificate, &self.key))
    }

    /// Writes both; answers the paths of the certificate and of the key.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = write(dir, &format!("{name}.pem"), self.certificate.as_bytes());
        (certificate, write(dir, &format!("{name}.key"), self.key.as_bytes()))
    }
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_string_lossy().into_owned()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("PEM")
}
