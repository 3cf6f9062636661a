//! Calls of API servers of other versions than those that were recorded: other versions of the
//! review, other parts of a pod, other kinds.

use hallmark_tests::admission::{creation, pod, post, review, update};
use hallmark_tests::audit::records;
use hallmark_tests::project::{World, image, policy, put_policy};
use hallmark_tests::wire::Wire;
use serde_json::{Value, json};

/// Image `attested` is, image `bad` is not.
async fn world() -> (World, String, String) {
    let world = World::configured("allowed_hosts = ['hallmark.hallmark-system.svc']").await;
    let (attested, bad) = (image("attested"), image("bad"));
    world.attest(&attested).await;
    (world, attested, bad)
}

/// API servers before 1.16 know no other version, and speak it until 1.21 where they are told to.
#[tokio::test]
async fn a_review_is_answered_in_its_own_version() {
    let (world, attested, bad) = world().await;
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        for (image, allowed) in [(&attested, true), (&bad, false)] {
            let mut body = creation(&pod(&[image]));
            body["apiVersion"] = json!(version);
            let answer = post(world.client(), "admission", &body).await.ok();
            assert_eq!(answer["apiVersion"], version);
            assert_eq!(answer["kind"], "AdmissionReview");
            assert_eq!(answer["response"]["uid"], body["request"]["uid"]);
            assert_eq!(answer["response"]["allowed"], allowed, "{answer:#}");
        }
    }
    for version in ["admission.k8s.io/v1alpha1", "admission.k8s.io/v2", "v1", ""] {
        let mut body = creation(&pod(&[&attested]));
        body["apiVersion"] = json!(version);
        let refused = post(world.client(), "admission", &body).await;
        let message = refused.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains("admissionReviewVersions: [\"v1\"]"), "{message}");
    }
}

/// A pod changed through a part of it, by the verbs that there are and may come to be.
#[tokio::test]
async fn whichever_part_of_a_pod_is_changed_its_images_count() {
    let (world, attested, bad) = world().await;
    let old = pod(&[&bad]);
    let mut resized = old.clone();
    resized["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    let mut resized_and_swapped = resized.clone();
    resized_and_swapped["spec"]["containers"][0]["image"] = json!(image("other"));
    let mut debugged = old.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": attested}]);
    let mut debugged_badly = debugged.clone();
    debugged_badly["spec"]["ephemeralContainers"][0]["image"] = json!(bad);
    for subresource in ["resize", "ephemeralcontainers", "status", "yetunknown", ""] {
        for (new, allowed) in [
            (&resized, true),
            (&resized_and_swapped, false),
            (&debugged, true),
            (&debugged_badly, false),
        ] {
            let mut body = update(&old, new);
            body["request"]["subResource"] = json!(subresource);
            body["request"]["requestSubResource"] = json!(subresource);
            let response = review(world.client(), &body).await;
            assert_eq!(response["allowed"], allowed, "{subresource} {new:#}");
        }
    }
}

/// A kind that comes with Kubernetes and starts no image passes, whatever the policy, and leaves no
/// record.
#[tokio::test]
async fn what_is_known_to_start_no_image_passes() {
    let world = World::configured("allowed_hosts = ['hallmark.hallmark-system.svc']").await;
    put_policy(world.client(), &policy("ALWAYS_DENY", &[])).await;
    let before = records(world.dir.path()).len();
    for (version, kind) in [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "Namespace"),
        ("v1", "Node"),
        ("v1", "Binding"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
        ("v1", "PersistentVolumeClaim"),
        ("apps/v1", "ControllerRevision"),
        ("apps/v1beta2", "Scale"),
        ("autoscaling/v1", "Scale"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("policy/v1beta1", "Eviction"),
        ("policy/v1", "PodDisruptionBudget"),
        ("coordination.k8s.io/v1", "Lease"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        ("events.k8s.io/v1", "Event"),
        ("networking.k8s.io/v1", "Ingress"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("resource.k8s.io/v1", "ResourceClaim"),
        ("storage.k8s.io/v1", "CSIStorageCapacity"),
        ("authentication.k8s.io/v1", "TokenRequest"),
    ] {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
        let mut body = creation(&object);
        body["request"]["namespace"] = Value::Null;
        let response = review(world.client(), &body).await;
        assert_eq!(response["allowed"], true, "{version} {kind}: {response:#}");
    }
    for (operation, kind) in [
        ("CONNECT", "PodExecOptions"),
        ("CONNECT", "PodAttachOptions"),
        ("CONNECT", "PodPortForwardOptions"),
        ("CONNECT", "ServiceProxyOptions"),
        ("DELETE", "Pod"),
        ("DELETE", "Whatever"),
    ] {
        let mut body = creation(&json!({"apiVersion": "v1", "kind": kind}));
        body["request"]["operation"] = json!(operation);
        body["request"]["object"] = Value::Null;
        let response = review(world.client(), &body).await;
        assert_eq!(response["allowed"], true, "{operation} {kind}: {response:#}");
    }
    assert_eq!(records(world.dir.path()).len(), before);
}

/// Names that sound as if they came with Kubernetes do not make it so.
#[tokio::test]
async fn what_only_sounds_known_is_denied() {
    let world = World::configured("allowed_hosts = ['hallmark.hallmark-system.svc']").await;
    put_policy(world.client(), &policy("ALWAYS_ALLOW", &[])).await;
    for (version, kind) in [
        ("v1", "PodGroup"),
        ("v1", "pod"),
        ("apps/v1", "Rollout"),
        ("batch/v1", "JobSet"),
        ("jobset.x-k8s.io/v1alpha2", "JobSet"),
        ("agents.x-k8s.io/v1alpha1", "Sandbox"),
        ("networking.k8s.io.example.com/v1", "Ingress"),
        ("example.com/v1", "ConfigMap"),
        ("serving.knative.dev/v1", "Service"),
    ] {
        let body = creation(&json!({"apiVersion": version, "kind": kind}));
        let response = review(world.client(), &body).await;
        assert_eq!(response["allowed"], false, "{version} {kind}");
        assert!(response["status"]["message"].as_str().expect("text").contains(kind));
    }
}

/// Workloads of versions that were and are yet to be carry their pods in the same place.
#[tokio::test]
async fn workloads_of_every_version_are_warned_of_and_counted_apart() {
    let (world, _, bad) = world().await;
    let template = json!({"spec": {"containers": [{"name": "c", "image": bad}]}});
    let job = json!({"spec": {"template": template}});
    let kinds = [
        ("extensions/v1beta1", "Deployment", job["spec"].clone()),
        ("apps/v1beta1", "StatefulSet", job["spec"].clone()),
        ("apps/v2", "DaemonSet", job["spec"].clone()),
        ("batch/v1beta1", "CronJob", json!({"jobTemplate": job})),
        ("batch/v2alpha1", "CronJob", json!({"jobTemplate": job})),
        ("batch/v2", "Job", job["spec"].clone()),
    ];
    for (version, kind, spec) in &kinds {
        let object = json!({"apiVersion": version, "kind": kind, "spec": spec});
        let response = review(world.client(), &creation(&object)).await;
        assert_eq!(response["allowed"], true, "{version} {kind}");
        let warning = response["warnings"][0].as_str().expect("a warning");
        assert!(warning.contains(&format!("pods of this {kind} would be denied")), "{warning}");
    }
    let metrics = world.client().get("/metrics").await.text;
    let counted = |mode: &str| {
        let series = format!(
            "hallmark_decisions_total{{mode=\"{mode}\",outcome=\"denied\",rule=\"default\"}} "
        );
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.expect("a counter").parse::<usize>().expect("a number")
    };
    assert_eq!((counted("advisory"), counted("enforced")), (kinds.len(), 0));
}

/// An object is what the request says it is, wherever it says that it belongs.
#[tokio::test]
async fn a_pod_without_a_name_or_with_defaults_left_out_is_judged() {
    let (world, attested, bad) = world().await;
    for (image, allowed) in [(&attested, true), (&bad, false)] {
        let mut bare = creation(&json!({
            "kind": "Pod", "apiVersion": "v1", "metadata": {"generateName": "web-"},
            "spec": {"containers": [{"name": "c", "image": image}]},
        }));
        let request = bare["request"].as_object_mut().expect("a request");
        for member in ["name", "oldObject", "dryRun", "options", "resource", "userInfo"] {
            request.remove(member);
        }
        assert_eq!(review(world.client(), &bare).await["allowed"], allowed);
    }
}

/// One connection for many reviews, with the headers of kube-apiserver, compressed or not.
#[tokio::test]
async fn an_api_server_is_understood_as_it_speaks() {
    let (world, attested, _) = world().await;
    let plain = creation(&pod(&[&attested])).to_string().into_bytes();
    let file = hallmark_tests::keys::write(world.dir.path(), "review.json", &plain);
    let gzip = std::process::Command::new("gzip").arg("-c").arg(file).output().expect("gzip runs");
    let mut wire = Wire::open(world.client()).await;
    for (coding, body) in [("", &plain), ("content-encoding: gzip\r\n", &gzip.stdout), ("", &plain)]
    {
        let head = format!(
            "POST /k8s/projects/p/clusters/l.c/admission?timeout=10s HTTP/1.1\r\n\
             Host: hallmark.hallmark-system.svc:443\r\nUser-Agent: kube-apiserver-admission\r\n\
             Accept: application/json, */*\r\nAccept-Encoding: gzip\r\n\
             Content-Type: application/json\r\n{coding}Content-Length: {}\r\n\r\n",
            body.len()
        );
        assert!(wire.send(head.as_bytes()).await && wire.send(body).await);
        let answer = wire.read_until("}}").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
        assert!(answer.ends_with("\"allowed\":true}}"), "{answer}");
    }
}
