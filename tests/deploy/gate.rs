//! The webhook configuration: nothing gets round it, and it does not lock the cluster up.

use serde_json::{Value, json};

use super::chart::rendered;
use super::tree::{base, deploy, find, items, kustomized, text, workload};

/// The webhooks, from every door that installs them.
fn gates() -> Vec<(&'static str, Value)> {
    let on = json!({"webhook": {"enabled": true, "caBundle": "Q0E="}});
    let documents = [
        ("kustomize", kustomized(&deploy("kubernetes/webhook"))),
        ("cert-manager", kustomized(&deploy("kubernetes/webhook-cert-manager"))),
        ("chart", rendered("hallmark-system", &on)),
    ];
    let gate =
        |documents: &[Value]| find(documents, "ValidatingWebhookConfiguration", "hallmark").clone();
    documents.map(|(name, documents)| (name, gate(&documents))).to_vec()
}

/// The API server prefixes audit annotations with the name, and log queries look for it.
#[test]
fn pods_are_judged_under_googles_name_and_nothing_fails_open() {
    for (name, gate) in gates() {
        let pods = &gate["webhooks"][0];
        assert_eq!(pods["name"], "imagepolicywebhook.image-policy.k8s.io", "{name}");
        assert_eq!(pods["failurePolicy"], "Fail", "{name}");
        assert_eq!(pods["timeoutSeconds"], 10, "{name}");
        assert_eq!(pods["matchPolicy"], "Equivalent", "{name}");
        let judged: Vec<_> = items(&pods["rules"])
            .iter()
            .flat_map(|rule| {
                items(&rule["operations"]).iter().flat_map(|operation| {
                    items(&rule["resources"])
                        .iter()
                        .map(|resource| format!("{} {}", text(operation), text(resource)))
                })
            })
            .collect();
        assert_eq!(
            judged,
            ["CREATE pods", "UPDATE pods", "UPDATE pods/ephemeralcontainers"],
            "{name}"
        );
    }
}

#[test]
fn every_workload_is_spoken_of() {
    for (name, gate) in gates() {
        let mut spoken: Vec<_> = items(&gate["webhooks"][1]["rules"])
            .iter()
            .flat_map(|rule| items(&rule["resources"]).iter().map(text))
            .collect();
        spoken.sort_unstable();
        let all = [
            "cronjobs",
            "daemonsets",
            "deployments",
            "jobs",
            "podtemplates",
            "replicasets",
            "replicationcontrollers",
            "statefulsets",
        ];
        assert_eq!(spoken, all, "{name}");
    }
}

/// Only the label that the API server sets and lets nobody change, and only the two namespaces
/// without which the daemon itself could not start.
#[test]
fn no_label_that_somebody_may_write_leads_round_the_gate() {
    for (name, gate) in gates() {
        assert_eq!(items(&gate["webhooks"]).len(), 2, "{name}");
        for webhook in items(&gate["webhooks"]) {
            assert!(webhook["objectSelector"].is_null(), "{name}");
            let selector = json!({"matchExpressions": [{
                "key": "kubernetes.io/metadata.name",
                "operator": "NotIn",
                "values": ["kube-system", "hallmark-system"],
            }]});
            assert_eq!(webhook["namespaceSelector"], selector, "{name}");
            let conditions = items(&webhook["matchConditions"]);
            assert_eq!(conditions.len(), 1, "{name}");
            assert_eq!(
                conditions[0]["expression"],
                "request.operation != 'UPDATE' || !has(object.spec) || !has(oldObject.spec) \
                 || object.spec != oldObject.spec",
                "{name}"
            );
        }
    }
}

/// The daemon's own pods pass, or it could never come back.
#[test]
fn the_daemon_lives_where_the_gate_does_not_look() {
    let documents = base(&[]);
    let home = &workload(&documents)["metadata"]["namespace"];
    for (name, gate) in gates() {
        for webhook in items(&gate["webhooks"]) {
            let let_pass = items(&webhook["namespaceSelector"]["matchExpressions"][0]["values"]);
            assert!(let_pass.contains(home), "{name}");
        }
    }
    let elsewhere = rendered("other", &json!({"webhook": {"enabled": true, "caBundle": "Q0E="}}));
    let gate = find(&elsewhere, "ValidatingWebhookConfiguration", "hallmark");
    let values = &gate["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(values, &json!(["kube-system", "other"]));
}

#[test]
fn the_gate_leads_to_the_service() {
    let documents = base(&[]);
    let service = find(&documents, "Service", "hallmark");
    for (name, gate) in gates() {
        for webhook in items(&gate["webhooks"]) {
            let to = &webhook["clientConfig"]["service"];
            assert_eq!(to["name"], service["metadata"]["name"], "{name}");
            assert_eq!(to["namespace"], service["metadata"]["namespace"], "{name}");
            assert_eq!(to["port"], service["spec"]["ports"][0]["port"], "{name}");
            let path = "/k8s/projects/my-project/clusters/my-location.my-cluster/admission";
            assert_eq!(to["path"], path, "{name}");
        }
    }
}
