//! Every key changes the configuration, every bad value is refused with a sentence.

use std::path::PathBuf;
use std::time::Duration;

use super::file::File;
use super::{Config, ConfigError, Source};
use crate::auth::written::AuthSource;
use crate::http::engine::limits::ServerLimits;
use crate::plugin::{Isolation, PluginConfig, ProtectionLevel, Rotation, WorkerLimits};

fn config(text: &str) -> Result<Config, ConfigError> {
    parse(text).resolve(4)
}

fn parse(text: &str) -> File {
    toml::from_str(text).expect("a configuration")
}

#[test]
fn the_least_configuration_is_a_directory() {
    let config = config(r#"data_dir = "d""#).expect("resolves");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.source, Source::Data(PathBuf::from("d")));
    assert_eq!(config.audit.dir, PathBuf::from("d/audit"));
    assert_eq!((config.verifier.threads.get(), config.serve_threads.get()), (4, 4));
    assert_eq!(config.limits, ServerLimits::DEFAULT);
}

#[test]
fn every_key_is_heard() {
    let base = config(r#"data_dir = "d""#).expect("resolves");
    for line in [
        r#"listen = "127.0.0.1:1""#,
        r#"listen_metrics = "[::1]:2""#,
        r#"allowed_hosts = ["h"]"#,
        r#"port_file = "p""#,
        r#"tls = { cert = "c", key = "k" }"#,
        r#"tls = { cert = "c", key = "k", client_ca = "a" }"#,
        r#"tls = { cert = "c", key = "k", client_ca = "a", client_crl = "r" }"#,
        r#"auth.file = "a""#,
        r#"auth.tokens = [{ principal = "user:a", sha256 = "" }]"#,
        r#"auth.groups = [{ name = "group:a", members = [] }]"#,
        r#"auth.bindings = [{ role = "r", members = [], projects = [] }]"#,
        r#"system_policy = "s.yaml""#,
        "serve_threads = 2",
        r#"projects.without_policy = "allow""#,
        r#"audit.dir = "a""#,
        r#"audit.durability = "fsync""#,
        "audit.rotate_mib = 1",
        "audit.reserve_mib = 1",
        "audit.principal_kib_per_second = 1",
        "audit.principal_burst_mib = 1",
        "limits.body_bytes = 2048",
        "limits.connections = 1",
        "limits.requests_in_flight = 1",
        "limits.request_timeout_ms = 1",
        "limits.drain_timeout_ms = 1",
        "verifier.threads = 1",
        "verifier.queue_checks = 1",
        "verifier.batch_checks = 1",
        r#"lanes.engine = "portable""#,
        "lanes.hot_checks = 1",
        "lanes.table_mib = 1",
        "lanes.recheck_one_in = 1",
        "cache.verdict_mib = 1",
        "cache.evaluation_mib = 1",
        "cache.conformance_mib = 1",
        r#"kubernetes.workloads = "deny""#,
        r#"kubernetes.workloads = "ignore""#,
        r#"kubernetes.unknown_kinds = "allow""#,
        r#"plugins = [{ name = "acme" }]"#,
        &kms_key(KEY_VERSION, ""),
        &kms_key(KEY_VERSION, r#", protection_level = "hsm""#),
    ] {
        let changed = config(&format!("data_dir = \"d\"\n{line}")).expect(line);
        assert_ne!(changed, base, "{line}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    for (text, sentence) in [
        ("", "say where resources live"),
        ("data_dir = 'd'\nconfig_dir = 'c'", "exclude each other"),
        ("config_dir = 'c'", "--audit-dir"),
        ("data_dir = 'd'\nlisten = '0.0.0.0:80'", "without authentication"),
        ("data_dir = 'd'\nlisten_metrics = '10.0.0.1:80'", "without authentication"),
        ("data_dir = 'd'\nlisten = '0.0.0.0:80'\nauth = {}", "--tls-cert FILE"),
        ("data_dir = 'd'\nlisten = '[::]:80'\ntls = { cert = 'c', key = 'k' }", "--auth FILE"),
        ("data_dir = 'd'\ntls.cert = 'c'", "needs both --tls-cert and --tls-key"),
        ("data_dir = 'd'\ntls = { key = 'k', client_ca = 'a' }", "needs both"),
        (
            "data_dir = 'd'\ntls = { cert = 'c', key = 'k', client_crl = 'r' }",
            "--tls-client-ca FILE",
        ),
        (
            "data_dir = 'd'\nauth = { file = 'a', groups = [{ name = 'g', members = [] }] }",
            "leave everything else",
        ),
        ("data_dir = 'd'\nallowed_hosts = ['http://h']", "`http://h` is not a host"),
        ("data_dir = 'd'\nallowed_hosts = ['h:80']", "`h:80` is not a host"),
        ("data_dir = 'd'\nallowed_hosts = ['']", "`` is not a host"),
        ("data_dir = 'd'\nlimits.connections = 0", "limits.connections = 0 is out of range"),
        ("data_dir = 'd'\nserve_threads = 0", "serve_threads = 0 is out of range"),
        ("data_dir = 'd'\ncache.verdict_mib = 0", "cache.verdict_mib = 0 is out of range"),
        ("data_dir = 'd'\naudit.rotate_mib = 0", "audit.rotate_mib = 0 is out of range"),
        (
            "data_dir = 'd'\naudit.reserve_mib = 1048577",
            "audit.reserve_mib = 1048577 is out of range",
        ),
        (
            "data_dir = 'd'\naudit.principal_burst_mib = 0",
            "audit.principal_burst_mib = 0 is out of range",
        ),
        (
            "data_dir = 'd'\naudit.principal_kib_per_second = 0",
            "audit.principal_kib_per_second = 0 is out of range",
        ),
    ] {
        let error = config(text).expect_err(text).to_string();
        assert!(error.contains(sentence), "{text}: {error}");
    }
    let unknown = toml::from_str::<File>("data_dirr = 'd'").expect_err("unknown key").to_string();
    assert!(unknown.contains("data_dirr"), "{unknown}");
}

const KEY_VERSION: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

fn kms_key(name: &str, more: &str) -> String {
    format!(r#"kms_keys = [{{ name = "{name}", plugin = "pkix", key = "k"{more} }}]"#)
}

#[test]
fn key_versions_are_named_as_cloud_kms_names_them_and_once() {
    let config = |line: &str| config(&format!("data_dir = 'd'\n{line}"));
    let hsm = config(&kms_key(KEY_VERSION, ", protection_level = 'hsm'")).expect("resolves");
    assert_eq!(hsm.key_versions[0].protection_level, ProtectionLevel::Hsm);
    let software = config(&kms_key(KEY_VERSION, "")).expect("resolves");
    assert_eq!(software.key_versions[0].protection_level, ProtectionLevel::Software);
    let shorter = KEY_VERSION.trim_end_matches("/1");
    let longer = format!("{KEY_VERSION}/x/y");
    let nameless = KEY_VERSION.replace("/r/", "//");
    for name in ["", "k", shorter, &longer, &nameless, &KEY_VERSION.replace("keyRings", "rings")] {
        let error = config(&kms_key(name, "")).expect_err(name).to_string();
        assert!(error.contains("is not of the form projects/P/locations/L"), "{error}");
    }
    let twice =
        kms_key(KEY_VERSION, "").replace('[', "[{ name = \"N\", plugin = \"a\", key = \"b\" }, ");
    let error = config(&twice.replace("\"N\"", &format!("{KEY_VERSION:?}"))).expect_err("twice");
    assert!(error.to_string().contains("is there twice"), "{error}");
}

fn plugin(lines: &str) -> Result<PluginConfig, ConfigError> {
    let plugin = format!("data_dir = 'd'\n[[plugins]]\nname = 'acme'\n{lines}");
    config(&plugin).map(|mut config| config.plugins.remove(0))
}

#[test]
fn a_plugin_says_where_it_runs_and_what_that_may_cost() {
    let config = |lines: &str| {
        let plugin = plugin(lines).expect("resolves");
        (plugin.isolation, plugin.limits)
    };
    assert_eq!(config(""), (None, WorkerLimits::default()));
    let (isolation, limits) = config(
        "isolation = 'in-process'\ncall_timeout_ms = 250\nmemory_limit_mib = 64\n\
         environment = ['SOFTHSM2_CONF']",
    );
    let expected = WorkerLimits {
        call_timeout: Duration::from_millis(250),
        memory_bytes: 64 << 20,
        environment: vec!["SOFTHSM2_CONF".to_owned()],
        user: None,
        files: None,
    };
    assert_eq!((isolation, limits), (Some(Isolation::InProcess), expected));
    assert_eq!(config("isolation = 'worker'").0, Some(Isolation::Worker));
    assert_eq!(config("user = 65532").1.user, Some(65_532));
    let files = config("files = { read = ['/etc/acme'] }").1.files.expect("files");
    assert_eq!((files.read, files.write), (vec!["/etc/acme".into()], Vec::<PathBuf>::new()));
    assert!(config("files = {}").1.is_confined());
}

#[test]
fn files_of_a_worker_are_few_absolute_paths_and_not_of_the_daemon() {
    let refused = |lines: &str| plugin(lines).expect_err(lines).to_string();
    let many = format!("files.read = [{}]", "'/a', ".repeat(17));
    let long = format!("files.write = ['/{}']", "a".repeat(1_024));
    for lines in ["files.read = ['a']", "files.write = ['']", &many, &long] {
        assert!(refused(lines).contains("plugins.files"), "{}", refused(lines));
    }
    let inside = refused("isolation = 'in-process'\nfiles = {}");
    assert!(inside.contains("runs in the daemon"), "{inside}");
}

#[test]
fn the_files_of_a_plugin_are_pinned_by_their_hashes() {
    let pinned = |hex: &str| plugin(&format!("path = '/acme.so'\nsha256 = ['{hex}']"));
    assert_eq!(pinned(&"ab".repeat(32)).expect("a hash").pins, [[0xab; 32]]);
    for wrong in ["", "beef", &"zz".repeat(32)] {
        let refused = pinned(wrong).expect_err(wrong).to_string();
        let expected = format!("plugin `acme`: `{wrong}` is not a SHA-256 in hexadecimal");
        assert_eq!(refused, expected);
    }
}

#[test]
fn how_keys_are_replaced_is_configured_within_limits() {
    let rotation = |lines: &str| plugin(lines).map(|plugin| plugin.rotation);
    assert_eq!(rotation("").expect("resolves"), Rotation::default());
    let given = rotation(
        "stale_grace_secs = 2592000\nallow_empty = true\nunknown_key_refresh_secs = 86400",
    );
    let expected = Rotation {
        stale_grace: Duration::from_secs(2_592_000),
        allow_empty: true,
        unknown_key_interval: Some(Duration::from_secs(86_400)),
    };
    assert_eq!(given.expect("in range"), expected);
    let never = rotation("unknown_key_refresh_secs = 0").expect("0 is never");
    assert_eq!(never.unknown_key_interval, None);
    for (name, value, range) in [
        ("stale_grace_secs", 0, "1 to 2592000"),
        ("stale_grace_secs", 2_592_001, "1 to 2592000"),
        ("unknown_key_refresh_secs", 86_401, "0 to 86400"),
    ] {
        let refused = rotation(&format!("{name} = {value}")).expect_err(name).to_string();
        assert_eq!(refused, format!("plugin `acme`: {name} is {value}: give {range}"));
    }
}

#[test]
fn flags_win_over_the_file() {
    let flags = File { config_dir: Some("c".into()), ..parse("audit.dir = 'flags'") };
    let below = parse("data_dir = 'd'\nlisten = '127.0.0.1:9'\naudit.dir = 'file'");
    let config = flags.over(below).resolve(1).expect("resolves");
    assert_eq!(config.source, Source::Files("c".into()));
    assert_eq!(config.audit.dir, PathBuf::from("flags"));
    assert_eq!(config.listen.port(), 9);
}

#[test]
fn tls_and_authentication_open_the_daemon_to_the_network() {
    let config = config(
        "data_dir = 'd'\nlisten = '0.0.0.0:443'\nlisten_metrics = '[::]:9'\nauth.file = 'a'\n\
         tls = { cert = 'c', key = 'k' }",
    )
    .expect("resolves");
    assert_eq!(config.listen.to_string(), "0.0.0.0:443");
    assert_eq!(config.auth, Some(AuthSource::File("a".into())));
    assert_eq!(config.tls.map(|tls| tls.cert), Some("c".into()));
}
