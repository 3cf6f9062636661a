//! One life of a plugin: loaded, made, asked once, ended.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Program;
use super::finding::Trouble;
use super::job::Subject;
use super::plugin::Loaded;

/// The findings of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// Name, from the table.
    pub plugin: String,
    /// Version, from the table.
    pub version: String,
    /// Who made it, from the table.
    pub vendor: String,
    /// Steps that were done, in order, with the milliseconds each took.
    pub steps: Vec<(String, f64)>,
    /// Ids of the first keys of its snapshot.
    pub keys: Vec<String>,
    /// Keys in its snapshot.
    pub key_count: usize,
    /// Ids of keys that the daemon would not use, and why; the first of them.
    pub refused: Vec<(String, String)>,
    /// The number of all such keys.
    pub refused_count: usize,
    /// The fault at the step after the last one; `None` if all went well.
    pub fault: Option<String>,
}

/// Ids that are shown, of either kind.
const KEYS_SHOWN: usize = 10;

pub(super) fn run(subject: &Subject, program: Program) -> Probed {
    let mut probed = Probed {
        plugin: String::new(),
        version: String::new(),
        vendor: String::new(),
        steps: Vec::new(),
        keys: Vec::new(),
        key_count: 0,
        refused: Vec::new(),
        refused_count: 0,
        fault: None,
    };
    if let Err(trouble) = live(subject, program, &mut probed) {
        probed.fault = Some(match trouble {
            Trouble::Fail(text) => text,
            Trouble::Skip(text) => text.to_owned(),
            Trouble::Stale => "its first snapshot is stale".to_owned(),
        });
    }
    probed
}

fn live(subject: &Subject, program: Program, probed: &mut Probed) -> Result<(), Trouble> {
    let mut begun = Instant::now();
    let mut step = |name: &str| {
        let took = begun.elapsed().as_secs_f64() * 1e3;
        begun = Instant::now();
        (name.to_owned(), (took * 1e3).round() / 1e3)
    };
    let loaded = Loaded::new(subject)?;
    let info = loaded.image.info();
    probed.plugin.clone_from(&info.name);
    probed.version.clone_from(&info.version);
    probed.vendor.clone_from(&info.vendor);
    probed.steps.push(step("load"));
    let instance = loaded.create()?;
    probed.steps.push(step("create"));
    instance.health().map_err(|refusal| refusal.unexpected("health"))?;
    probed.steps.push(step("health"));
    if let Some(open) = instance.open_if_any()? {
        probed.steps.push(step("snapshot"));
        probed.key_count = open.keys.len();
        let refused = (program.judge)(&open.keys, info);
        probed.refused_count = refused.len();
        probed.refused = refused.into_iter().take(KEYS_SHOWN).collect();
        probed.keys = open.keys.iter().take(KEYS_SHOWN).map(|key| key.id.clone()).collect();
    }
    drop(instance);
    probed.steps.push(step("destroy"));
    Ok(())
}
