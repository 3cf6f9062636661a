//! The way of a plugin from a copied folder to a decision, and the tools on the way.

use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_tests::daemon::{Daemon, binary, hallmark, hallmark_offline};
use hallmark_tests::keys::write;
use hallmark_tests::project::image;
use serde_json::{Value, json};

use super::cli::printed;

const CONFIG: &str = r#"{"key_id": "acme:release"}"#;
const VERSION: &str = "projects/acme/locations/x/keyRings/r/cryptoKeys/release/cryptoKeyVersions/1";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// A folder in which the C template was copied and built, with a seed beside it.
struct Vendor {
    dir: tempfile::TempDir,
}

impl Vendor {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for file in ["acme_plugin.c", "Makefile"] {
            let from = root().join("plugins/template-c").join(file);
            std::fs::copy(from, dir.path().join(file)).expect("copies");
        }
        let include = format!("HALLMARK={}", root().join("plugin-api/include").display());
        let made = Command::new("make").arg(include).current_dir(dir.path()).output();
        let made = made.expect("make runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let this = Self { dir };
        // Whatever the umask of whoever runs the tests.
        only_the_owner_writes(&this.plugin());
        write(this.dir.path(), "seed", &[7; 32]);
        this
    }

    fn plugin(&self) -> PathBuf {
        self.dir.path().join("libacme_plugin.so")
    }

    fn seed(&self) -> PathBuf {
        self.dir.path().join("seed")
    }

    /// `hallmark plugins VERB` on the plugin.
    fn run(&self, verb: &str, more: &[&str], code: i32) -> String {
        printed(
            &hallmark_offline(&[&["plugins", verb, &shown(&self.plugin())], more].concat()),
            code,
        )
    }

    /// As [`Vendor::run`], with a configuration that works.
    fn configured(&self, verb: &str, more: &[&str]) -> String {
        let secret = format!("--secret=seed={}", self.seed().display());
        self.run(verb, &[&["--config", CONFIG, &secret], more].concat(), 0)
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn only_the_owner_writes(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permits");
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// The tutorial of `docs/plugins.md`, step by step.
#[test]
fn a_copied_template_is_tried_pinned_and_decides() {
    let vendor = Vendor::new();
    let less = ["--threads=8", "--calls=5", "--cycles=50", "--format=json"];
    let report = read(&vendor.configured("conformance", &less));
    assert_eq!(report["conformant"], json!(true), "{report:#}");
    // With the arithmetic of the daemon.
    let checks = report["checks"].as_array().expect("a list");
    let truth = checks.iter().find(|check| check["id"] == "truth.host-verifies");
    assert_eq!(truth.expect("a check")["outcome"], json!("pass"), "{report:#}");

    let pinned = vendor.run("pin", &[], 0);
    let (lines, last) = pinned.trim_end().rsplit_once('\n').expect("lines");
    assert_eq!(last, "config = {}");
    let toml = format!(
        "{lines}\nconfig = {{ key_id = 'acme:release' }}\nsecrets = {{ seed = '{}' }}\n\n\
         [[kms_keys]]\nname = '{VERSION}'\nplugin = 'acme'\nkey = 'acme:release'\n",
        vendor.seed().display()
    );
    let daemon = Daemon::start_configured(vendor.dir.path(), &toml);
    let run = |args: &[&str], code| printed(&hallmark(&daemon.client, args), code);
    let policy = "defaultAdmissionRule:\n  evaluationMode: REQUIRE_ATTESTATION\n  \
                  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG\n  \
                  requireAttestationsBy: [projects/p/attestors/release]\n";
    let policy = write(vendor.dir.path(), "policy.yaml", policy.as_bytes());
    run(&["notes", "create", "release"], 0);
    run(&["attestors", "create", "release", "--attestation-authority-note=release"], 0);
    let key = "--key-reference=acme:release";
    run(&["attestors", "public-keys", "add", "--attestor=release", key], 0);
    run(&["policy", "import", &shown(&policy)], 0);

    let image = image("by the plugin");
    run(&["decide", &image], 2);
    let sign = ["attestations", "sign-and-create", "--attestor=release", "--artifact-url", &image];
    let with = [&format!("--keyversion={VERSION}"), "--public-key-id-override=acme:release"];
    run(&[&sign[..], &with].concat(), 0);
    assert!(run(&["decide", &image], 0).contains("acme:release"));
    // The bytes are pinned: another build is another plugin.
    let list =
        run(&["plugins", "list", "--config", &shown(&vendor.dir.path().join("hallmark.toml"))], 0);
    assert!(list.contains("acme"), "{list}");
}

#[test]
fn the_template_in_rust_passes_with_the_arithmetic_of_the_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let plugin = dir.path().join("template.so");
    let built = binary("hallmark").with_file_name("libtemplate_plugin.so");
    std::fs::copy(built, &plugin).expect("build it: cargo build -p hallmark-plugin-template");
    only_the_owner_writes(&plugin);
    let seed = format!("--secret=s={}", write(dir.path(), "seed", &[9; 32]).display());
    let config = r#"{"keys": [{"id": "template:release", "seed": "s"}]}"#;
    let args = ["plugins", "conformance", &shown(&plugin), "--config", config, &seed];
    let less = ["--threads=8", "--calls=5", "--cycles=50"];
    let table = printed(&hallmark_offline(&[&args[..], &less].concat()), 0);
    assert!(table.contains("pass  truth.host-verifies"), "{table}");
    assert!(table.ends_with("36 passed, 0 failed, 1 not applicable\n"), "{table}");
}

/// The bundled plugins keep the contract as a vendor's has to.
#[test]
fn bundled_plugins_are_tried_like_any_other() {
    let home = binary("hallmark").with_file_name("");
    let files =
        std::fs::read_dir(home).expect("lists").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_bundled = |path: &PathBuf| {
        name(path).starts_with("libhallmark_plugin_") && name(path).ends_with(".so")
    };
    let bundled: Vec<_> = files.filter(is_bundled).collect();
    assert!(!bundled.is_empty(), "build them: cargo build --workspace");
    let less = ["--threads=8", "--calls=5", "--cycles=50", "--format=json"];
    for plugin in bundled {
        let plugin = shown(&plugin);
        let args = [&["plugins", "conformance", &plugin], &less[..]].concat();
        let report = read(&printed(&hallmark_offline(&args), 0));
        let checks = report["checks"].as_array().expect("a list").iter();
        assert!(checks.filter(|check| check["outcome"] == "pass").count() > 20, "{report:#}");
    }
}

#[test]
fn one_check_is_one_check() {
    let vendor = Vendor::new();
    let report = read(&vendor.configured("conformance", &["--only=file", "--format=json"]));
    let ids = report["checks"].as_array().expect("a list").iter();
    assert_eq!(ids.filter(|check| check["outcome"] == "pass").count(), 6, "{report:#}");
    let none = hallmark_offline(&["plugins", "conformance", &shown(&vendor.plugin()), "--only=no"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn a_file_is_inspected_without_running_it_and_probed_in_a_process_of_its_own() {
    let vendor = Vendor::new();
    let seen = read(&vendor.run("inspect", &["--format=json"], 0));
    assert_eq!(seen["exports"], json!(["hallmark_plugin_entry_v1"]));
    assert_eq!(seen["manifest"]["vendor"], json!("Acme"));
    assert!(seen["needed"].as_array().expect("a list").contains(&json!("libcrypto.so.3")));

    let probed = vendor.configured("probe", &[]);
    assert!(probed.contains("acme:release") && probed.ends_with("all well\n"), "{probed}");
    let refused = vendor.run("probe", &["--config", "{}"], 2);
    assert!(refused.contains("FAILED") && refused.contains("key_id"), "{refused}");

    for place in [&[][..], &["--worker"]] {
        let args = [&["--batch=1,4", "--millis=20", "--format=json"], place].concat();
        let rates = read(&vendor.configured("bench", &args));
        let rates = rates.as_array().expect("a list");
        let of = |call: &str| rates.iter().filter(|rate| rate["call"] == call).count();
        assert_eq!((of("verify_batch"), of("sign_batch")), (2, 2), "{rates:?}");
    }

    // A constructor runs when a file is loaded, and only then.
    let mark = vendor.dir.path().join("ran");
    let source = format!(
        "#include <stdlib.h>\n#include <fcntl.h>\n\
         __attribute__((constructor)) static void run(void) {{ creat({:?}, 0600); _Exit(3); }}\n",
        shown(&mark)
    );
    let source = write(vendor.dir.path(), "loud.c", source.as_bytes());
    let loud = vendor.plugin();
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&loud).arg(source).status();
    assert!(cc.expect("cc runs").success());
    only_the_owner_writes(&loud);
    assert_eq!(read(&vendor.run("inspect", &["--format=json"], 0))["exports"], json!([]));
    assert!(!mark.exists(), "inspecting runs nothing");
    let probed = vendor.run("probe", &[], 2);
    assert!(probed.contains("exit code 3"), "{probed}");
    assert!(mark.exists(), "probing does");
    let unpinnable = hallmark_offline(&["plugins", "pin", &shown(&loud)]);
    assert_eq!(unpinnable.status.code(), Some(1), "no plugin, no pin");
}
