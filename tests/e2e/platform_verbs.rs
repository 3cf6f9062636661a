//! Platform policies on the command line: `hallmark policy create|update|describe|list|delete` and
//! `hallmark policy evaluate`.

use hallmark_tests::daemon::hallmark_offline;
use hallmark_tests::project::image;
use serde_json::{Value, json};

use crate::cli::{Cli, failure, printed};

const POLICY: &str = "\
gkePolicy:
  checkSets:
  - displayName: of the shop
    scope:
      kubernetesNamespace: shop
    checks:
    - trustedDirectoryCheck:
        trustedDirPatterns: registry.example.com/shop/**
  - displayName: of everybody else
    checks:
    - alwaysDeny: true
";

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE}
spec:
  template:
    metadata: {labels: &labels {app: web}}
    spec:
      containers:
      - {name: web, image: registry.example.com/shop/web:1}
  selector: {matchLabels: *labels}
";

#[test]
fn platform_policies_are_looked_after() {
    let cli = Cli::new();
    let file = cli.file("policy.yaml", POLICY);
    let file = ["--policy-file", &file];
    let create = ["policy", "create", "strict", "--platform=gke"];
    let created = cli.json(&[&create[..], &file].concat());
    assert_eq!(created["name"], "projects/p/platforms/gke/policies/strict");
    let again = cli.fails(&[&create[..], &file].concat());
    assert!(again.contains("ALREADY_EXISTS"), "{again}");

    let whole = "projects/p/platforms/gke/policies/strict";
    assert_eq!(cli.json(&["policy", "describe", whole]), created);
    assert_eq!(cli.json(&["policy", "describe", "strict", "--platform=gke"]), created);
    let other = cli.fails(&["policy", "describe", "strict", "--platform=cloudRun"]);
    assert!(other.contains("NOT_FOUND"), "{other}");
    let nowhere = cli.fails(&["policy", "describe", "strict"]);
    assert!(nowhere.contains("--platform gke"), "{nowhere}");

    // The output of `describe` is the input of `update`, with its etag.
    let old = cli.file("old.yaml", cli.run(&["policy", "describe", whole]));
    let changed = cli.file("new.json", json!({"gkePolicy": {}, "description": "lax"}).to_string());
    let updated = cli.json(&["policy", "update", whole, "--policy-file", &changed]);
    assert_eq!(updated["description"], "lax");
    let stale = cli.fails(&["policy", "update", whole, "--policy-file", &old]);
    assert!(stale.contains("ABORTED"), "{stale}");

    for platform in ["gke", "projects/p/platforms/gke"] {
        let listed = cli.json(&["policy", "list", platform]);
        assert_eq!(listed, json!([updated]));
    }
    let table = cli.run(&["policy", "list", "gke"]);
    assert!(table.starts_with("NAME    DESCRIPTION\nstrict  lax"), "{table}");
    cli.run(&["policy", "delete", whole]);
    assert_eq!(cli.json(&["policy", "list", "gke"]), json!([]));
    let bad = cli.file("bad.yaml", "gkePolicy: {typo: 1}\n");
    let refused = cli.fails(&[&create[..], &["--policy-file", &bad]].concat());
    assert!(refused.contains("typo"), "{refused}");
}

#[test]
fn whether_a_resource_or_an_image_conforms_is_in_the_exit_code() {
    let cli = Cli::new();
    let file = cli.file("policy.yaml", POLICY);
    let create = ["policy", "create", "strict", "--platform=gke", "--policy-file", &file];
    cli.run(&create);
    let evaluate = |what: &[&str]| {
        let args = ["policy", "evaluate", "strict", "--platform=gke", "--format=json"];
        cli.output(&[&args[..], what].concat())
    };
    let verdict = |printed: &str| -> Value {
        serde_json::from_str::<Value>(printed).expect("JSON")["verdict"].clone()
    };
    for (namespace, code, says) in [("shop", 0, "CONFORMANT"), ("bank", 2, "NON_CONFORMANT")] {
        let manifest = MANIFEST.replace("NAMESPACE", namespace);
        let file = cli.file(&format!("{namespace}.yaml"), manifest);
        let answer = printed(&evaluate(&["--resource", &file]), code);
        assert_eq!(verdict(&answer), says, "{answer}");
    }
    let (one, two) = (image("one"), image("two"));
    let answer = printed(&evaluate(&["--image", &one, "--image", &two]), 2);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["results"][0]["imageResults"].as_array().map(Vec::len), Some(2));

    let file = cli.file("shop.yaml", MANIFEST);
    let both = failure(&evaluate(&["--image", &one, "--resource", &file]));
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(failure(&evaluate(&[])).contains("--resource"));
    let not_yaml = cli.file("not.yaml", "a: [1\n");
    assert!(failure(&evaluate(&["--resource", &not_yaml])).contains("not.yaml"));
    let none = ["policy", "evaluate", "none", "--platform=gke", "--image", &one];
    assert!(cli.fails(&none).contains("NOT_FOUND"));
}

#[test]
fn evaluate_and_sign_says_what_to_do_instead() {
    let sign =
        ["policy", "evaluate-and-sign", "strict", "--platform=gke", "--image=i", "--no-upload"];
    let refused = failure(&hallmark_offline(&sign));
    assert!(refused.contains("attestations sign-and-create"), "{refused}");
}
