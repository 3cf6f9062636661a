//! A plugin file named on the command line, and what it is run with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use hallmark_plugin_api::conformance::{self, Blob, Effort, Job, Task};

/// A plugin, and a configuration that it accepts.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// The plugin.
    #[arg(value_name = "FILE.so")]
    pub(super) file: PathBuf,
    /// Its configuration, a JSON document.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// A secret that it may ask for, and the file that holds it; may be repeated.
    #[arg(long, value_name = "NAME=FILE", value_parser = secret)]
    secret: Vec<(String, PathBuf)>,
    /// A signature in the plugin's own format, for it to take apart; may be repeated.
    #[arg(long, value_name = "FILE")]
    blob: Vec<PathBuf>,
    /// The payload that was signed, if the --blob does not hold it.
    #[arg(long, value_name = "FILE", requires = "blob")]
    payload: Option<PathBuf>,
    /// An environment variable that its worker sees, such as SOFTHSM2_CONF; may be repeated.
    #[arg(long, value_name = "NAME")]
    environment: Vec<String>,
}

fn secret(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write it as NAME=FILE")?;
    Ok((name.to_owned(), PathBuf::from(file)))
}

impl Subject {
    /// The subject with the bytes of its file as they are now.
    pub(super) fn pinned(&self) -> anyhow::Result<conformance::Subject> {
        let sha256 = conformance::sum(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        for (name, file) in &self.secret {
            let readable = std::fs::File::open(file);
            readable.with_context(|| format!("secret {name}: cannot read {}", file.display()))?;
        }
        Ok(conformance::Subject {
            file: self.file.clone(),
            sha256,
            config: self.config.clone(),
            environment: self.environment.clone(),
            blobs: self.blob.iter().map(|file| self.blob(file)).collect(),
            secrets: self.secret.iter().cloned().collect::<BTreeMap<_, _>>(),
        })
    }

    fn blob(&self, file: &Path) -> Blob {
        Blob { file: file.to_owned(), payload: self.payload.clone() }
    }

    pub(super) fn job(&self, task: Task) -> anyhow::Result<Job> {
        Ok(Job { subject: self.pinned()?, effort: Effort::default(), task })
    }
}
