//! What the manifests ask of the daemon, it does.

use hallmark_tests::project::World;
use serde_json::json;

use super::tree::{base, items, kustomized, text, workload};

#[tokio::test]
async fn probes_and_webhooks_ask_for_paths_that_are_there() {
    let world = World::new().await;
    let documents = base(&[]);
    let container = &workload(&documents)["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = text(&container[probe]["httpGet"]["path"]);
        assert_eq!(world.client().get(path).await.status, 200, "{path}");
    }
    let gate = kustomized(&super::tree::deploy("kubernetes/webhook"));
    for webhook in items(&gate[0]["webhooks"]) {
        let path = text(&webhook["clientConfig"]["service"]["path"]);
        let answer = world.client().post(path, &json!({})).await;
        assert!(![404, 405].contains(&answer.status), "{path}: {}", answer.text);
        let wrong = path.replace("/admission", "/admit");
        assert_eq!(world.client().post(&wrong, &json!({})).await.status, 404);
    }
}
