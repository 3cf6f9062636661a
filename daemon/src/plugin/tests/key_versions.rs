//! Signing under the names of Cloud KMS, by a plugin that does not come back.

use std::time::{Duration, Instant};

use super::super::key_versions::SIGNATURES_AT_ONCE_MAX;
use super::super::{KeyVersions, SignError, WhatToSign};
use super::*;
use crate::plugin::{KeyVersion, ProtectionLevel};

fn version(plugin: &str) -> KeyVersion {
    KeyVersion {
        name: format!("of {plugin}"),
        plugin: plugin.to_owned(),
        key: "demo:one".to_owned(),
        protection_level: ProtectionLevel::Software,
    }
}

async fn sign(versions: &KeyVersions, plugin: &str, within: Duration) -> Result<(), SignError> {
    let what = WhatToSign::Message(b"payload".to_vec());
    versions.sign(&version(plugin), what, Instant::now() + within).await.map(drop)
}

#[tokio::test]
async fn a_stuck_signer_costs_its_callers_their_deadline_and_others_nothing() {
    const SOON: Duration = Duration::from_millis(50);
    const LATER: Duration = Duration::from_secs(60);
    let dirs = ["stuck", "well"].map(|_| tempfile::tempdir().unwrap());
    dirs.iter().for_each(|dir| std::fs::write(dir.path().join("mode"), "").unwrap());
    let named = |name: &str, dir: &Path| PluginConfig { name: name.to_owned(), ..demo_config(dir) };
    let configs = [named("stuck", dirs[0].path()), named("well", dirs[1].path())];
    let catalog = Arc::new(load(&configs).unwrap());
    let versions = KeyVersions::new(catalog, vec![version("stuck"), version("well")]);
    sign(&versions, "stuck", LATER).await.unwrap();

    std::fs::write(dirs[0].path().join("mode"), "stuck").unwrap();
    for n in 0..2 * SIGNATURES_AT_ONCE_MAX {
        let error = sign(&versions, "stuck", SOON).await.unwrap_err();
        let SignError::Unavailable { text, .. } = &error else { panic!("{error}") };
        let expected = match n < SIGNATURES_AT_ONCE_MAX {
            true => "it was begun and is not over at the deadline",
            false => "all places were taken until the deadline: nothing was begun",
        };
        assert_eq!(text, expected, "{n}");
    }
    sign(&versions, "well", LATER).await.unwrap();
    std::fs::write(dirs[0].path().join("mode"), "").unwrap();
    sign(&versions, "stuck", LATER).await.unwrap();
}
