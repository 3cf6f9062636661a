//! `hallmark validate-running`: what of that which runs would be denied today.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use hallmark_tests::audit::records;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::binary;
use hallmark_tests::project::{
    REPOSITORY, World, digest, dry_run, image, policy, put_policy, rule,
};
use serde_json::{Value, json};

/// Runs it with these pods on standard input.
fn validate(client: &Client, pods: &Value, args: &[&str]) -> Output {
    let mut process = Command::new(binary("hallmark"))
        .arg("validate-running")
        .args(args)
        .env("HALLMARK_ENDPOINT", &client.endpoint)
        .env("HALLMARK_PROJECT", "p")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hallmark runs");
    let mut input = process.stdin.take().expect("a pipe");
    // It may refuse what it is given before it has read it whole.
    drop(input.write_all(pods.to_string().as_bytes()));
    drop(input);
    process.wait_with_output().expect("it ends")
}

fn report(client: &Client, pods: &Value, code: i32, args: &[&str]) -> Value {
    let output = validate(client, pods, &[&["--format", "json"], args].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said, "", "no bar where nobody looks");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn list(pods: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": pods})
}

/// A running pod of one Deployment.
fn pod(namespace: &str, workload: &str, n: usize, image: &str, image_id: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{workload}-5d4f-{n}"), "namespace": namespace,
            "labels": {"pod-template-hash": "5d4f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                "name": format!("{workload}-5d4f"), "uid": "1"}],
        },
        "spec": {"serviceAccountName": "web", "containers": [{"name": "c", "image": image}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "c", "imageID": image_id}]},
    })
}

/// Five pods that run, and one that has ended, in two namespaces.
fn cluster(attested: &str) -> Value {
    let tag = format!("{REPOSITORY}:v1");
    let by_tag = format!("docker-pullable://{attested}");
    let mut ended = pod("shop", "old", 0, &image("plain"), "");
    ended["status"]["phase"] = json!("Succeeded");
    let mut lone = pod("lab", "lone", 0, &image("plain"), "");
    lone["metadata"]["ownerReferences"] = json!([]);
    lone["metadata"]["labels"]["image-policy.k8s.io/break-glass"] = json!("true");
    let mut several = pod("lab", "several", 0, attested, attested);
    several["spec"]["initContainers"] = json!([{"name": "i", "image": image("plain")}]);
    several["spec"]["volumes"] = json!([{"name": "v", "image": {"reference": attested}}]);
    list(&[
        pod("shop", "good", 0, attested, attested),
        pod("shop", "good", 1, attested, attested),
        pod("shop", "tagged", 0, &tag, &by_tag),
        ended,
        lone,
        several,
    ])
}

#[tokio::test]
async fn what_would_be_denied_is_told_by_workload_and_digest() {
    let world = World::new().await;
    let (attested, tag) = (image("attested"), format!("{REPOSITORY}:v1"));
    world.attest(&attested).await;
    let pods = cluster(&attested);
    let report = report(world.client(), &pods, 2, &["--cluster", "l.c"]);
    assert_eq!((&report["pods"], &report["podsEnded"]), (&json!(5), &json!(1)));
    assert_eq!(
        report["podsByVerdict"],
        json!({"allowed": 2, "break_glass": 1, "denied": 2,
        "dry_run": 0, "undetermined": 0})
    );
    let workloads = report["workloads"].as_array().expect("workloads");
    let names: Vec<_> =
        workloads.iter().map(|one| format!("{}/{}", one["namespace"], one["workload"])).collect();
    assert_eq!(
        names.join(" ").replace('"', ""),
        "lab/Deployment/several lab/Pod/lone-5d4f-0 \
        shop/Deployment/good shop/Deployment/tagged"
    );
    let tagged = &workloads[3]["images"][0];
    assert_eq!(
        (&tagged["verdict"], &tagged["reason"]),
        (&json!("denied"), &json!("DIGEST_REQUIRED"))
    );
    assert_eq!(
        tagged["running"],
        json!({"digest": digest("attested"), "verdict": "allowed",
        "reason": "ATTESTED"})
    );
    assert_eq!(
        (&workloads[2]["pods"], &workloads[2]["images"][0]["verdict"]),
        (&json!(2), &json!("allowed"))
    );
    let digests = report["digests"].as_array().expect("digests");
    let found = digests.iter().find(|one| one["digest"] == digest("attested")).expect("the digest");
    assert_eq!((&found["pods"], &found["images"]), (&json!(4), &json!([tag, attested])));
    let last = records(world.dir.path()).pop().expect("a record");
    assert_eq!((&last["cluster"], &last["serviceAccount"]), (&json!("l.c"), &json!("web")));
}

#[tokio::test]
async fn the_report_is_for_people_and_for_prometheus() {
    let world = World::new().await;
    world.attest(&image("attested")).await;
    let pods = cluster(&image("attested"));
    let table = validate(world.client(), &pods, &[]);
    let text = String::from_utf8_lossy(&table.stdout);
    assert!(
        text.starts_with("5 pods running 2 digests: 2 allowed, 0 dry run, 1 break glass"),
        "{text}"
    );
    assert!(text.contains("Deployment/tagged") && !text.contains("Deployment/good"), "{text}");
    let numbers = validate(world.client(), &pods, &["--format", "prometheus"]);
    let text = String::from_utf8_lossy(&numbers.stdout);
    for line in [
        "# TYPE hallmark_running_pods gauge",
        "hallmark_running_pods{namespace=\"shop\",verdict=\"denied\"} 1",
        "hallmark_running_pods{namespace=\"shop\",verdict=\"allowed\"} 2",
        "hallmark_running_images{namespace=\"shop\",verdict=\"denied\",reason=\"DIGEST_REQUIRED\"} 1",
        "hallmark_running_digests 2",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_dry_run_and_a_clean_cluster_are_no_failure() {
    let world = World::new().await;
    let mut trial = policy("ALWAYS_ALLOW", &[]);
    trial["defaultAdmissionRule"] = dry_run(rule("ALWAYS_DENY", &[]));
    put_policy(world.client(), &trial).await;
    let pods = list(&[pod("shop", "web", 0, &image("plain"), "")]);
    assert_eq!(report(world.client(), &pods, 0, &[])["podsByVerdict"]["dry_run"], 1);
    put_policy(world.client(), &policy("ALWAYS_ALLOW", &[])).await;
    assert_eq!(report(world.client(), &pods, 0, &[])["podsByVerdict"]["allowed"], 1);
    assert_eq!(report(world.client(), &list(&[]), 0, &[])["pods"], 0);
    assert_eq!(report(world.client(), &pods["items"][0], 0, &[])["pods"], 1);
}

#[tokio::test]
async fn what_is_no_list_of_pods_is_refused() {
    let world = World::new().await;
    for (input, says) in [
        (json!({"kind": "Deployment"}), "object 0 is a Deployment, and makes pods"),
        (json!({"kind": "List"}), "it is a list and has no `items`"),
        (json!("pods"), "kubectl get pods -A -o json"),
        (list(&[json!({"metadata": {}})]), "kubectl get pods -A -o json"),
    ] {
        let output = validate(world.client(), &input, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{says}: {said}");
    }
}

/// A large cluster: ten thousand pods of four hundred images in one run.
#[tokio::test]
async fn ten_thousand_pods_are_validated_in_one_run() {
    let world = World::new().await;
    let images: Vec<_> = (0..400).map(|n| image(&format!("fleet {n}"))).collect();
    for attested in images.iter().step_by(40) {
        world.attest(attested).await;
    }
    let pods = (0..10_000).map(|n| {
        let image = &images[n % images.len()];
        pod(&format!("team-{}", n % 50), &format!("app-{}", n % 400), n, image, image)
    });
    let report = report(world.client(), &list(&pods.collect::<Vec<_>>()), 2, &[]);
    assert_eq!(report["pods"], 10_000);
    let verdicts = &report["podsByVerdict"];
    assert_eq!((&verdicts["allowed"], &verdicts["denied"]), (&json!(250), &json!(9_750)));
    assert_eq!(report["digests"].as_array().map(Vec::len), Some(400));
}

/// `--kubeconfig` runs `kubectl`, and says what it said where it fails.
#[tokio::test]
async fn the_pods_may_come_from_kubectl() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    let pods = list(&[pod("shop", "web", 0, &image("plain"), "")]);
    std::fs::write(dir.path().join("pods.json"), pods.to_string()).expect("writes");
    let kubectl = dir.path().join("kubectl");
    let script = "#!/bin/sh\n[ \"$*\" = \"--kubeconfig good get pods -A -o json\" ] || \
        { echo 'no such cluster' >&2; exit 1; }\nwhile read -r line; do echo \"$line\"; done < \
        \"${0%/*}/pods.json\"; echo \"$line\"\n";
    std::fs::write(&kubectl, script).expect("writes");
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).expect("permits");
    let run = |kubeconfig: &str| {
        Command::new(binary("hallmark"))
            .args(["validate-running", "--kubeconfig", kubeconfig, "--format", "json"])
            .env("HALLMARK_ENDPOINT", &world.client().endpoint)
            .env("HALLMARK_PROJECT", "p")
            .env("PATH", dir.path())
            .output()
            .expect("hallmark runs")
    };
    let output = run("good");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["podsByVerdict"]["denied"], 1);
    let output = run("bad");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("kubectl: no such cluster"));
}

/// On a terminal a bar moves while the daemon is asked, and is gone from the report.
#[tokio::test]
async fn a_bar_shows_how_far_it_is_to_whoever_looks() {
    let world = World::new().await;
    let pods = (0..600).map(|n| pod("shop", "web", n, &image(&format!("bar {n}")), ""));
    let file = world.dir.path().join("pods.json");
    std::fs::write(&file, list(&pods.collect::<Vec<_>>()).to_string()).expect("writes");
    let hallmark = binary("hallmark");
    let command = format!("{} validate-running {}", hallmark.display(), file.display());
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("HALLMARK_ENDPOINT", &world.client().endpoint)
        .env("HALLMARK_PROJECT", "p")
        .stdin(Stdio::null())
        .output()
        .expect("script runs");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{seen}");
    for bar in [
        "[------------------------------] 0/600 images",
        "[#########################-----] 500/600 images",
        "[##############################] 600/600 images",
    ] {
        assert!(seen.contains(bar), "{bar} in {seen}");
    }
    assert!(seen.contains("\u{1b}[K600 pods running 600 digests"), "{seen}");
}
