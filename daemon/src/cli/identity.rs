//! Who the client is, and which daemon it believes.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use http::header::HeaderValue;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::sign::private;
use crate::tls;

/// Where a token may come from beside a file: an argument would show in a list of processes.
const TOKEN_VARIABLE: &str = "HALLMARK_TOKEN";

/// Who the client is, and which daemon it believes.
#[derive(Clone, Debug, Args)]
pub(super) struct Identity {
    /// A file with the bearer token to send; else the variable `HALLMARK_TOKEN` is. Google's tool
    /// calls it --access-token-file.
    #[arg(
        long,
        alias = "access-token-file",
        global = true,
        value_name = "FILE",
        env = "HALLMARK_TOKEN_FILE"
    )]
    token_file: Option<PathBuf>,
    /// CAs whose certificate the daemon must have (PEM). [default: those of the system]
    #[arg(long, global = true, value_name = "FILE", env = "HALLMARK_CA_CERT")]
    ca_cert: Option<PathBuf>,
    /// A client certificate to show (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "HALLMARK_CLIENT_CERT")]
    client_cert: Option<PathBuf>,
    /// The private key of --client-cert (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "HALLMARK_CLIENT_KEY")]
    client_key: Option<PathBuf>,
}

impl Identity {
    /// The header that carries the token, where there is one.
    pub(super) fn authorization(&self) -> anyhow::Result<Option<HeaderValue>> {
        self.token_file.as_deref().map(private).transpose().context("--token-file")?;
        let token = match &self.token_file {
            // Without the path: somebody may have given the token itself.
            Some(path) => {
                std::fs::read_to_string(path).context("the file of --token-file cannot be read")?
            }
            None => std::env::var(TOKEN_VARIABLE).unwrap_or_default(),
        };
        let token = Zeroizing::new(token);
        let token = token.trim();
        if token.is_empty() {
            ensure!(self.token_file.is_none(), "--token-file: the file is empty");
            return Ok(None);
        }
        // The error says nothing of the token.
        let header = Zeroizing::new(format!("Bearer {token}"));
        let mut value = HeaderValue::from_str(&header).context("the token cannot be one")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Connects by TLS to `https`, in clear text to `http`. Whom to believe is only looked up where
    /// it is `secure`.
    pub(super) fn connector(&self, secure: bool) -> anyhow::Result<HttpsConnector<HttpConnector>> {
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots(secure)?);
        let config = match (&self.client_cert, &self.client_key) {
            (None, None) => config.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                private(key).context("--client-key")?;
                let chain = tls::certificates(cert, &read(cert)?)?;
                let bytes = Zeroizing::new(read(key)?);
                let key = tls::private_key(&bytes)
                    .map_err(|problem| anyhow!("--client-key {}: {problem}", key.display()))?;
                config.with_client_auth_cert(chain, key).context("--client-cert")?
            }
            _ => bail!("--client-cert and --client-key belong together"),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
        Ok(connector.enable_http1().enable_http2().build())
    }

    fn roots(&self, secure: bool) -> anyhow::Result<RootCertStore> {
        if let Some(path) = &self.ca_cert {
            return Ok(tls::roots(path, &read(path)?)?);
        }
        let mut roots = RootCertStore::empty();
        if secure {
            // Where the system has none, nobody is believed.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Ok(roots)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
