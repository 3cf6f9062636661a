//! Signing on the command line with a key in a PKCS#11 token.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use hallmark_core::attestor::SignatureAlgorithm;
use serde_json::json;

use super::sign::{Signed, private};
use crate::plugin::{Catalog, PluginConfig, WorkerLimits};

/// The variable that holds the PIN where no file does.
const PIN_VARIABLE: &str = "HALLMARK_PIN";

/// Access to a token.
#[derive(Debug, Args)]
pub(super) struct Token {
    /// The PKCS#11 library of the token's vendor, for --key pkcs11:…
    #[arg(long, value_name = "FILE", env = "HALLMARK_PKCS11_MODULE", requires = "key")]
    pkcs11_module: Option<PathBuf>,
    /// The file that holds the PIN of the token; otherwise the variable HALLMARK_PIN does.
    #[arg(long, value_name = "FILE", requires = "key")]
    pin_file: Option<PathBuf>,
}

impl Token {
    /// Signs with the key that `uri` names; its id is that name.
    pub(super) fn sign(
        &self,
        uri: &str,
        algorithm: Option<SignatureAlgorithm>,
        message: &[u8],
    ) -> anyhow::Result<Signed> {
        let Some(module) = &self.pkcs11_module else {
            bail!("which token? say --pkcs11-module FILE, the library of its vendor");
        };
        let module =
            module.canonicalize().with_context(|| format!("cannot read {}", module.display()))?;
        let mut key = json!({"uri": uri});
        if let Some(algorithm) = algorithm {
            key["algorithm"] = json!(algorithm.name());
        }
        self.pin_file.as_deref().map(private).transpose()?;
        let pin = match &self.pin_file {
            Some(_) => json!({"secret": "pin"}),
            None => json!({"environment": PIN_VARIABLE}),
        };
        let settings = json!({"module": module, "pin": pin, "keys": [key], "sessions": 1});
        let mut config = PluginConfig::bundled("hsm", settings);
        config.secrets.extend(self.pin_file.iter().map(|file| ("pin".to_owned(), file.clone())));
        // Libraries are told by variables of their own where their token is.
        let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        config.limits = WorkerLimits { environment: variables.collect(), ..config.limits };
        let catalog = Catalog::load(&[config])?;
        let signed = catalog.sign("hsm", uri, message)?;
        Ok(Signed { signature: signed.signature, key_id: uri.to_owned() })
    }
}
