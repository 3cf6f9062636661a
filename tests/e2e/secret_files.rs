//! Files that hold secrets: who else may write them, who may read them, and what is shown of them.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_tests::daemon::{Daemon, binary, hallmark, hallmark_offline};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::pki::Authority;
use hallmark_tests::project::{World, image};

fn with_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .expect("changes the mode");
}

/// A configuration that names a secret of each kind; each of them is good.
struct Secrets {
    dir: tempfile::TempDir,
}

/// Files of [`Secrets`].
const KINDS: [&str; 4] = ["server.key", "signing.pem", "pin", "auth.toml"];

impl Secrets {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Authority::new("servers").server().write(dir.path(), "server");
        Key::shared("ECDSA_P256_SHA256").write(dir.path(), "signing");
        write(dir.path(), "pin", b"0815");
        write(dir.path(), "auth.toml", b"");
        let this = Self { dir };
        KINDS.iter().for_each(|name| with_mode(&this.path(name), 0o600));
        let toml = format!(
            "data_dir = '{}'\ntls.cert = '{}'\ntls.key = '{}'\nauth.file = '{}'\n\
             [[plugins]]\nname = 'pkix'\nconfig = {{ signing_keys = [{{ path = '{}' }}] }}\n\
             secrets = {{ pin = '{}' }}\n",
            this.path("data").display(),
            this.path("server.pem").display(),
            this.path("server.key").display(),
            this.path("auth.toml").display(),
            this.path("signing.pem").display(),
            this.path("pin").display(),
        );
        write(this.dir.path(), "hallmark.toml", toml.as_bytes());
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `hallmark check` with these flags: if it is content, and what it says.
    fn check(&self, flags: &[&str]) -> (bool, String) {
        let config = self.path("hallmark.toml").to_string_lossy().into_owned();
        let output = hallmark_offline(&[&["check", "--config", &config], flags].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    }

    fn start(&self, flags: &[&str]) -> Result<Daemon, String> {
        let config = self.path("hallmark.toml").to_string_lossy().into_owned();
        Daemon::try_start(self.dir.path(), &[&["--config", &config], flags].concat())
    }
}

#[test]
fn what_others_may_write_is_refused_and_what_they_may_read_is_named() {
    let secrets = Secrets::new();
    let (good, said) = secrets.check(&["--strict-permissions"]);
    assert!(good && !said.contains("warning"), "{said}");
    for name in KINDS {
        let path = secrets.path(name);
        for mode in [0o620, 0o602] {
            with_mode(&path, mode);
            let (good, said) = secrets.check(&[]);
            assert!(!good && said.contains(name) && said.contains("may write"), "{name}: {said}");
        }
        with_mode(&path, 0o644);
        let (good, said) = secrets.check(&[]);
        assert!(good && said.contains(name) && said.contains("may read"), "{name}: {said}");
        let (good, said) = secrets.check(&["--strict-permissions"]);
        assert!(!good && said.contains(name), "{name}: {said}");
        with_mode(&path, 0o600);
    }
    // Whoever may write the directory may replace the file.
    with_mode(secrets.dir.path(), 0o777);
    let (good, said) = secrets.check(&[]);
    assert!(!good && said.contains("may write"), "{said}");
    with_mode(secrets.dir.path(), 0o700);

    with_mode(&secrets.path("pin"), 0o666);
    let refused = secrets.start(&[]).expect_err("refused");
    assert!(refused.contains("pin") && refused.contains("may write"), "{refused}");
    with_mode(&secrets.path("pin"), 0o644);
    secrets.start(&["--strict-permissions"]).expect_err("refused");
    let daemon = secrets.start(&[]).expect("starts");
    let log = daemon.log();
    assert!(log.contains("WARN") && log.contains("pin: others than its owner may read"), "{log}");
}

#[tokio::test]
async fn readyz_names_what_others_may_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let pin = write(dir.path(), "pin", b"0815");
    with_mode(&pin, 0o644);
    let toml = format!("[[plugins]]\nname = 'pkix'\nsecrets = {{ pin = '{}' }}\n", pin.display());
    let daemon = Daemon::start_configured(dir.path(), &toml);
    let answer = daemon.client.get("/readyz").await;
    assert_eq!(answer.status, 200);
    let named = answer.json["exposedSecrets"][0].as_str().unwrap_or_default();
    assert!(named.contains("/pin: others than its owner may read"), "{}", answer.text);
}

/// Links through `..data` in a sticky directory, as the kubelet makes them.
#[test]
fn a_secret_as_kubernetes_mounts_it_is_good() {
    let secrets = Secrets::new();
    let mount = secrets.path("mount");
    let version = mount.join("..2026_11_30_12_00_00.1");
    std::fs::create_dir_all(&version).expect("creates");
    std::fs::rename(secrets.path("server.key"), version.join("server.key")).expect("moves");
    symlink("..2026_11_30_12_00_00.1", mount.join("..data")).expect("links");
    symlink("..data/server.key", mount.join("server.key")).expect("links");
    symlink("mount/server.key", secrets.path("server.key")).expect("links");
    with_mode(&mount, 0o3777);
    for mode in [0o440, 0o640] {
        with_mode(&version.join("server.key"), mode);
        let (good, said) = secrets.check(&["--strict-permissions"]);
        assert!(good, "{mode:o}: {said}");
    }
    with_mode(&version, 0o777);
    let (good, said) = secrets.check(&[]);
    assert!(!good && said.contains("..2026_11_30"), "{said}");
}

#[tokio::test]
async fn the_command_line_signs_with_no_key_that_others_may_write() {
    let world = World::new().await;
    let (key, _) = world.key.write(world.dir.path(), "key");
    let sign = || {
        hallmark(
            world.client(),
            &[
                "attestations",
                "sign-and-create",
                "--attestor=build",
                "--artifact-url",
                &image("signed"),
                "--key",
                &key.to_string_lossy(),
            ],
        )
    };
    with_mode(&key, 0o606);
    let refused = sign();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("may write"), "{said}");
    with_mode(&key, 0o644);
    let signed = sign();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
}

/// A crash leaves no core, whatever the shell that started the daemon allows.
#[test]
fn a_crash_leaves_no_core() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("sh");
    let script = "ulimit -c unlimited 2>/dev/null; exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(binary("hallmark")).current_dir(dir.path());
    command.args(["serve", "--data-dir"]).arg(dir.path().join("data"));
    let daemon = Daemon::spawn(dir.path(), command).expect("starts");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("Linux");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    daemon.signal("ABRT");
    let status = daemon.wait();
    assert!(status.signal().is_some() && !status.core_dumped(), "{status:?}");
}

/// A value where the name of a file or secret belongs is not shown.
#[test]
fn a_secret_in_the_place_of_its_name_is_not_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::shared("ECDSA_P256_SHA256").private_pem;
    let body = key.lines().nth(1).expect("a body");
    let data = format!("data_dir = '{}'\n", dir.path().join("data").display());
    for (toml, secret) in [
        (format!("tls.cert = 'c'\ntls.key = '''{key}'''"), body),
        ("[[plugins]]\nname = 'pkix'\nsecrets = { pin = 'hunter2-4711' }".to_owned(), "hunter2"),
        ("[[plugins]]\nname = 'pkix'\nstale_grace_secs = 'hunter2-4711'".to_owned(), "hunter2"),
        ("limits.connections = hunter2-4711".to_owned(), "hunter2"),
        ("auth.tokens = 'hunter2-4711'".to_owned(), "hunter2"),
        ("[auth.tokens]\nhunter2-4711 = 'user:a'".to_owned(), "hunter2"),
        (
            "[[plugins]]\nname = 'pgp'\nconfig = { signing_keys = [{ path = '/etc/hostname', \
             passphrase = 'hunter2-4711' }] }"
                .to_owned(),
            "hunter2",
        ),
        (
            "[[plugins]]\nname = 'pgp'\nconfig = { refresh_secs = 'hunter2-4711' }".to_owned(),
            "hunter2",
        ),
    ] {
        let config = write(dir.path(), "hallmark.toml", format!("{data}{toml}\n").as_bytes());
        let started = Daemon::try_start(dir.path(), &["--config", &config.to_string_lossy()]);
        let said = started.map_or_else(|said| said, |daemon| daemon.log());
        assert!(!said.contains(secret), "{toml}:\n{said}");
    }
}
