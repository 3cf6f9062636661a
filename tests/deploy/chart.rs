//! The chart says the same as Kustomize, and refuses what it does not know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::tree::{base, deploy, documents, kustomized, printed, run, text, workload};

/// `tests/deploy/chart`, built once.
static RENDERER: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("a path");
    let folder = test.parent().expect("target/PROFILE/deps").join("chart");
    let program = folder.join("chart");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/chart");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(".").current_dir(source);
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "");
    go.env("GOCACHE", folder.join("cache"));
    printed(&mut go);
    program
});

fn render(namespace: &str, values: &Value) -> Output {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("values.json");
    std::fs::write(&file, values.to_string()).expect("writes");
    let mut command = Command::new(&*RENDERER);
    run(command.arg(deploy("kubernetes/chart")).arg(namespace).arg(file))
}

/// The objects that the chart renders from these values.
pub(crate) fn rendered(namespace: &str, values: &Value) -> Vec<Value> {
    let output = render(namespace, values);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).expect("UTF-8"))
}

/// By kind and name, without what only Helm says, and with embedded files as what they mean.
fn comparable(documents: Vec<Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for mut document in documents {
        let key = format!("{} {}", text(&document["kind"]), text(&document["metadata"]["name"]));
        if let Some(metadata) = document["metadata"].as_object_mut() {
            metadata.remove("labels");
        }
        if let Some(data) = document["data"].as_object_mut() {
            for (file, value) in data {
                *value = meant(file, text(value));
            }
        }
        assert!(found.insert(key.clone(), document).is_none(), "{key} twice");
    }
    // Helm makes the namespace by `--create-namespace`.
    found.remove("Namespace hallmark-system");
    found
}

fn meant(file: &str, content: &str) -> Value {
    match file.ends_with(".toml") {
        true => {
            let table: toml::Table = content.parse().expect("TOML");
            serde_json::to_value(table).expect("JSON")
        }
        false => documents(content).into_iter().next().expect("a document"),
    }
}

#[test]
fn chart_and_kustomize_say_the_same() {
    let same = |values: &Value, components: &[&str]| {
        let ours = comparable(base(components));
        let charts = comparable(rendered("hallmark-system", values));
        assert_eq!(ours.keys().collect::<Vec<_>>(), charts.keys().collect::<Vec<_>>());
        for (key, document) in &ours {
            assert_eq!(&charts[key], document, "{key}");
        }
    };
    same(&json!({}), &["state-claims"]);
    same(&json!({"persistence": {"enabled": false}}), &[]);
    same(
        &json!({"certManager": {"enabled": true}, "serviceMonitor": {"enabled": true}}),
        &["state-claims", "cert-manager", "service-monitor"],
    );
}

#[test]
fn the_chart_keeps_the_database_as_kustomize_does() {
    let mut chart = rendered("hallmark-system", &json!({"dataDir": {"enabled": true}}));
    let ours = base(&["data-dir"]);
    let chart = comparable(vec![workload(&std::mem::take(&mut chart)).clone()]);
    assert_eq!(chart, comparable(vec![workload(&ours).clone()]));
}

#[test]
fn the_chart_guards_as_kustomize_does() {
    let gate = |documents: Vec<Value>| {
        comparable(documents).remove("ValidatingWebhookConfiguration hallmark").expect("a gate")
    };
    let values = json!({"webhook": {"enabled": true}, "certManager": {"enabled": true}});
    assert_eq!(
        gate(rendered("hallmark-system", &values)),
        gate(kustomized(&deploy("kubernetes/webhook-cert-manager")))
    );
    let quiet = json!({"webhook": {"enabled": true, "caBundle": "Q0E=", "workloads": false}});
    let quiet = gate(rendered("hallmark-system", &quiet));
    assert_eq!(quiet["webhooks"].as_array().map(Vec::len), Some(1));
    assert_eq!(quiet["webhooks"][0]["clientConfig"]["caBundle"], "Q0E=");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (values, word) in [
        (json!({"imagee": {}}), "imagee"),
        (json!({"image": {"digest": "latest"}}), "image.digest"),
        (json!({"image": {"tag": "1.0"}}), "tag"),
        (json!({"replicas": 0}), "replicas"),
        (json!({"webhook": {"cluster": "no-location"}}), "webhook.cluster"),
        (json!({"webhook": {"excludedNamespaces": []}}), "webhook.excludedNamespaces"),
        (json!({"webhook": {"timeoutSeconds": 31}}), "webhook.timeoutSeconds"),
        (json!({"webhook": {"failurePolicy": "Ignore"}}), "failurePolicy"),
        (json!({"webhook": {"workloadsFailurePolicy": "Open"}}), "workloadsFailurePolicy"),
        (json!({"resources": {"../policy.yaml": ""}}), "resources"),
        (json!({"webhook": {"enabled": true}}), "caBundle"),
    ] {
        let output = render("hallmark-system", &values);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{values}: {said}");
    }
}

/// Every value has a sentence that says what it does, or stands below one that does.
#[test]
fn every_value_is_explained() {
    let text = super::tree::read("kubernetes/chart/values.yaml");
    let lines: Vec<_> = text.lines().collect();
    let mut explained = 0;
    for (number, line) in lines.iter().enumerate() {
        let key = line.split(':').next().unwrap_or_default();
        let is_top = key.starts_with(char::is_alphabetic) && line.contains(':');
        if !is_top {
            continue;
        }
        let nested_first = lines.get(number + 1).is_some_and(|next| next.starts_with("  #"));
        let above = number > 0 && lines[number - 1].starts_with('#');
        let beside = number > 0 && lines[number - 1].starts_with("nodeSelector");
        let plain = line.ends_with(':') && lines[number + 1].starts_with("  enabled:");
        assert!(above || nested_first || beside || plain, "values.yaml:{}: {line}", number + 1);
        explained += 1;
    }
    assert!(explained > 10, "{explained}");
}

/// Each value, another one for it, and what must be said beside it for it to matter.
fn other_values() -> Vec<(&'static str, Value, Value)> {
    let gate = || json!({"webhook": {"enabled": true, "caBundle": "Q0E="}});
    let alone = || json!({});
    let digest = format!("sha256:{}", "1".repeat(64));
    vec![
        ("image.repository", json!("r.example.com/hallmark"), alone()),
        ("image.digest", json!(digest), alone()),
        ("image.pullPolicy", json!("Always"), alone()),
        ("image.pullSecrets", json!(["registry"]), alone()),
        ("replicas", json!(3), alone()),
        ("persistence.enabled", json!(false), alone()),
        ("persistence.size", json!("1Gi"), alone()),
        ("persistence.storageClass", json!("fast"), alone()),
        ("persistence.emptyDirLimit", json!("1Gi"), json!({"persistence": {"enabled": false}})),
        ("dataDir.enabled", json!(true), alone()),
        ("config", json!("[limits]\ndrain_timeout_ms = 1\n"), alone()),
        ("auth", json!("bindings = []\n"), alone()),
        ("resources", json!({"other/policy.yaml": "name: projects/other/policy\n"}), alone()),
        ("certManager.enabled", json!(true), alone()),
        ("webhook.enabled", json!(true), json!({"webhook": {"caBundle": "Q0E="}})),
        ("webhook.project", json!("other"), gate()),
        ("webhook.cluster", json!("other.cluster"), gate()),
        ("webhook.caBundle", json!("b3RoZXI="), gate()),
        ("webhook.excludedNamespaces", json!(["kube-system", "calico-system"]), gate()),
        ("webhook.timeoutSeconds", json!(7), gate()),
        ("webhook.workloads", json!(false), gate()),
        ("webhook.workloadsFailurePolicy", json!("Fail"), gate()),
        ("podResources", json!({"limits": {"memory": "2Gi"}}), alone()),
        ("priorityClassName", json!("other"), alone()),
        ("terminationGracePeriodSeconds", json!(60), alone()),
        ("nodeSelector", json!({"pool": "system"}), alone()),
        ("tolerations", json!([{"operator": "Exists"}]), alone()),
        ("networkPolicy.enabled", json!(false), alone()),
        ("networkPolicy.monitoringNamespace", json!("other"), alone()),
        ("networkPolicy.egress", json!([{"ports": [{"port": 443}]}]), alone()),
        ("serviceMonitor.enabled", json!(true), alone()),
        ("serviceMonitor.interval", json!("1m"), json!({"serviceMonitor": {"enabled": true}})),
    ]
}

#[test]
fn every_value_changes_what_is_made() {
    let mut changed = Vec::new();
    for (path, other, beside) in other_values() {
        let before = rendered("hallmark-system", &beside);
        let mut values = beside;
        let place = path.split('.').fold(&mut values, |table, key| &mut table[key]);
        *place = other;
        assert_ne!(rendered("hallmark-system", &values), before, "{path}");
        changed.push(path.to_owned());
    }
    // Whatever is a table of the chart's own making is gone into; the rest is the user's.
    let values = documents(&super::tree::read("kubernetes/chart/values.yaml")).swap_remove(0);
    let mut known = Vec::new();
    for (key, value) in values.as_object().expect("a map") {
        match value.as_object().filter(|_| !["resources", "podResources"].contains(&key.as_str())) {
            Some(table) if !table.is_empty() => {
                known.extend(table.keys().map(|inner| format!("{key}.{inner}")));
            }
            _ => known.push(key.clone()),
        }
    }
    changed.sort_unstable();
    known.sort_unstable();
    assert_eq!(changed, known, "left: tried above, right: in values.yaml");
}
