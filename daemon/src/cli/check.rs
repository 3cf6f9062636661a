//! `hallmark check`.

use clap::Args;

use super::Outcome;
use super::serve::Serve;
use crate::app::permissions;
use crate::auth::Guard;
use crate::tls::Tls;

/// Read what `serve` would read with the same flags, and say what is wrong with it: the
/// configuration, who may do what, the certificates, and who else may read or write the files that
/// hold secrets. Starts nothing.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    serve: Serve,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let config = self.serve.config()?;
        let exposed = permissions::judge(&config)?;
        config.tls.clone().map(Tls::load).transpose()?;
        config.auth.clone().map(Guard::load).transpose()?;
        for warning in &exposed {
            println!("warning: {warning}");
        }
        println!("the configuration is good");
        Ok(Outcome::Done)
    }
}
