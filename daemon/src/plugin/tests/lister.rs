//! A plugin that lists whatever keys a test writes into its secret.

use super::*;

/// `HALLMARK_KEY_VERIFY | HALLMARK_KEY_HOST_VERIFY`.
pub(super) const HOST: u32 = 5;
/// `HALLMARK_KEY_SHARES_ID`.
pub(super) const SHARES_ID: u32 = 64;

/// One instance of it, and its keys.
pub(super) struct Lister {
    dir: tempfile::TempDir,
    pub(super) config: PluginConfig,
}

impl Lister {
    /// Of this name, compiled with more arguments, with these keys.
    pub(super) fn new(name: &str, arguments: &[&str], keys: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = compiled(dir.path(), "lister_plugin.c", arguments);
        let sum = Sha256::digest(std::fs::read(&path).unwrap());
        let config = PluginConfig {
            path: Some(path),
            pins: vec![sum.into()],
            secrets: ["keys", "stuck"].map(|name| (name.to_owned(), dir.path().join(name))).into(),
            ..PluginConfig::bundled(name, serde_json::json!({}))
        };
        let lister = Self { dir, config };
        lister.list(keys);
        lister.stay_in("nothing");
        lister
    }

    pub(super) fn list(&self, keys: &[String]) {
        std::fs::write(self.dir.path().join("keys"), keys.join("\n")).unwrap();
    }

    /// Has it stay in that call until told otherwise.
    pub(super) fn stay_in(&self, call: &str) {
        std::fs::write(self.dir.path().join("stuck"), call).unwrap();
    }

    /// Ends its source: what cannot be read is no key list.
    pub(super) fn take_down(&self) {
        std::fs::write(self.dir.path().join("keys"), "nonsense").unwrap();
    }
}

/// A line of its list.
pub(super) fn line(handle: u32, flags: u32, algorithm: u32, id: &str, spki_der: &[u8]) -> String {
    let hex: String = spki_der.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{handle} {flags} {algorithm} {id} {hex}")
}

/// A line with a P-256 key that the host verifies with.
pub(super) fn p256(handle: u32, id: &str, spki_der: &[u8]) -> String {
    line(handle, HOST, SignatureAlgorithm::EcdsaP256Sha256.number(), id, spki_der)
}

/// The keys that an id is resolved to, each by its plugin.
pub(super) fn plugins(catalog: &Catalog, id: &str) -> Vec<String> {
    let resolved = catalog.resolve(&reference(id));
    let keys = resolved.map(|resolved| resolved.keys).unwrap_or_default();
    keys.iter().map(|key| key.plugin.to_string()).collect()
}
