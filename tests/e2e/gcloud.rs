//! The verbs and flags of `gcloud container binauthz`, as scripts for it say them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::daemon::hallmark_offline;
use hallmark_tests::keys::{ALGORITHMS, Key};
use hallmark_tests::project::{KEY_ID, image, pae, payload, policy};
use serde_json::{Value, json};

use crate::cli::{Cli, failure, printed};

/// The collection of the key versions of Cloud KMS that a test has.
const VERSIONS: &str = "projects/kms/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions";

/// A daemon with attestor `build`, which trusts one P-256 key as [`KEY_ID`], and a policy that
/// requires it.
fn furnished() -> (Cli, Key) {
    let cli = Cli::new();
    let key = Key::shared("ECDSA_P256_SHA256");
    let (_, public) = key.write(cli.dir.path(), "build");
    attestor(&cli, "build");
    cli.run(&[
        "attestors",
        "public-keys",
        "add",
        "--attestor=build",
        &format!("--pkix-public-key-file={}", public.display()),
        "--pkix-public-key-algorithm=ecdsa-p256-sha256",
        &format!("--public-key-id-override={KEY_ID}"),
    ]);
    let policy = policy("REQUIRE_ATTESTATION", &["build"]);
    cli.run(&["policy", "import", &cli.file("policy.json", policy.to_string())]);
    (cli, key)
}

fn attestor(cli: &Cli, id: &str) {
    cli.run(&["notes", "create", id]);
    cli.run(&["attestors", "create", id, "--attestation-authority-note", id]);
}

/// As Google's documentation writes it, with another word for the first.
#[test]
fn a_script_for_googles_tool_runs_as_it_is() {
    let cli = Cli::new();
    cli.run(&["notes", "create", "n", "--project=other"]);
    cli.run(&[
        "--project=other",
        "container",
        "binauthz",
        "attestors",
        "create",
        "a",
        "--attestation-authority-note=n",
        "--attestation-authority-note-project=other",
        "--description=of releases",
        "--quiet",
    ]);
    let args = ["--project", "other", "--format", "json", "-q", "beta", "container", "binauthz"];
    let printed = cli.run(&[&args[..], &["attestors", "list"]].concat());
    let listed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(listed[0]["name"], "projects/other/attestors/a");
    assert_eq!(listed[0]["description"], "of releases");
    let table = cli.run(&["container", "binauthz", "attestors", "list", "--project=other"]);
    let table: Vec<_> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(
        table,
        [vec!["NAME", "NOTE", "NUM_PUBLIC_KEYS"], vec!["a", "projects/other/notes/n", "0"]]
    );
    let yaml = cli.run(&["container", "binauthz", "policy", "export", "--project=other"]);
    assert!(yaml.contains("\nname: projects/other/policy"), "{yaml}");
    let tokenless = ["--access-token-file=/nowhere", "container", "binauthz", "policy", "export"];
    let unread = cli.fails(&tokenless);
    assert!(unread.contains("--token-file") && unread.contains("No such file"), "{unread}");
    let refused = cli.fails(&["attestors", "list", "--format=value(name)"]);
    assert!(refused.contains("value(name)") && refused.contains("jq"), "{refused}");
    assert!(cli.fails(&["attestors", "list", "--format=xml"]).contains("yaml, json, table"));
}

#[test]
fn what_is_wrong_with_an_image_is_said_in_the_words_of_googles_tool() {
    let digits = "a".repeat(64);
    for (url, says) in [
        ("r/x@sha256:123", "Invalid digest: sha256:123, must be at least 71 characters"),
        (&format!("r/x@sha256:{digits}0"), "0, must be at most 71 characters"),
        (
            &format!("r/x@sha256:{}Z", "a".repeat(63)),
            "Z, acceptable characters include: sh:0123456789abcdef",
        ),
        (&format!("r/x@sha25:6{digits}"), "malformed digest"),
        (
            "https://r/x:tag",
            "Docker image name must be fully qualified (e.g.registry/repository@digest) saw: r/x:tag",
        ),
    ] {
        let payload = ["create-signature-payload", "--artifact-url", url, "--project=p"];
        let error = failure(&hallmark_offline(&payload));
        assert!(error.contains(says), "{url}: {error}");
        let list = ["attestations", "list", "--attestor=a", "--artifact-url", url];
        assert_eq!(hallmark_offline(&list).status.code(), Some(1));
    }
}

#[test]
fn a_key_is_changed_only_into_one_of_its_kind() {
    let (cli, _) = furnished();
    let pgp = cli.file("pgp.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    let keys = ["--project=other", "attestors", "public-keys"];
    let of = ["--attestor=build", "--attestor-project=p", "--pgp-public-key-file", &pgp];
    for (verb, says) in [
        (&["update", KEY_ID][..], "Cannot update a non-PGP PublicKey with a PGP public key"),
        (&["update", "none"], "No matching public key found on attestor [build]"),
        (&["add", "--public-key-id-override=x"], "cannot be used with"),
    ] {
        let refused = cli.fails(&[&keys[..], verb, &of].concat());
        assert!(refused.contains(says), "{verb:?}: {refused}");
    }
    let comment = ["update", KEY_ID, "--attestor=build", "--attestor-project=p", "--comment=old"];
    assert_eq!(cli.json(&[&keys[..], &comment].concat())["comment"], "old");
    cli.run(&[&keys[..], &["remove", KEY_ID, "--attestor=build", "--attestor-project=p"]].concat());
    assert_eq!(cli.json(&["attestors", "list"])[0]["userOwnedGrafeasNote"].get("publicKeys"), None);
}

/// The roles and members that a verb prints of an IAM policy.
fn bindings(policy: &Value) -> Value {
    policy.get("bindings").cloned().unwrap_or(json!([]))
}

#[test]
fn who_may_do_what_is_read_and_written_for_policies_and_attestors() {
    let (cli, _) = furnished();
    let role = "roles/binaryauthorization.policyViewer";
    for on in [&["policy"][..], &["attestors"]] {
        let (noun, resource) = (on[0], if on[0] == "attestors" { &["build"][..] } else { &[] });
        let verb = |verb: &'static str, rest: &[&'static str]| -> Vec<&'static str> {
            [&[noun, verb][..], resource, rest].concat()
        };
        let (ada, ben) = ("user:ada@example.com", "user:ben@example.com");
        let binding = ["--role", role, "--condition=None", "--member"];
        let change = |verb_: &'static str, member: &'static str| {
            [verb(verb_, &binding), vec![member]].concat()
        };
        assert_eq!(bindings(&cli.json(&verb("get-iam-policy", &[]))), json!([]));
        cli.run(&change("add-iam-policy-binding", ada));
        let added = cli.json(&change("add-iam-policy-binding", ben));
        assert_eq!(bindings(&added), json!([{"role": role, "members": [ada, ben]}]));
        assert_eq!(bindings(&cli.json(&change("add-iam-policy-binding", ben))), bindings(&added));
        let removed = cli.json(&change("remove-iam-policy-binding", ada));
        assert_eq!(bindings(&removed), json!([{"role": role, "members": [ben]}]));
        let gone = cli.fails(&change("remove-iam-policy-binding", ada));
        assert!(gone.contains("principal, role, and condition not found!"), "{gone}");

        let before = cli.file("before.json", cli.json(&verb("get-iam-policy", &[])).to_string());
        let yaml = format!("bindings:\n- role: {role}\n  members: {ada}\n");
        let file = cli.file("iam.yaml", yaml);
        let set = |file: &str| {
            let args = [verb("set-iam-policy", &[]), vec![]].concat();
            let args: Vec<&str> = args.into_iter().chain([file]).collect();
            cli.output(&[&args[..], &["--format", "json"]].concat())
        };
        let written: Value = serde_json::from_str(&printed(&set(&file), 0)).expect("JSON");
        assert_eq!(bindings(&written), json!([{"role": role, "members": [ada]}]));
        let stale = failure(&set(&before));
        assert!(stale.contains("ABORTED"), "the etag is that of the policy before: {stale}");
    }
    let conditional = ["policy", "add-iam-policy-binding", "--member=user:a@b", "--role", role];
    let refused = cli.fails(&[&conditional[..], &["--condition=expression=true"]].concat());
    assert!(refused.contains("None"), "{refused}");
    let missing = cli.fails(&["attestors", "get-iam-policy", "none"]);
    assert!(missing.contains("NOT_FOUND"), "{missing}");
}

#[test]
fn the_system_policy_is_printed_for_every_location() {
    let cli = Cli::new();
    let everywhere = cli.json(&["policy", "export-system-policy"]);
    assert_eq!(everywhere["name"], "locations/global/policy");
    let here = cli.json(&["policy", "export-system-policy", "--location=europe-west2"]);
    assert_eq!(here["name"], "locations/europe-west2/policy");
    let patterns = "admissionWhitelistPatterns";
    assert!(here[patterns].as_array().is_some_and(|patterns| !patterns.is_empty()));
    assert_eq!(here[patterns], everywhere[patterns]);
}

#[test]
fn strict_validation_refuses_what_is_legal_but_hardly_meant() {
    let (cli, _) = furnished();
    attestor(&cli, "keyless");
    let import = |name: &str, policy: &Value, flags: &[&str]| {
        let file = cli.file(name, policy.to_string());
        cli.output(&[&["policy", "import", &file][..], flags].concat())
    };
    let keyless = policy("REQUIRE_ATTESTATION", &["build", "keyless"]);
    let mut wide = policy("REQUIRE_ATTESTATION", &["build"]);
    wide["admissionWhitelistPatterns"] = json!([{"namePattern": "gcr.io/my-project**"}]);
    let mut narrow = wide.clone();
    narrow["admissionWhitelistPatterns"] = json!([{"namePattern": "gcr.io/my-project/**"}]);
    for (policy, says) in [(&keyless, "attestors/keyless has no keys"), (&wide, "my-project**")] {
        printed(&import("policy.json", policy, &[]), 0);
        let refused = failure(&import("policy.json", policy, &["--strict-validation"]));
        assert!(refused.contains(says), "{refused}");
    }
    printed(&import("policy.json", &narrow, &["--strict-validation"]), 0);
}

#[test]
fn an_exported_policy_comes_back_through_a_pipe_byte_for_byte() {
    let (cli, _) = furnished();
    let export = || -> String {
        let lines = cli.run(&["policy", "export"]);
        let kept = |line: &&str| !line.starts_with("etag:") && !line.starts_with("updateTime:");
        lines.lines().filter(kept).map(|line| format!("{line}\n")).collect()
    };
    let before = export();
    let pipeline = "\"$HALLMARK\" policy export | \"$HALLMARK\" policy import -";
    let output = std::process::Command::new("sh")
        .args(["-c", pipeline])
        .env("HALLMARK", hallmark_tests::daemon::binary("hallmark"))
        .env("HALLMARK_ENDPOINT", &cli.daemon.client.endpoint)
        .env("HALLMARK_PROJECT", "p")
        .output()
        .expect("runs");
    printed(&output, 0);
    assert_eq!(export(), before);
}

#[test]
fn an_attestation_is_validated_before_it_is_filed() {
    let (cli, key) = furnished();
    attestor(&cli, "qa");
    let (image, other) = (image("validated"), image("other"));
    let good = cli.file("good.sig", key.sign(&payload(&image)));
    let bad = cli.file("bad.sig", key.sign(&payload(&other)));
    let create = |signature: &str, attestor: &str, flags: &[&str]| {
        let args = ["attestations", "create", "--artifact-url", &image, "--public-key-id", KEY_ID];
        let place = ["--signature-file", signature, "--attestor", attestor, "--format=json"];
        cli.output(&[&args[..], &place, flags].concat())
    };
    let refused = failure(&create(&bad, "build", &["--validate"]));
    assert!(refused.contains("Attestation could not be validated! ("), "{refused}");
    let refused = failure(&create(&good, "qa", &["--validate"]));
    assert!(refused.contains("could not be validated"), "the key is not of qa: {refused}");
    let list = ["attestations", "list", "--attestor=build", "--attestor-project=p"];
    assert_eq!(cli.json(&list), json!([]), "nothing was filed");

    let created = printed(&create(&good, "build", &["--validate"]), 0);
    assert!(created.contains("projects/p/notes/build"), "{created}");
    let anyway = create(&bad, "build", &["--validate", "--quiet"]);
    assert!(String::from_utf8_lossy(&anyway.stderr).contains("Created anyway"));
    printed(&anyway, 0);
    assert_eq!(cli.json(&list).as_array().map(Vec::len), Some(2));
    cli.run(&["decide", &image]);

    let note = ["attestations", "create", "--artifact-url", &image, "--public-key-id", KEY_ID];
    let place = ["--signature-file", &good, "--note=build", "--validate"];
    let refused = cli.fails(&[&note[..], &place].concat());
    assert!(refused.contains("--attestor"), "--validate needs one to ask: {refused}");
}

#[test]
fn an_attestation_is_filed_under_a_note_or_an_attestor_of_another_project() {
    let (cli, key) = furnished();
    let image = image("elsewhere");
    let signature = cli.file("signature", key.sign(&payload(&image)));
    let filed = cli.file("payload", payload(&image));
    for place in [
        &["--note=build", "--note-project=p"][..],
        &["--attestor=build", "--attestor-project=p"],
        &["--note=projects/p/notes/build"],
        &["--attestor=projects/p/attestors/build"],
    ] {
        let args = ["--project=elsewhere", "attestations", "create", "--artifact-url", &image];
        let signed = ["--public-key-id", KEY_ID, "--signature-file", &signature];
        let output = cli.output(&[&args[..], &signed, place, &["--format=json"]].concat());
        let printed = match place[0] {
            "--note=build" => printed(&output, 0),
            // The same attestation again.
            _ => failure(&output),
        };
        let says =
            if place[0] == "--note=build" { "projects/p/notes/build" } else { "ALREADY_EXISTS" };
        assert!(printed.contains(says), "{place:?}: {printed}");
    }
    cli.run(&["decide", &image]);
    let with_payload = ["attestations", "create", "--artifact-url", &image, "--note=build"];
    let signed = ["--public-key-id", KEY_ID, "--signature-file", &signature];
    let file = ["--payload-file", &filed];
    let created = cli.json(&[&with_payload[..], &signed, &file].concat());
    assert_eq!(created["attestation"]["serializedPayload"], STANDARD.encode(payload(&image)));
}

#[test]
fn the_encoded_payload_is_signed_and_the_payload_filed() {
    let (cli, key) = furnished();
    let (private, _) = key.write(cli.dir.path(), "private");
    let private = private.to_string_lossy();
    let sign = |image: &str, flags: &[&str]| {
        let args = ["attestations", "sign-and-create", "--attestor=build", "--artifact-url", image];
        let key = ["--key", &private, "--public-key-id-override", KEY_ID];
        cli.json(&[&args[..], &key, flags].concat())
    };
    let (encoded, typed) = (image("encoded"), image("typed"));
    let filed = sign(&encoded, &["--pae-encode-payload", "--validate"]);
    assert_eq!(filed["attestation"]["serializedPayload"], STANDARD.encode(payload(&encoded)));
    cli.run(&["decide", &encoded]);
    let signature = &filed["attestation"]["signatures"][0]["signature"];
    let signature = STANDARD.decode(signature.as_str().expect("text")).expect("base64");
    assert!(verifies(&cli, &signature, &pae(&payload(&encoded))));
    assert!(!verifies(&cli, &signature, &payload(&encoded)));
    // The type is stored nowhere: one that the daemon does not know cannot be verified.
    sign(&typed, &["--pae-encode-payload", "--dsse-type=text/plain"]);
    printed(&cli.output(&["decide", &typed]), 2);
    let alone = ["attestations", "sign-and-create", "--attestor=build", "--dsse-type=t"];
    let args = ["--key", &private, "--artifact-url", &typed];
    let refused = cli.fails(&[&alone[..], &args].concat());
    assert!(refused.contains("--pae-encode-payload"), "{refused}");
}

/// True if OpenSSL accepts a signature by the key of `build`.
fn verifies(cli: &Cli, signature: &[u8], message: &[u8]) -> bool {
    let (signature, message) = (cli.file("s", signature), cli.file("m", message));
    let public = cli.dir.path().join("build.pub");
    let verify = ["dgst", "-sha256", "-verify", &public.to_string_lossy(), "-signature"];
    let mut openssl = std::process::Command::new("openssl");
    let output = openssl.args(verify).args([signature, message]).output();
    output.expect("openssl runs").status.success()
}

/// Cloud KMS has no P-521.
fn kms_algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.into_iter().filter(|algorithm| *algorithm != "ECDSA_P521_SHA512")
}

/// Every algorithm: the key of an attestor comes from Cloud KMS, and the signature too.
#[test]
fn a_key_version_is_trusted_and_signs() {
    let cli = Cli::configured(|dir| {
        let (mut signing, mut versions) = (Vec::new(), String::new());
        for (number, algorithm) in (1..).zip(kms_algorithms()) {
            let (path, _) = Key::shared(algorithm).write(dir, algorithm);
            signing.push(format!(
                "{{ path = {path:?}, id = '{algorithm}', algorithm = '{algorithm}' }}"
            ));
            versions += &format!(
                "[[kms_keys]]\nname = '{VERSIONS}/{number}'\nplugin = 'pkix'\nkey = '{algorithm}'\n"
            );
        }
        let signing = signing.join(", ");
        format!("[[plugins]]\nname = 'pkix'\nconfig = {{ signing_keys = [{signing}] }}\n{versions}")
    });
    attestor(&cli, "kms");
    let policy = policy("REQUIRE_ATTESTATION", &["kms"]);
    cli.run(&["policy", "import", &cli.file("policy.json", policy.to_string())]);
    let flags = ["--keyversion-key=k", "--keyversion-keyring=r", "--keyversion-location=global"];
    let flags = [&flags[..], &["--keyversion-project=kms"]].concat();
    for (number, algorithm) in (1..).zip(kms_algorithms()) {
        let version = format!("--keyversion={number}");

        let add = ["attestors", "public-keys", "add", "--attestor=kms", &version];
        let added = cli.json(&[&add[..], &flags].concat());
        let id = format!("//cloudkms.googleapis.com/v1/{VERSIONS}/{number}");
        assert_eq!(
            (&added["id"], &added["pkixPublicKey"]["signatureAlgorithm"]),
            (&json!(id), &json!(algorithm))
        );
        let image = image(algorithm);
        let sign = ["attestations", "sign-and-create", "--attestor=kms", "--validate"];
        let what = ["--artifact-url", &image, &format!("--keyversion={VERSIONS}/{number}")];
        let filed = cli.json(&[&sign[..], &what].concat());
        assert_eq!(filed["attestation"]["signatures"][0]["publicKeyId"], id);
        cli.run(&["decide", &image]);
    }
    let overridden = ["attestors", "public-keys", "add", "--attestor=kms", "--keyversion=1"];
    let named = ["--public-key-id-override=https://k/1", "--comment=by another name"];
    let added = cli.json(&[&overridden[..], &flags, &named].concat());
    assert_eq!(
        (&added["id"], &added["comment"]),
        (&json!("https://k/1"), &json!("by another name"))
    );
    key_versions_are_named_whole(&cli);
}

fn key_versions_are_named_whole(cli: &Cli) {
    let add = ["attestors", "public-keys", "add", "--attestor=kms"];
    let whole = format!("--keyversion={VERSIONS}/1");
    for (flags, says) in [
        (&["--keyversion=1"][..], "--keyversion-keyring"),
        (&[&whole, "--keyversion-key=k"], "leave the other"),
        (&["--keyversion=projects/p"], "neither a version nor a name"),
        (&["--keyversion-key=k"], "--keyversion <VERSION>"),
        (&[&whole], "already present on attestor [kms]"),
        (&[&whole.replace("/1", "/99")], "NOT_FOUND"),
        (&[&whole, "--key-reference=file:///k"], "one of"),
    ] {
        let refused = cli.fails(&[&add[..], flags].concat());
        assert!(refused.contains(says), "{flags:?}: {refused}");
    }
    let image = image("unsigned");
    let sign = ["attestations", "sign-and-create", "--attestor=kms", "--artifact-url", &image];
    let refused = cli.fails(&[&sign[..], &[&whole, "--key=f"]].concat());
    assert!(refused.contains("cannot be used with"), "{refused}");
    assert!(cli.fails(&sign).contains("--key"));
}
