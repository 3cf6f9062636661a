//! Faults made on purpose, to see that the checker finds them: `--plant stale` and its like. A run
//! with one of them must fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_tests::client::Client;
use hallmark_tests::project;
use hallmark_tests::soak::Promise;

use super::soak::Soak;
use super::subjects::policy;

/// A fault made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Some answers are taken for those of the first state.
    Stale,
    /// Somebody lets images into project `fixed` that nobody signed.
    Unsigned,
    /// The database of an earlier life is put back.
    Lost,
    /// The last lines of the audit log are cut off.
    Missing,
}

impl Plant {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "stale" => Self::Stale,
            "unsigned" => Self::Unsigned,
            "lost" => Self::Lost,
            "missing" => Self::Missing,
            _ => return None,
        })
    }

    /// The promises that it breaks: the run is over once one of them is found broken.
    pub(crate) fn breaks(self) -> &'static [Promise] {
        match self {
            Self::Stale => &[Promise::NothingStale],
            Self::Unsigned => &[Promise::NothingUnsigned],
            Self::Lost => &[Promise::NothingLost, Promise::NothingStale],
            Self::Missing => &[Promise::RecordedOnce],
        }
    }
}

/// Does the deed while a daemon runs.
pub(crate) async fn while_it_runs(soak: &Soak, writer: &Client) {
    if soak.plant == Some(Plant::Unsigned) {
        let mut policy = policy("fixed", &[]);
        policy["defaultAdmissionRule"] = project::rule("ALWAYS_ALLOW", &[]);
        writer.put("/v1/projects/fixed/policy", &policy).await.ok();
    }
}

/// Does the deed while no daemon runs.
pub(crate) fn between_lives(soak: &Soak, life: usize) {
    let (data, aside) = (soak.site.data(), soak.site.data().with_extension("aside"));
    match (soak.plant, life % 2) {
        (Some(Plant::Lost), 0) => copy(&data, &aside),
        (Some(Plant::Lost), _) => {
            std::fs::remove_dir_all(&data).expect("removes");
            std::fs::rename(&aside, &data).expect("moves");
        }
        (Some(Plant::Missing), _) => cut_off(&soak.site.audit()),
        _ => {}
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("--recursive").args([from, to]).status();
    assert!(status.expect("cp runs").success());
}

/// Cuts the last whole lines of the log off.
fn cut_off(dir: &Path) {
    let files = std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    let newest = files.filter(is_log).max().expect("a log");
    let text = std::fs::read(&newest).expect("reads");
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let kept = lines[..lines.len().saturating_sub(4)].concat();
    std::fs::write(newest, kept).expect("writes");
}
