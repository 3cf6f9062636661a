//! The command line: every verb, its output as JSON, its exit code.

use std::path::Path;
use std::process::Output;

use hallmark_tests::daemon::{Daemon, binary, hallmark, hallmark_offline};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{
    KEY_ID, REPOSITORY, World, attestor_body, image, occurrence, payload, policy, sha256_hex,
};
use serde_json::{Value, json};

/// A daemon and the command line on it.
pub(crate) struct Cli {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) daemon: Daemon,
}

impl Cli {
    pub(crate) fn new() -> Self {
        Self::configured(|_| String::new())
    }

    /// With a configuration file, which may name files in the directory that it is given.
    pub(crate) fn configured(toml: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = Daemon::start_configured(dir.path(), &toml(dir.path()));
        Self { dir, daemon }
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        hallmark(&self.daemon.client, args)
    }

    /// The output of a verb that succeeds.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        printed(&self.output(args), 0)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let printed = self.run(&[args, &["--format", "json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{args:?}: {printed}"))
    }

    /// The message of a verb that fails.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        failure(&self.output(args))
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        write(self.dir.path(), name, content.as_ref()).to_string_lossy().into_owned()
    }
}

pub(crate) fn printed(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn failure(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "nothing but the error");
    error
}

/// From nothing to an allowed image, with no tool but `hallmark` and OpenSSL.
#[test]
fn a_project_is_furnished_and_an_image_allowed() {
    let cli = Cli::new();
    let (build, qa) = (Key::shared("ECDSA_P256_SHA256"), Key::shared("RSA_SIGN_PKCS1_2048_SHA256"));
    let qa_private = furnish(&cli, &build, &qa);

    let image = image("shipped");
    let bytes = cli.output(&["create-signature-payload", "--artifact-url", &image]).stdout;
    assert_eq!(bytes, payload(&image));
    let signature = cli.file("signature", build.sign(&bytes));
    let build = ["--attestor", "build", "--artifact-url", &image];
    let signed = ["--signature-file", &signature, "--public-key-id", KEY_ID];
    let created = cli.json(&[&["attestations", "create"], &build[..], &signed].concat());
    assert_eq!(created["noteName"], "projects/p/notes/build");
    assert_eq!(created["resourceUri"], image, "without a scheme, as Google's tool files it");
    let denied = printed(&cli.output(&["decide", &image]), 2);
    assert!(denied.contains("attestors/qa: NO_ATTESTATIONS"), "{denied}");

    let qa = ["--attestor", "qa", "--artifact-url", &image];
    let key = ["--key", &qa_private, "--algorithm", "rsa-sign-pkcs1-2048-sha256"];
    cli.json(&[&["attestations", "sign-and-create"], &qa[..], &key].concat());
    let allowed = cli.run(&["decide", &image]);
    assert!(allowed.contains("ALLOWED") && allowed.contains("ATTESTED"), "{allowed}");

    let listed = cli.json(&[&["attestations", "list"], &build[..]].concat());
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let other = hallmark_tests::project::image("other");
    let build = ["--attestor", "build", "--artifact-url", &other];
    assert_eq!(cli.json(&[&["attestations", "list"], &build[..]].concat()), json!([]));
}

/// Two attestors, a key each, and a policy that requires both. Answers the path of the private key
/// of `qa`.
fn furnish(cli: &Cli, build: &Key, qa: &Key) -> String {
    let (_, build_public) = build.write(cli.dir.path(), "build");
    let (qa_private, qa_public) = qa.write(cli.dir.path(), "qa");
    for attestor in ["build", "qa"] {
        let created = cli.json(&["notes", "create", attestor, "--description", "passed"]);
        assert_eq!(created["name"], format!("projects/p/notes/{attestor}"));
        let create = ["attestors", "create", attestor, "--attestation-authority-note", attestor];
        assert_eq!(cli.json(&create)["name"], format!("projects/p/attestors/{attestor}"));
    }
    let (build, qa) = (build_public.to_string_lossy(), qa_public.to_string_lossy());
    let add = ["attestors", "public-keys", "add", "--attestor"];
    let key = ["build", "--pkix-public-key-file", &build, "--public-key-id-override", KEY_ID];
    let algorithm = ["--pkix-public-key-algorithm", "ecdsa-p256-sha256"];
    let added = cli.json(&[&add[..], &key, &algorithm].concat());
    assert_eq!(added["id"], KEY_ID);
    let key = ["projects/p/attestors/qa", "--pkix-public-key-file", &qa, "--comment", "no id"];
    let algorithm = ["--pkix-public-key-algorithm", "rsa-sign-pkcs1-2048-sha256"];
    let added = cli.json(&[&add[..], &key, &algorithm].concat());
    assert!(added["id"].as_str().is_some_and(|id| id.starts_with("ni:///sha-256;")), "{added}");

    let policy = policy("REQUIRE_ATTESTATION", &["build", "qa"]);
    let imported = cli.json(&["policy", "import", &cli.file("policy.json", policy.to_string())]);
    assert_eq!(imported["name"], "projects/p/policy");
    qa_private.to_string_lossy().into_owned()
}

#[test]
fn every_algorithm_signs_on_the_command_line() {
    let cli = Cli::new();
    cli.run(&["notes", "create", "n"]);
    cli.run(&["attestors", "create", "a", "--attestation-authority-note", "n"]);
    let policy = policy("REQUIRE_ATTESTATION", &["a"]);
    cli.run(&["policy", "import", &cli.file("policy.json", policy.to_string())]);
    for algorithm in hallmark_tests::keys::ALGORITHMS {
        let name = algorithm.to_lowercase().replace('_', "-");
        let (private, public) = Key::shared(algorithm).write(cli.dir.path(), &name);
        let id = format!("https://k/{name}");
        cli.run(&[
            "attestors",
            "public-keys",
            "add",
            "--attestor",
            "a",
            "--pkix-public-key-file",
            &public.to_string_lossy(),
            "--pkix-public-key-algorithm",
            &name,
            "--public-key-id-override",
            &id,
        ]);
        let image = image(algorithm);
        let signed = cli.output(&[
            "attestations",
            "sign-and-create",
            "--attestor",
            "a",
            "--artifact-url",
            &image,
            "--key",
            &format!("file://{}", private.display()),
            "--algorithm",
            &name,
            "--public-key-id-override",
            &id,
        ]);
        printed(&signed, 0);
        cli.run(&["decide", &image]);
    }
}

#[tokio::test]
async fn decide_says_it_in_the_exit_code_and_in_json() {
    let world = World::new().await;
    let (attested, plain) = (image("attested"), image("plain"));
    world.attest(&attested).await;
    let run = |args: &[&str], code| printed(&hallmark(world.client(), args), code);
    let json = |args: &[&str], code| -> Value {
        let printed = run(&[args, &["--format", "json"]].concat(), code);
        serde_json::from_str(&printed).expect("JSON")
    };
    assert_eq!(json(&["decide", &attested], 0)["allowed"], true);
    assert_eq!(json(&["decide", &plain], 2)["allowed"], false);
    assert_eq!(json(&["decide", &attested, &plain], 2)["images"][1]["reason"], "NOT_ATTESTED");
    let lifted = json(&["decide", &plain, "--break-glass"], 0);
    assert_eq!(lifted["breakGlass"], true);
    assert!(run(&["decide", &plain, "--break-glass"], 0).contains("break-glass"));
    let typo = json(&["decide", &plain, "--project", "typo"], 2);
    assert_eq!(typo["images"][0]["reason"], "PROJECT_UNKNOWN");
    let yaml = run(&["decide", &attested, "--format", "yaml"], 0);
    assert!(yaml.contains("allowed: true"), "{yaml}");
    let placed =
        ["decide", &attested, "--cluster", "l.c", "--namespace", "n", "--service-account", "s"];
    assert_eq!(json(&placed, 0)["images"][0]["rule"], "default admission rule");
}

#[test]
fn attestors_and_their_keys_are_looked_after() {
    let cli = Cli::new();
    let key = Key::shared("ECDSA_P256_SHA256");
    let (_, public) = key.write(cli.dir.path(), "key");
    let public = public.to_string_lossy();
    let of = |verb: &[&'static str]| -> Vec<&str> {
        [&["attestors", "public-keys"][..], verb, &["--attestor", "a"]].concat()
    };
    let add = [
        &of(&["add"])[..],
        &["--pkix-public-key-file", &public, "--pkix-public-key-algorithm", "ecdsa-p256-sha256"],
    ]
    .concat();
    cli.run(&["notes", "create", "n", "--description", "a note"]);
    assert_eq!(
        cli.json(&["notes", "describe", "n"])["attestation"]["hint"]["humanReadableName"],
        "a note"
    );
    cli.run(&["attestors", "create", "a", "--attestation-authority-note", "projects/p/notes/n"]);
    let updated = cli.json(&["attestors", "update", "a", "--description", "of releases"]);
    assert_eq!(updated["description"], "of releases");

    let id = cli.json(&add)["id"].as_str().expect("an id").to_owned();
    let again = [&add[..], &["--public-key-id-override", &id]].concat();
    let twice = format!("Public key with ID [{id}] already present on attestor [a]");
    assert!(cli.fails(&again).contains(&twice));
    let update = [&of(&["update", "PLACE"])[..], &["--comment", "rotated in May"]].concat();
    let update: Vec<_> =
        update.iter().map(|arg| if *arg == "PLACE" { id.as_str() } else { arg }).collect();
    assert_eq!(cli.json(&update)["comment"], "rotated in May");
    let listed = cli.json(&["attestors", "list"]);
    assert_eq!(listed[0]["userOwnedGrafeasNote"]["publicKeys"][0]["comment"], "rotated in May");
    let table = cli.run(&["attestors", "list"]);
    assert!(table.starts_with("NAME") && table.contains("projects/p/notes/n"), "{table}");

    cli.run(&["attestors", "public-keys", "remove", &id, "--attestor", "a"]);
    let gone = cli.fails(&["attestors", "public-keys", "remove", &id, "--attestor", "a"]);
    assert!(gone.contains("No matching public key found on attestor [a]"), "{gone}");
    assert!(cli.fails(&of(&["add"])).contains("--pkix-public-key-file"));
    let described = cli.json(&["attestors", "describe", "a"]);
    assert_eq!(described["name"], "projects/p/attestors/a");
    cli.run(&["attestors", "delete", "a"]);
    assert!(cli.fails(&["attestors", "describe", "a"]).contains("NOT_FOUND"));
}

#[test]
fn a_policy_goes_out_and_comes_in_unchanged() {
    let cli = Cli::new();
    cli.run(&["notes", "create", "n"]);
    cli.run(&["attestors", "create", "a", "--attestation-authority-note", "n"]);
    let written = "\
# As a person writes it.
globalPolicyEvaluationMode: ENABLE
admissionWhitelistPatterns:
- namePattern: registry.example.com/base/*
defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
  - projects/p/attestors/a
kubernetesServiceAccountAdmissionRules:
  shop:web:
    evaluationMode: ALWAYS_ALLOW
    enforcementMode: DRYRUN_AUDIT_LOG_ONLY
";
    cli.run(&["policy", "import", &cli.file("written.yaml", written)]);
    let comparable = |mut policy: Value| {
        policy["etag"] = Value::Null;
        policy["updateTime"] = Value::Null;
        policy
    };
    let exported = comparable(cli.json(&["policy", "export"]));
    for format in ["yaml", "json"] {
        let out = cli.run(&["policy", "export", "--format", format]);
        let out = cli.file(&format!("out.{format}"), out);
        cli.run(&["policy", "check", &out]);
        cli.run(&["policy", "import", &out]);
        assert_eq!(comparable(cli.json(&["policy", "export"])), exported, "{format}");
    }
    // The exported etag is that of the policy before: it was changed since.
    let old = cli.file("old.json", cli.run(&["policy", "export", "--format", "json"]));
    cli.run(&["policy", "import", &cli.file("written.yaml", written)]);
    assert!(cli.fails(&["policy", "import", &old]).contains("ABORTED"));
}

#[test]
fn policy_check_names_the_line_and_the_field() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |name: &str, text: &str| {
        let file = write(dir.path(), name, text.as_bytes());
        failure(&hallmark_offline(&["policy", "check", &file.to_string_lossy()]))
    };
    let bad =
        "defaultAdmissionRule:\n  evaluationMode: ALWAYS_ALOW\n  enforcementMode: 1\n  typo: 1\n";
    let error = check("bad.yaml", bad);
    for says in [
        "bad.yaml",
        "line 2",
        "defaultAdmissionRule.evaluationMode",
        "ALWAYS_ALLOW",
        "line 4",
        "typo",
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
    let error = check("bad.json", "{\"defaultAdmissionRule\":\n{\"evaluationMode\": true}}");
    assert!(error.contains("line 2") && error.contains("evaluationMode"), "{error}");
    assert!(check("syntax.yaml", "a: [1\nb: 2\n").contains("line"));
    assert!(check("empty.yaml", "").contains("empty"));
    assert!(check("policy.txt", "{}").contains(".yaml"));
    let good = write(dir.path(), "good.yaml", policy("ALWAYS_DENY", &[]).to_string().as_bytes());
    printed(&hallmark_offline(&["policy", "check", &good.to_string_lossy()]), 0);
    let missing = dir.path().join("missing.yaml");
    let error = failure(&hallmark_offline(&["policy", "check", &missing.to_string_lossy()]));
    assert!(error.contains("missing.yaml"), "{error}");
}

#[test]
fn policy_try_decides_without_a_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let project = dir.path().join("projects/p");
    for sub in ["attestors", "notes", "occurrences"] {
        std::fs::create_dir_all(project.join(sub)).expect("creates");
    }
    let (key, attested) = (Key::shared("ECDSA_P256_SHA256"), image("attested"));
    let bytes = payload(&attested);
    let filed = occurrence("build", &attested, &bytes, KEY_ID, &key.sign(&bytes));
    let put = |name: &str, value: &Value| drop(write(&project, name, value.to_string().as_bytes()));
    put("policy.json", &policy("REQUIRE_ATTESTATION", &["build"]));
    put("attestors/build.json", &attestor_body("build", &[(KEY_ID, &key)]));
    put("notes/build.json", &json!({"attestation": {}}));
    put("occurrences/o.json", &filed);
    let config = dir.path().to_string_lossy();
    let evaluate = |image: &str| {
        hallmark_offline(&["policy", "try", image, "--config-dir", &config, "--format", "json"])
    };
    let decision: Value = serde_json::from_str(&printed(&evaluate(&attested), 0)).expect("JSON");
    assert_eq!(decision["images"][0]["reason"], "ATTESTED");
    let decision: Value =
        serde_json::from_str(&printed(&evaluate(&image("plain")), 2)).expect("JSON");
    assert_eq!(decision["images"][0]["reason"], "NOT_ATTESTED");
    std::fs::write(project.join("policy.json"), "{}").expect("writes");
    assert!(failure(&evaluate(&attested)).contains("policy.json"));
}

#[test]
fn plugins_are_listed_and_described() {
    let list = printed(&hallmark_offline(&["plugins", "list", "--format", "json"]), 0);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let bytes = std::fs::read(binary("libhallmark_plugin_pkix.so")).expect("built");
    let pkix = list.as_array().expect("a list").iter().find(|one| one["name"] == json!("pkix"));
    let pkix = pkix.expect("the bundled plugin");
    assert_eq!(pkix["sha256"], sha256_hex(&bytes));
    let table = printed(&hallmark_offline(&["plugins", "list"]), 0);
    assert!(table.starts_with("NAME") && table.contains("pkix"), "{table}");
    let described =
        printed(&hallmark_offline(&["plugins", "describe", "pkix", "--format", "json"]), 0);
    let described: Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described, *pkix);
    assert!(failure(&hallmark_offline(&["plugins", "describe", "none"])).contains("none"));
}

#[test]
fn completions_and_help_are_there_for_every_shell_and_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&hallmark_offline(&["completions", shell]), 0);
        assert!(script.contains("hallmark") && script.contains("sign-and-create"), "{shell}");
    }
    let mut verbs = vec![Vec::new()];
    let mut seen = 0;
    while let Some(verb) = verbs.pop() {
        let args: Vec<&str> = verb.iter().map(String::as_str).chain(["--help"]).collect();
        let help = printed(&hallmark_offline(&args), 0);
        assert!(help.contains("Usage: hallmark"), "{verb:?}: {help}");
        seen += 1;
        let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        for line in commands.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
            let name = line.split_whitespace().next().expect("a verb").to_owned();
            if name != "help" {
                verbs.push([verb.clone(), vec![name]].concat());
            }
        }
    }
    assert!(seen >= 28, "{seen} verbs");
    assert!(printed(&hallmark_offline(&["--version"]), 0).starts_with("hallmark "));
    let version = printed(&hallmark_offline(&["version"]), 0);
    assert!(version.ends_with("\nlanes ifma\n") || version.ends_with("\nlanes portable\n"));
}

/// 2 says that an image was denied; what went wrong is 1.
#[test]
fn what_goes_wrong_is_exit_code_one_and_says_what_to_do() {
    for (args, says) in [
        (&["decide"][..], "IMAGE"),
        (&["nonsense"], "nonsense"),
        (&["decide", "i", "--nonsense"], "--nonsense"),
        (&["decide", "i"], "is it running?"),
        (&["decide", "i", "--endpoint", "ftp://h"], "http://HOST:PORT"),
        (&["attestors", "list"], "is it running?"),
        (&["policy", "import", "/nowhere.yaml"], "/nowhere.yaml"),
        (
            &[
                "attestations",
                "create",
                "--attestor",
                "a",
                "--artifact-url",
                "r/x:tag",
                "--signature-file",
                "/nowhere",
                "--public-key-id",
                "k",
            ],
            "r/x:tag",
        ),
        (
            &[
                "attestations",
                "sign-and-create",
                "--attestor",
                "a",
                "--artifact-url",
                "r/x@sha256:aa11bb22aa11bb22aa11bb22aa11bb22aa11bb22aa11bb22aa11bb22aa11bb22",
                "--key",
                "/nowhere.pem",
            ],
            "/nowhere.pem",
        ),
    ] {
        let error = failure(&hallmark_offline(args));
        assert!(error.contains(says), "{args:?}: {error}");
    }
    let no_project = std::process::Command::new(binary("hallmark"))
        .args(["decide", "i"])
        .env_remove("HALLMARK_PROJECT")
        .output()
        .expect("runs");
    assert!(failure(&no_project).contains("HALLMARK_PROJECT"));
}

#[tokio::test]
async fn a_pipe_that_closes_is_no_failure() {
    let world = World::new().await;
    let images: Vec<_> = (0..500).map(|n| image(&n.to_string())).collect();
    let pipeline =
        format!("{} decide {} | head -n 1", binary("hallmark").display(), images.join(" "));
    let output = std::process::Command::new("sh")
        .args(["-c", &pipeline])
        .env("HALLMARK_ENDPOINT", &world.client().endpoint)
        .env("HALLMARK_PROJECT", "p")
        .output()
        .expect("runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "DENIED\n");
    assert_eq!(error, "");
}

/// The exit code and the place of an error are the same on a log.
#[tokio::test]
async fn audit_verify_reads_the_log_of_a_running_daemon() {
    let world = World::new().await;
    hallmark_tests::project::decide(world.client(), &[&format!("{REPOSITORY}:v1")]).await;
    let dir = world.dir.path().join("data/audit");
    let dir: &Path = &dir;
    let text = printed(&hallmark_offline(&["audit", "verify", &dir.to_string_lossy()]), 0);
    assert!(text.starts_with("the audit log is whole: "), "{text}");
}
