use serde_json::{Value, json};

use super::*;

/// Every kind that has pods, as group, kind and the path of its template.
const KINDS: [(&str, &str, &str); 10] = [
    ("", "Pod", ""),
    ("", "PodTemplate", "template."),
    ("", "ReplicationController", "spec.template."),
    ("apps", "DaemonSet", "spec.template."),
    ("apps", "Deployment", "spec.template."),
    ("apps", "ReplicaSet", "spec.template."),
    ("apps", "StatefulSet", "spec.template."),
    ("extensions", "Deployment", "spec.template."),
    ("batch", "Job", "spec.template."),
    ("batch", "CronJob", "spec.jobTemplate.spec.template."),
];

fn spec() -> Value {
    json!({
        "serviceAccountName": "web",
        "containers": [{"name": "a", "image": "a"}, {"name": "b", "image": "b"}],
        "initContainers": [{"name": "i", "image": "i"}],
        "ephemeralContainers": [{"name": "e", "image": "e"}],
        "volumes": [{"name": "s", "secret": {}}, {"name": "v", "image": {"reference": "v"}}],
    })
}

/// An object of this kind whose pod has this metadata and specification.
fn object(group: &str, kind: &str, path: &str, metadata: &Value, spec: &Value) -> Value {
    let template = json!({"metadata": metadata, "spec": spec});
    let names = path.split('.').filter(|name| !name.is_empty()).rev();
    let mut object = names.fold(template, |inner, name| json!({name: inner}));
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    if !path.is_empty() {
        object["metadata"] = json!({"name": "n", "namespace": "shop"});
    }
    object
}

fn read(object: &Value) -> Result<Vec<Pod>, WorkloadError> {
    let json = object.to_string();
    objects(&json, 1_000)?.iter().map(Object::pod).collect()
}

fn images(pod: &Pod) -> Vec<&str> {
    pod.images.iter().map(|used| &*used.image).collect()
}

#[test]
fn every_kind_that_has_pods_names_every_image_of_theirs() {
    for (group, kind, path) in KINDS {
        let metadata = json!({"name": "n", "namespace": "shop"});
        let mut object = object(group, kind, path, &metadata, &spec());
        let pods = read(&object).unwrap();
        let [pod] = pods.as_slice() else { panic!("{kind}: {pods:?}") };
        assert_eq!(images(pod), ["a", "b", "i", "e", "v"], "{kind}");
        let fields: Vec<_> = pod.images.iter().map(Use::field).collect();
        assert_eq!(
            fields[3..],
            ["spec.ephemeralContainers[0].image", "spec.volumes[1].image.reference"]
        );
        assert_eq!((&*pod.name, pod.namespace.as_deref()), ("n", Some("shop")), "{kind}");
        assert_eq!(pod.service_account.as_deref(), Some("web"), "{kind}");
        assert_eq!(Kind::of(group, kind).path(), path);
        let text = object.to_string();
        assert_eq!(Object::reviewed(&text, group, kind).unwrap().pod().as_ref(), Ok(pod));
        // An object that leaves out its version is known by its kind alone.
        object.as_object_mut().unwrap().remove("apiVersion");
        assert_eq!(read(&object).unwrap(), pods, "{kind}");
        // Of the same name in another group nobody knows.
        object["apiVersion"] = json!("serving.knative.dev/v1");
        assert_eq!(read(&object), Err(WorkloadError::Kind(kind.to_owned())));
    }
}

#[test]
fn the_namespace_is_the_object_s_and_break_glass_the_pod_s() {
    let asks = json!({"namespace": "lax", "labels": {BREAK_GLASS_LABEL: "true"}});
    let mut deployment = object("apps", "Deployment", "spec.template.", &asks, &spec());
    let pod = read(&deployment).unwrap().remove(0);
    assert_eq!((pod.namespace.as_deref(), pod.break_glass), (Some("shop"), true));
    deployment["spec"]["template"]["metadata"] = json!({});
    deployment["metadata"]["labels"] = json!({BREAK_GLASS_LABEL: "true"});
    assert!(!read(&deployment).unwrap()[0].break_glass);
    for (labels, annotations, asked) in [
        (json!({BREAK_GLASS_LABEL: "true"}), json!(null), true),
        (json!({"a": 1, BREAK_GLASS_LABEL: "yes"}), json!(null), false),
        (json!(null), json!({BREAK_GLASS_ANNOTATION: "true"}), true),
        (json!({BREAK_GLASS_ANNOTATION: "true"}), json!({BREAK_GLASS_LABEL: "true"}), false),
    ] {
        let metadata = json!({"labels": labels, "annotations": annotations});
        let pod = object("", "Pod", "", &metadata, &spec());
        assert_eq!(read(&pod).unwrap()[0].break_glass, asked, "{metadata}");
    }
}

#[test]
fn a_pod_that_names_no_account_has_the_default_one() {
    let mut spec = spec();
    for (name, other, account) in [("", "", "default"), ("", "old", "old"), ("web", "old", "web")] {
        spec["serviceAccountName"] = json!(name);
        spec["serviceAccount"] = json!(other);
        let pod = read(&object("", "Pod", "", &json!({}), &spec)).unwrap().remove(0);
        assert_eq!(&*pod.account(), account);
        assert_eq!(pod.service_account.is_some(), account != "default");
    }
}

#[test]
fn a_template_may_leave_its_images_blank_and_a_pod_may_not() {
    let blanks = json!({
        "containers": [{"name": "a", "image": " "}, {"name": "b"}, {"name": "c", "image": ""}],
        "volumes": [{"name": "v", "image": {}}],
    });
    for (group, kind, path) in KINDS {
        let pod = read(&object(group, kind, path, &json!({}), &blanks)).unwrap().remove(0);
        let expected: &[&str] = if kind == "Pod" { &[" ", "", "", ""] } else { &[] };
        assert_eq!(images(&pod), expected, "{kind}");
    }
    let mut some = blanks;
    some["containers"][1]["image"] = json!("b");
    let job = object("batch", "Job", "spec.template.", &json!({}), &some);
    assert_eq!(images(&read(&job).unwrap()[0]), ["b"]);
}

#[test]
fn a_list_is_all_of_its_items_in_order_up_to_the_limit() {
    let pod = |name: &str| object("", "Pod", "", &json!({"name": name}), &spec());
    let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items});
    let nested = list(vec![pod("a"), list(vec![pod("b"), list(vec![])]), pod("c")]);
    let names: Vec<_> = read(&nested).unwrap().into_iter().map(|pod| pod.name).collect();
    assert_eq!(names, ["a".into(), "b".into(), Box::from("c")]);
    // As the API itself lists them: the kind is said once.
    let bare = json!({"metadata": {"name": "n"}, "spec": spec()});
    let typed = json!({"apiVersion": "v1", "kind": "PodList", "items": [bare, bare]});
    assert_eq!(read(&typed).unwrap().len(), 2);
    let template = json!({"spec": {"template": {"spec": spec()}}});
    let typed = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [template]});
    assert_eq!(images(&read(&typed).unwrap()[0]).len(), 5);
    assert_eq!(read(&list(vec![pod("n"); 999])).unwrap().len(), 999);
    assert_eq!(read(&list(vec![pod("n"); 1_000])), Err(WorkloadError::TooMany(1_000)));
    assert_eq!(read(&list(vec![])), Ok(vec![]));
}

#[test]
fn what_is_no_object_with_pods_is_refused() {
    let pod = |spec: Value| json!({"kind": "Pod", "spec": spec});
    for (object, says) in [
        (json!({"kind": "ConfigMap"}), "kind `ConfigMap` has no pods"),
        (json!({"kind": "Service", "apiVersion": "v1"}), "kind `Service` has no pods"),
        (json!({"kind": "ConfigMapList", "items": []}), "kind `ConfigMapList` has no pods"),
        (json!({}), "kind `` has no pods"),
        (json!({"kind": "List"}), "it is a list and has no `items`"),
        (json!({"kind": "Deployment"}), "it has no `spec.template.`"),
        (json!({"kind": "CronJob", "spec": {"jobTemplate": {}}}), "it has no `spec.jobTemplate"),
        (json!({"kind": "Pod"}), "its pod has no `spec`"),
        (pod(json!({})), "it has no containers"),
        (pod(json!({"containers": [{"image": 1}]})), "invalid type: integer `1`"),
        (pod(json!({"containers": [["a", "i"]]})), "invalid type: sequence"),
        (json!(["Pod"]), "invalid type: sequence"),
        (
            json!({"kind": "Pod", "metadata": {"namespace": "Shop"}, "spec": spec()}),
            "its namespace \"Shop\" is not a Kubernetes namespace",
        ),
        (
            pod(json!({"serviceAccountName": "shop:web", "containers": [{"image": "a"}]})),
            "its service account \"shop:web\" is not a Kubernetes service account",
        ),
    ] {
        let error = read(&object).unwrap_err().to_string();
        assert!(error.contains(says), "{object}: {error}");
    }
}

#[test]
fn a_reviewed_object_is_what_the_review_says() {
    let pod = object("", "Pod", "", &json!({}), &spec()).to_string();
    Object::reviewed(&pod, "", "Pod").unwrap();
    for (group, kind) in [("", "Service"), ("apps", "Pod"), ("apps", "Deployment")] {
        assert_eq!(Object::reviewed(&pod, group, kind), Err(WorkloadError::OtherKind), "{kind}");
    }
}

#[test]
fn of_an_update_what_is_new_is_left() {
    let read = |spec: &Value| read(&object("", "Pod", "", &json!({}), spec)).unwrap().remove(0);
    let mut new = spec();
    new["containers"][1]["image"] = json!("a");
    new["ephemeralContainers"][0]["name"] = json!("other");
    let mut pod = read(&new);
    pod.keep_changed(read(&spec()));
    assert_eq!(images(&pod), ["a", "e"]);
    new["serviceAccountName"] = json!("other");
    let mut pod = read(&new);
    pod.keep_changed(read(&spec()));
    assert_eq!(pod.images.len(), 5);
    assert_eq!(pod.distinct_images().len(), 4);
}
