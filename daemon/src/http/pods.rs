//! The pods of a Kubernetes object: those that it is, or those that its template makes.

use hallmark_core::platform::evaluate::Pod;
use serde_json::Value;

use super::error::HttpError;

/// Objects of one `List`, lists in it included. A chart makes some dozens.
const OBJECTS_MAX: usize = 1_000;

/// The kinds that make pods, and where in them the template is.
const TEMPLATES: [(&str, &str); 8] = [
    ("CronJob", "/spec/jobTemplate/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("Deployment", "/spec/template"),
    ("Job", "/spec/template"),
    ("PodTemplate", "/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("StatefulSet", "/spec/template"),
];

/// Where a pod names images; the last are added to a running one.
const CONTAINERS: [&str; 3] =
    ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"];

/// The pods of `object`, or why it has none.
pub(super) fn pods(object: &Value) -> Result<Vec<Pod>, HttpError> {
    let mut pods = Vec::new();
    let mut rest = vec![object];
    let mut seen = 0;
    while let Some(object) = rest.pop() {
        seen += 1;
        if seen > OBJECTS_MAX {
            return Err(invalid(&format!("more than {OBJECTS_MAX} objects: evaluate fewer")));
        }
        let kind = text(object, "/kind");
        if kind == "List" {
            let items = object.get("items").and_then(Value::as_array);
            rest.extend(items.into_iter().flatten().rev());
        } else if kind == "Pod" {
            pods.push(pod(object, object)?);
        } else if let Some((_, path)) = TEMPLATES.iter().find(|(known, _)| *known == kind) {
            let template = object.pointer(path);
            let template = template.ok_or_else(|| invalid(&format!("a {kind} without {path}")))?;
            pods.push(pod(object, template)?);
        } else {
            let kind: String = kind.chars().take(64).collect();
            let known = TEMPLATES.map(|(kind, _)| kind).join(", ");
            return Err(invalid(&format!("kind `{kind}` has no pods: send a Pod, List, {known}")));
        }
    }
    if pods.is_empty() { Err(invalid("no pod in it")) } else { Ok(pods) }
}

/// The pod that `template`, which is or is in `object`, describes.
fn pod(object: &Value, template: &Value) -> Result<Pod, HttpError> {
    let given = |value: &str| (!value.is_empty()).then(|| Box::from(value));
    let own = text(template, "/metadata/namespace");
    let namespace = given(if own.is_empty() { text(object, "/metadata/namespace") } else { own });
    let account = text(template, "/spec/serviceAccountName");
    let account = if account.is_empty() { text(template, "/spec/serviceAccount") } else { account };
    // Kubernetes gives a pod that names none the account of this name in its namespace.
    let account = given(account).or_else(|| namespace.as_ref().map(|_| Box::from("default")));
    let mut images = Vec::new();
    for path in CONTAINERS {
        let containers = template.pointer(path).and_then(Value::as_array);
        for (i, container) in containers.into_iter().flatten().enumerate() {
            let image = container.get("image").and_then(Value::as_str);
            let image = image.ok_or_else(|| invalid(&format!("{path}/{i} has no image")))?;
            images.push(Box::from(image));
        }
    }
    Ok(Pod {
        name: text(object, "/metadata/name").into(),
        namespace,
        service_account: account,
        images,
    })
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn invalid(problem: &str) -> HttpError {
    HttpError::InvalidArgument(format!("resource: {problem}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Value {
        json!({
            "serviceAccountName": "web",
            "initContainers": [{"image": "i"}],
            "containers": [{"image": "a"}, {"image": "b"}],
            "ephemeralContainers": [{"image": "e"}],
        })
    }

    fn images(pod: &Pod) -> Vec<&str> {
        pod.images.iter().map(|image| &**image).collect()
    }

    #[test]
    fn every_kind_that_makes_pods_is_looked_into() {
        for (kind, path) in TEMPLATES {
            let template = json!({"spec": spec()});
            let nested = path.split('/').skip(1).collect::<Vec<_>>();
            let nested = nested.iter().rev().fold(template, |inner, name| json!({*name: inner}));
            let mut object = nested;
            object["kind"] = json!(kind);
            object["metadata"] = json!({"name": "n", "namespace": "shop"});
            let found = pods(&object).unwrap();
            let [pod] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(images(pod), ["i", "a", "b", "e"], "{kind}");
            assert_eq!((&*pod.name, pod.namespace.as_deref()), ("n", Some("shop")));
            assert_eq!(pod.service_account.as_deref(), Some("web"));
        }
    }

    #[test]
    fn a_pod_without_account_has_the_default_one_of_its_namespace() {
        let object = json!({"kind": "Pod", "metadata": {"namespace": "shop"}, "spec": {}});
        assert_eq!(pods(&object).unwrap()[0].service_account.as_deref(), Some("default"));
        let bare = json!({"kind": "Pod", "spec": {"containers": [{"image": "a"}]}});
        let bare = pods(&bare).unwrap();
        assert_eq!((&bare[0].namespace, &bare[0].service_account), (&None, &None));
    }

    #[test]
    fn a_list_is_all_of_its_items_up_to_the_limit() {
        let item = json!({"kind": "Pod", "metadata": {"name": "n"}, "spec": spec()});
        let list = |count| json!({"kind": "List", "items": vec![item.clone(); count]});
        assert_eq!(pods(&list(OBJECTS_MAX - 1)).unwrap().len(), OBJECTS_MAX - 1);
        let error = pods(&list(OBJECTS_MAX)).unwrap_err().to_string();
        assert!(error.contains("more than 1000 objects"), "{error}");
    }

    #[test]
    fn what_has_no_pods_is_refused() {
        for (object, says) in [
            (json!({"kind": "ConfigMap"}), "kind `ConfigMap` has no pods"),
            (json!({"kind": "List", "items": []}), "no pod in it"),
            (json!({"kind": "Deployment"}), "a Deployment without /spec/template"),
            (
                json!({"kind": "Pod", "spec": {"containers": [{"image": 1}]}}),
                "/spec/containers/0 has no image",
            ),
        ] {
            let error = pods(&object).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
