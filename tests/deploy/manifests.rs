//! The manifests, by Kustomize and by the chart: what the API server would take, and whose parts
//! fit each other.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::chart::rendered;
use super::tree::{COMPONENTS, base, deploy, find, items, kustomized, text, workload};

/// Every way to make manifests that the documents speak of.
pub(crate) fn builds() -> Vec<(String, Vec<Value>)> {
    let mut builds = vec![
        ("base".to_owned(), base(&[])),
        ("production".to_owned(), kustomized(&deploy("kubernetes/production"))),
    ];
    for component in COMPONENTS {
        builds.push((component.to_owned(), base(&[component])));
    }
    builds.push(("data-dir and all".to_owned(), base(&COMPONENTS[1..])));
    for (name, values) in [
        ("chart", json!({})),
        ("chart, storage class", json!({"persistence": {"storageClass": "fast"}})),
        ("chart, no claims", json!({"persistence": {"enabled": false}})),
        (
            "chart, everything",
            json!({
                "dataDir": {"enabled": true}, "certManager": {"enabled": true},
                "webhook": {"enabled": true}, "serviceMonitor": {"enabled": true},
                "image": {"pullSecrets": ["registry"], "pullPolicy": "Always"},
                "nodeSelector": {"pool": "system"},
                "tolerations": [{"key": "system", "operator": "Exists"}],
                "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]},
            }),
        ),
    ] {
        builds.push((name.to_owned(), rendered("hallmark-system", &values)));
    }
    builds
}

/// The pods' specification.
fn pod(documents: &[Value]) -> &Value {
    &workload(documents)["spec"]["template"]["spec"]
}

#[test]
fn the_api_server_knows_every_field() {
    let gates = ["webhook", "webhook-cert-manager"]
        .map(|name| (name.to_owned(), kustomized(&deploy("kubernetes").join(name))));
    for (name, documents) in builds().into_iter().chain(gates) {
        for document in &documents {
            let understood = match (text(&document["apiVersion"]), text(&document["kind"])) {
                ("v1", "Namespace") => understood::<Namespace>(document),
                ("v1", "ServiceAccount") => understood::<ServiceAccount>(document),
                ("v1", "ConfigMap") => understood::<ConfigMap>(document),
                ("v1", "ResourceQuota") => understood::<ResourceQuota>(document),
                ("v1", "Secret") => understood::<Secret>(document),
                ("v1", "Service") => understood::<Service>(document),
                ("apps/v1", "Deployment") => understood::<Deployment>(document),
                ("apps/v1", "StatefulSet") => understood::<StatefulSet>(document),
                ("policy/v1", "PodDisruptionBudget") => understood::<PodDisruptionBudget>(document),
                ("networking.k8s.io/v1", "NetworkPolicy") => understood::<NetworkPolicy>(document),
                ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
                    understood::<ValidatingWebhookConfiguration>(document)
                }
                // Of custom resources no types are at hand.
                ("cert-manager.io/v1", "Issuer" | "Certificate")
                | ("monitoring.coreos.com/v1", "ServiceMonitor") => Ok(()),
                other => Err(format!("{other:?} is no kind that we deploy")),
            };
            let which = &document["metadata"]["name"];
            understood.unwrap_or_else(|fault| panic!("{name}, {which}: {fault}"));
        }
    }
}

/// Reads a document as the API server's type, and says what was lost on the way.
fn understood<T: DeserializeOwned + Serialize>(document: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    lost(document, &serde_json::to_value(typed).expect("JSON"), "")
}

fn lost(written: &Value, read: &Value, at: &str) -> Result<(), String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            written.iter().try_for_each(|(key, value)| {
                let at = format!("{at}.{key}");
                lost(value, read.get(key).ok_or_else(|| format!("{at}: no such field"))?, &at)
            })
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            let mut pairs = written.iter().zip(read).enumerate();
            pairs.try_for_each(|(n, (written, read))| lost(written, read, &format!("{at}[{n}]")))
        }
        _ if written == read => Ok(()),
        _ => Err(format!("{at}: {written} became {read}")),
    }
}

#[test]
fn a_field_that_is_misspelt_is_found() {
    let mut service = find(&base(&[]), "Service", "hallmark").clone();
    understood::<Service>(&service).expect("as it is");
    service["spec"]["selectors"] = json!({});
    assert!(understood::<Service>(&service).is_err());
    service["spec"] = json!({"ports": "443"});
    assert!(understood::<Service>(&service).is_err());
}

#[test]
fn selectors_select_the_pods() {
    for (name, documents) in builds() {
        let workload = workload(&documents);
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        let budget = find(&documents, "PodDisruptionBudget", "hallmark");
        let policy = find(&documents, "NetworkPolicy", "hallmark");
        let service = find(&documents, "Service", "hallmark");
        let mut selectors = vec![
            &workload["spec"]["selector"]["matchLabels"],
            &budget["spec"]["selector"]["matchLabels"],
            &policy["spec"]["podSelector"]["matchLabels"],
            &service["spec"]["selector"],
        ];
        let spread = items(&pod(&documents)["topologySpreadConstraints"]);
        assert_eq!(spread.len(), 2, "{name}");
        selectors.extend(spread.iter().map(|one| &one["labelSelector"]["matchLabels"]));
        for selector in selectors {
            let selector = selector.as_object().expect("a selector");
            assert!(!selector.is_empty(), "{name}");
            for (key, value) in selector {
                assert_eq!(&labels[key], value, "{name}: {key}");
            }
        }
        for document in documents.iter().filter(|one| {
            !["Namespace", "ValidatingWebhookConfiguration"].contains(&text(&one["kind"]))
        }) {
            assert_eq!(document["metadata"]["namespace"], "hallmark-system", "{name}: {document}");
        }
    }
}

#[test]
fn ports_lead_to_ports() {
    for (name, documents) in builds() {
        let container = &pod(&documents)["containers"][0];
        let named: Vec<_> = items(&container["ports"]).iter().map(|port| &port["name"]).collect();
        let service = find(&documents, "Service", "hallmark");
        for port in items(&service["spec"]["ports"]) {
            assert!(named.contains(&&port["targetPort"]), "{name}: {port}");
        }
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let get = &container[probe]["httpGet"];
            assert!(named.contains(&&get["port"]), "{name}: {probe}");
            assert_eq!(get["scheme"], "HTTPS", "{name}: {probe}");
        }
        let policy = find(&documents, "NetworkPolicy", "hallmark");
        let open = items(&policy["spec"]["ingress"]).iter().flat_map(|rule| items(&rule["ports"]));
        let open: Vec<_> = open.map(|port| &port["port"]).collect();
        assert_eq!(open, named, "{name}: the network policy");
        for monitor in documents.iter().filter(|one| one["kind"] == "ServiceMonitor") {
            let port = &monitor["spec"]["endpoints"][0]["port"];
            let mut known = items(&service["spec"]["ports"]).iter();
            assert!(known.any(|one| &one["name"] == port), "{name}: the service monitor");
        }
    }
}

#[test]
fn pods_have_no_rights_that_they_do_not_need() {
    for (name, documents) in builds() {
        let pod = pod(&documents);
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert!(pod["hostNetwork"].is_null() && pod["hostPID"].is_null(), "{name}");
        let containers = items(&pod["containers"]);
        assert_eq!(containers.len(), 1, "{name}");
        let rights = &containers[0]["securityContext"];
        assert_eq!(rights["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(rights["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(rights["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert!(!containers[0]["resources"]["limits"]["memory"].is_null(), "{name}");
        let (_, digest) = text(&containers[0]["image"]).split_once("@sha256:").expect("a digest");
        assert!(digest.len() == 64, "{name}: {digest}");
    }
}

#[test]
fn no_secret_is_written_down() {
    for (name, documents) in builds() {
        for document in &documents {
            assert_ne!(document["kind"], "Secret", "{name}");
            let text = document.to_string();
            for word in ["PRIVATE KEY", "password", "bearer", "sha256 ="] {
                assert!(!text.contains(word), "{name}: {word} in {text}");
            }
        }
        assert!(pod(&documents)["containers"][0]["env"].is_null(), "{name}");
    }
}

#[test]
fn every_volume_is_there_and_every_file_lies_in_one() {
    for (name, documents) in builds() {
        let pod = pod(&documents);
        let container = &pod["containers"][0];
        let claims = items(&workload(&documents)["spec"]["volumeClaimTemplates"]);
        let claims = claims.iter().map(|claim| &claim["metadata"]["name"]);
        let volumes = items(&pod["volumes"]).iter().map(|one| &one["name"]).chain(claims);
        let volumes: Vec<_> = volumes.collect();
        let mounts = items(&container["volumeMounts"]);
        let mounted: Vec<_> = mounts.iter().map(|mount| &mount["name"]).collect();
        for volume in &volumes {
            assert!(mounted.contains(volume), "{name}: {volume} is mounted nowhere");
        }
        assert_eq!(volumes.len(), mounted.len(), "{name}: {mounted:?}");
        for volume in items(&pod["volumes"]).iter().filter(|one| !one["configMap"].is_null()) {
            let map = find(&documents, "ConfigMap", text(&volume["configMap"]["name"]));
            for item in items(&volume["configMap"]["items"]) {
                assert!(map["data"][text(&item["key"])].is_string(), "{name}: {item}");
                assert!(text(&item["path"]).starts_with("projects/"), "{name}: {item}");
            }
        }
        let data_dir = items(&container["args"]).contains(&json!("--data-dir=/var/lib/hallmark"));
        let replicas = &workload(&documents)["spec"]["replicas"];
        assert_eq!(replicas, if data_dir { 1 } else { 2 }, "{name}: one writer, or two replicas");
        let ours = find(&documents, "ConfigMap", "hallmark-config");
        let config: toml::Table = text(&ours["data"]["hallmark.toml"]).parse().expect("TOML");
        let inside =
            |path: &str| mounts.iter().any(|mount| path.starts_with(text(&mount["mountPath"])));
        for (section, key) in [
            ("tls", "cert"),
            ("tls", "key"),
            ("tls", "client_ca"),
            ("auth", "file"),
            ("audit", "dir"),
        ] {
            let path = config[section][key].as_str().expect("a path");
            assert!(inside(path), "{name}: {path} lies in no volume");
        }
        let resources = config.get("config_dir").and_then(toml::Value::as_str);
        assert!(data_dir || resources.is_some_and(inside), "{name}: config_dir");
    }
}

/// Work that is under way when a pod ends is finished before it is killed.
#[test]
fn draining_fits_into_the_grace_period() {
    for (name, documents) in builds() {
        let map = find(&documents, "ConfigMap", "hallmark-config");
        let config: toml::Table = text(&map["data"]["hallmark.toml"]).parse().expect("TOML");
        let drain = config["limits"]["drain_timeout_ms"].as_integer().expect("a number") / 1_000;
        let pod = pod(&documents);
        let stop = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
        let grace = pod["terminationGracePeriodSeconds"].as_i64().expect("a number");
        assert!(grace > drain + stop.as_i64().expect("a number"), "{name}: {grace} s");
    }
}

/// The daemon is told to listen on the ports that the pod opens.
#[test]
fn the_daemon_listens_where_the_pod_says() {
    for (name, documents) in builds() {
        let map = find(&documents, "ConfigMap", "hallmark-config");
        let config: toml::Table = text(&map["data"]["hallmark.toml"]).parse().expect("TOML");
        let ports = items(&pod(&documents)["containers"][0]["ports"]);
        for (key, port) in [("listen", "https"), ("listen_metrics", "metrics")] {
            let port = ports.iter().find(|one| one["name"] == port).expect("a port");
            let address = config[key].as_str().expect("an address");
            assert_eq!(address, format!("0.0.0.0:{}", port["containerPort"]), "{name}: {key}");
        }
    }
}
