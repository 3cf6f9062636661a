//! The output of Kustomize for a folder, as far as `deploy/kubernetes` uses it: Debian's kubectl is
//! from before components. Where a newer one is at hand, it must say the same.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::tree::{COMPONENTS, deploy, documents, items, overlay, printed, text};

/// The output of Kustomize for a folder. Panics at whatever it is not sure to do alike.
pub(crate) fn kustomized(folder: &Path) -> Vec<Value> {
    let mut made = Vec::new();
    lay(folder, &mut made);
    made
}

/// Lays a folder's kustomization over what was made so far.
fn lay(folder: &Path, made: &mut Vec<Value>) {
    let read = |path: &str| {
        let path = folder.join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    };
    let kustomization = documents(&read("kustomization.yaml")).swap_remove(0);
    let mut own = Vec::new();
    for path in items(&kustomization["resources"]).iter().map(text) {
        match folder.join(path).is_dir() {
            true => own.extend(kustomized(&folder.join(path))),
            false => own.extend(documents(&read(path))),
        }
    }
    for (key, value) in kustomization.as_object().expect("a map") {
        match key.as_str() {
            // Components change what is below them, all else what is made here.
            "apiVersion" | "kind" | "resources" | "components" | "patches" => {}
            "configMapGenerator" => {
                own.extend(items(value).iter().map(|map| config_map(map, &read)));
            }
            "generatorOptions" => assert_eq!(*value, json!({"disableNameSuffixHash": true})),
            "namespace" | "images" | "commonAnnotations" => {}
            other => panic!("{folder:?}: {other} is not known here"),
        }
    }
    made.append(&mut own);
    for component in items(&kustomization["components"]).iter().map(text) {
        lay(&folder.join(component), made);
    }
    for patch in items(&kustomization["patches"]) {
        self::patch(made, patch);
    }
    made.iter_mut().for_each(|document| transform(document, &kustomization));
}

fn config_map(map: &Value, read: &impl Fn(&str) -> String) -> Value {
    let mut data = Map::new();
    for file in items(&map["files"]).iter().map(text) {
        let base = file.rsplit('/').next().expect("a name");
        let (key, path) = file.split_once('=').unwrap_or((base, file));
        data.insert(key.to_owned(), read(path).into());
    }
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map["name"]}, "data": data})
}

fn patch(made: &mut Vec<Value>, patch: &Value) {
    let target = &patch["target"];
    let is_meant = |document: &Value| {
        document["kind"] == target["kind"]
            && (target["name"].is_null() || document["metadata"]["name"] == target["name"])
    };
    assert!(made.iter().any(is_meant), "nothing is patched by {patch}");
    let change = documents(text(&patch["patch"])).swap_remove(0);
    if change["$patch"] == "delete" {
        return made.retain(|document| !is_meant(document));
    }
    let change: json_patch::Patch = serde_json::from_value(change).expect("RFC 6902");
    for document in made.iter_mut().filter(|document| is_meant(document)) {
        json_patch::patch(document, &change).unwrap_or_else(|error| panic!("{patch}: {error}"));
    }
}

fn transform(document: &mut Value, kustomization: &Value) {
    let is_namespaced =
        !["Namespace", "ValidatingWebhookConfiguration"].contains(&text(&document["kind"]));
    if let Some(namespace) = kustomization["namespace"].as_str().filter(|_| is_namespaced) {
        document["metadata"]["namespace"] = namespace.into();
    }
    for (key, value) in kustomization["commonAnnotations"].as_object().into_iter().flatten() {
        document["metadata"]["annotations"][key] = value.clone();
    }
    let containers = document.pointer_mut("/spec/template/spec/containers");
    for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
        let images = items(&kustomization["images"]);
        let named = text(&container["image"]).split('@').next().map(str::to_owned);
        if let Some(image) = images.iter().find(|image| image["name"].as_str() == named.as_deref())
        {
            let (name, digest) = (text(&image["newName"]), text(&image["digest"]));
            container["image"] = format!("{name}@{digest}").into();
        }
    }
}

/// The minor version of kubectl, where there is one.
fn kubectl() -> Option<u32> {
    let kubectl = Command::new("kubectl").args(["version", "--client", "--output=json"]).output();
    let version: Value = serde_json::from_slice(&kubectl.ok()?.stdout).ok()?;
    version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}

/// `tests/tools.sh` says so where there is no kubectl that could be asked.
#[test]
fn kustomize_itself_says_the_same() {
    if kubectl().is_none_or(|minor| minor < 27) {
        return;
    }
    let dirs = [&[], &["state-claims"][..], &["data-dir"], &COMPONENTS[1..]].map(|components| {
        let dir = tempfile::tempdir().expect("a folder");
        overlay(dir.path(), components);
        dir
    });
    let certificates = tempfile::tempdir().expect("a folder");
    super::certificates::made(certificates.path());
    let folders = dirs.iter().map(|dir| dir.path().to_owned()).chain([
        deploy("kubernetes/production"),
        deploy("kubernetes/webhook"),
        deploy("kubernetes/webhook-cert-manager"),
        certificates.path().join("webhook"),
    ]);
    for folder in folders {
        let folder = folder.canonicalize().expect("exists");
        let theirs = printed(Command::new("kubectl").arg("kustomize").arg(&folder));
        let sorted = |mut documents: Vec<Value>| {
            documents.sort_by_key(|one| format!("{} {}", one["kind"], one["metadata"]["name"]));
            documents
        };
        assert_eq!(sorted(kustomized(&folder)), sorted(documents(&theirs)), "{folder:?}");
    }
}
