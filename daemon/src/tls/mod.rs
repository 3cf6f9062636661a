//! TLS of the daemon: its certificate, which clients it believes, and both again when the files
//! change.
//!
//! The provider is ring, always named: a plugin or a feature elsewhere must not choose another.
//! Resumption is within one configuration only, so no session outlives a change of the client CA.

pub mod metrics;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use der::{Decode, Encode};
use hallmark_plugin_api::textual;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, server::danger::ClientCertVerifier};

use crate::followed::{Files, Followed, LookTime};
use crate::public_key::{self, KeyTypeError};

/// A chain or a bundle of CAs: Debian's bundle of every public CA has some 220 KiB.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// Blocks of one file: as many as Debian's bundle has, several times over.
const PEM_BLOCKS_MAX: usize = 1_000;
/// Revocation lists: some 40 bytes a certificate, so a hundred thousand of them.
const CRL_BYTES_MAX: u64 = 8 << 20;

/// The files that TLS is made of, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The daemon's certificate and those between it and the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// CAs whose client certificates are believed. Without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// The revocation lists of these CAs: one of each CA in a client's chain, none of them expired.
    /// Without it nothing is taken for revoked.
    pub client_crl: Option<PathBuf>,
}

/// TLS of a listener, followed as its files change.
#[derive(Debug)]
pub struct Tls(Followed<Serving, TlsError>);

/// One state of the files.
#[derive(Debug)]
struct Serving {
    config: Arc<ServerConfig>,
    not_after: i64,
}

impl Tls {
    /// Reads the files for the first time.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        Followed::load(move |seen| Serving::read(&files, seen)).map(Self)
    }

    /// The settings of the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current().config)
    }

    /// When the serving certificate expires, in Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.0.current().not_after
    }

    /// When the files were last looked at.
    pub fn look_time(&self) -> LookTime {
        self.0.look_time()
    }

    /// Takes up changed files; see [`Followed::look`].
    pub fn look(&self) -> Option<Result<(), TlsError>> {
        self.0.look()
    }

    /// Reads the files again; see [`Followed::reload`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }
}

impl Serving {
    fn read(files: &TlsFiles, seen: &mut Files) -> Result<Self, TlsError> {
        // All are looked at before any is judged: each may be the one that is mended next.
        let cert = pem(&files.cert, seen, PEM_BYTES_MAX);
        let key = seen
            .read_secret(&files.key, PEM_BYTES_MAX)
            .map_err(|source| unreadable(&files.key, source));
        let ca = files.client_ca.as_deref();
        let ca = ca.map(|path| (path, pem(path, seen, PEM_BYTES_MAX)));
        let crl = files.client_crl.as_deref();
        let crl = crl.map(|path| (path, pem(path, seen, CRL_BYTES_MAX)));
        let chain = certificates(&files.cert, &cert?)?;
        let malformed = |path: &Path, problem: &dyn ToString| TlsError::Malformed {
            path: path.to_owned(),
            problem: problem.to_string(),
        };
        let key = private_key(&key?).map_err(|problem| malformed(&files.key, &problem))?;
        let not_after = chain.first().and_then(not_after);
        let not_after = not_after.ok_or_else(|| malformed(&files.cert, &"is no certificate"))?;
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| malformed(&files.cert, &error))?;
        let builder = match ca {
            None => builder.with_no_client_auth(),
            Some((path, ca)) => {
                let crls = crl.map(|(path, crl)| revocation_lists(path, &crl?)).transpose()?;
                let verifier = verifier(path, &ca?, crls.unwrap_or_default(), provider)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        // Refuses a key that is not the certificate's.
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| malformed(&files.cert, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), not_after })
    }
}

/// The private key of a PEM file, or what the file is instead. Nothing in it is repeated.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let why = match textual::blocks(pem, PEM_BLOCKS_MAX) {
            Err(error) => Some(error.to_string()),
            Ok(found) if found.blocks.is_empty() => {
                textual::form(pem).map(|form| format!("it is {form}"))
            }
            Ok(_) => None,
        };
        let none = "holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted)";
        why.map_or_else(|| none.to_owned(), |why| format!("{none}: {why}"))
    })
}

/// The arithmetic of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn pem(path: &Path, seen: &mut Files, bytes_max: u64) -> Result<Vec<u8>, TlsError> {
    seen.read(path, bytes_max).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> TlsError {
    TlsError::Unreadable { path: path.to_owned(), source }
}

/// Why PEM cannot be read. The library's own text may show what stands in it, and that may be a key.
fn damaged(pem: &[u8]) -> String {
    let lines = textual::blocks(pem, PEM_BLOCKS_MAX);
    lines.err().map_or_else(|| "a PEM block is damaged".to_owned(), |error| error.to_string())
}

/// Every certificate of a PEM file; at least one.
pub fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let malformed = |problem: String| TlsError::Malformed { path: path.to_owned(), problem };
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| malformed(damaged(pem)))?;
    match found.is_empty() {
        true => Err(malformed("holds no certificate in PEM".to_owned())),
        false => Ok(found),
    }
}

/// Every certificate of a PEM file, to be believed, each with a key that only its owner signs with.
pub fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (certificate, nth) in certificates(path, pem)?.into_iter().zip(1..) {
        let malformed = |problem: &dyn std::fmt::Display| TlsError::Malformed {
            path: path.to_owned(),
            problem: format!("certificate {nth}: {problem}"),
        };
        judge_key(&certificate).map_err(|error| malformed(&error))?;
        roots.add(certificate).map_err(|error| malformed(&error))?;
    }
    Ok(roots)
}

fn judge_key(certificate: &CertificateDer<'_>) -> Result<(), KeyTypeError> {
    let certificate =
        x509_cert::Certificate::from_der(certificate).map_err(|_| KeyTypeError::Der)?;
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
    public_key::judge(&spki.map_err(|_| KeyTypeError::Der)?).map(drop)
}

/// Every revocation list of a PEM file; at least one.
fn revocation_lists(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let malformed = |problem: String| TlsError::Malformed { path: path.to_owned(), problem };
    let found = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| malformed(damaged(pem)))?;
    match found.is_empty() {
        true => Err(malformed("holds no revocation list in PEM".to_owned())),
        false => Ok(found),
    }
}

/// Asks for a certificate, and takes none for an answer: the request may bring a token. Where there
/// are revocation lists, one that is missing or expired stands for everything being revoked.
fn verifier(
    path: &Path,
    ca: &[u8],
    crls: Vec<CertificateRevocationListDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(path, ca)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider)
        .with_crls(crls)
        .enforce_revocation_expiration()
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Malformed { path: path.to_owned(), problem: error.to_string() })
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let not_after = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    i64::try_from(not_after.as_secs()).ok()
}

/// Why TLS cannot be served with these files. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("{} cannot be read", textual::without_keys(&path.to_string_lossy()))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be, or the key is not the certificate's.
    #[error("{path}: {problem}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// The fault.
        problem: String,
    },
}
