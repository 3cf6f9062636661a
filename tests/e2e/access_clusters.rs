//! Whose cluster it is: an API server speaks for the clusters that its certificate or token is bound
//! to, at every door, whatever the path or the body says.

use hallmark_tests::admission::{creation, pod};
use hallmark_tests::audit::last_record;
use hallmark_tests::client::{Answer, Client};
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::write;
use hallmark_tests::pki::Authority;
use hallmark_tests::project::{image, policy, put_policy, sha256_hex};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "the-token-of-cluster-b";

/// The place of `/v1/decisions` among the doors, where the body says which cluster it is.
const DECISIONS: usize = 3;

/// `mtls:cn:apiserver-a` and everybody of `who` speak for `l.a`, a token for `l.b`.
fn auth(who: &str) -> String {
    format!(
        "[[tokens]]\nprincipal = 'serviceAccount:apiserver-b'\nsha256 = '{}'\n\
         [[tokens]]\nprincipal = 'user:editor'\nsha256 = '{}'\n\
         [[bindings]]\nrole = 'roles/binaryauthorization.policyEditor'\nmembers = ['user:editor']\n\
         projects = ['p']\n\
         [[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['mtls:cn:apiserver-a'{who}]\n\
         projects = ['p']\nclusters = ['l.a']\n\
         [[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['serviceAccount:apiserver-b']\n\
         projects = ['p']\nclusters = ['l.b']\n",
        sha256_hex(TOKEN.as_bytes()),
        sha256_hex(b"the-token-of-the-editor"),
    )
}

struct Clusters {
    dir: TempDir,
    daemon: Daemon,
    servers: Authority,
    clients: Authority,
}

impl Clusters {
    /// Cluster `l.a` may run anything, every other nothing.
    async fn start(who: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let (certificate, key) = servers.server().write(dir.path(), "server");
        let ca = write(dir.path(), "clients.pem", clients.certificate.as_bytes());
        let auth = write(dir.path(), "auth.toml", auth(who).as_bytes());
        let toml = format!(
            "auth.file = '{}'\n[tls]\ncert = '{}'\nkey = '{}'\nclient_ca = '{}'",
            auth.display(),
            certificate.display(),
            key.display(),
            ca.display(),
        );
        let daemon = Daemon::start_configured(dir.path(), &toml);
        let clusters = Self { dir, daemon, servers, clients };
        let mut rules = policy("ALWAYS_DENY", &[]);
        rules["clusterAdmissionRules"] = json!({"l.a": {"evaluationMode": "ALWAYS_ALLOW",
            "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"}});
        put_policy(&clusters.nobody().bearing("the-token-of-the-editor"), &rules).await;
        clusters
    }

    fn nobody(&self) -> Client {
        Client::over_tls(self.daemon.client.address(), &self.servers.certificate, None)
    }

    fn certified(&self, name: &str) -> Client {
        let certificate = self.clients.issue(name, "", 30);
        let address = self.daemon.client.address();
        Client::over_tls(address, &self.servers.certificate, certificate.identity())
    }
}

/// Asks for the same image at each door, for this cluster.
async fn at_every_door(client: &Client, cluster: &str) -> Vec<Answer> {
    let image = image("any");
    let object = pod(&[&image]);
    let posts = [
        (format!("/k8s/projects/p/clusters/{cluster}/admission?timeout=10s"), creation(&object)),
        (
            format!("/k8s/projects/p/clusters/{cluster}/imagereview"),
            json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
                "spec": {"containers": [{"image": image}], "namespace": "shop"}}),
        ),
        (
            format!("/gatekeeper/projects/p/clusters/{cluster}/validate"),
            json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest",
                "request": {"keys": [image]}}),
        ),
        (
            "/v1/decisions".to_owned(),
            json!({"project": "p", "cluster": cluster, "images": [image]}),
        ),
    ];
    let mut answers = Vec::new();
    for (path, body) in posts {
        answers.push(client.post(&path, &body).await);
    }
    answers
}

/// True if the image was let in, at the first door.
fn is_let_in(answers: Vec<Answer>) -> bool {
    let mut bodies: Vec<Value> = answers.into_iter().map(Answer::ok).collect();
    let said = [
        bodies[0]["response"]["allowed"].take(),
        bodies[1]["status"]["allowed"].take(),
        json!(bodies[2]["response"]["items"][0]["error"].is_null()),
        bodies[3]["allowed"].take(),
    ];
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
    said[0] == true
}

#[tokio::test]
async fn an_api_server_speaks_for_its_own_cluster_alone() {
    let clusters = Clusters::start("").await;
    let a = clusters.certified("apiserver-a");
    let b = clusters.nobody().bearing(TOKEN);
    assert!(is_let_in(at_every_door(&a, "l.a").await));
    assert_eq!(last_record(clusters.dir.path())["principal"], "mtls:cn:apiserver-a");
    assert!(!is_let_in(at_every_door(&b, "l.b").await));
    for (client, foreign) in [(&a, "l.b"), (&b, "l.a"), (&b, "l.c"), (&b, "l%2Ea")] {
        for (door, answer) in at_every_door(client, foreign).await.into_iter().enumerate() {
            if (door, foreign) == (DECISIONS, "l%2Ea") {
                // Paths are decoded, bodies are not: there it is the name of no cluster.
                answer.refused(400, "INVALID_ARGUMENT");
                continue;
            }
            let message = answer.refused(403, "PERMISSION_DENIED");
            assert!(message.starts_with("Permission 'hallmark.decisions.create'"), "{message}");
        }
    }
    // No other spelling makes it the own cluster.
    for (door, answer) in at_every_door(&b, "L.a").await.into_iter().enumerate() {
        let (status, word) = match door {
            DECISIONS => (400, "INVALID_ARGUMENT"),
            _ => (403, "PERMISSION_DENIED"),
        };
        answer.refused(status, word);
    }
    // Not to say which cluster is no way to a laxer rule.
    let unsaid = json!({"project": "p", "images": [image("any")]});
    a.post("/v1/decisions", &unsaid).await.refused(403, "PERMISSION_DENIED");
    let lines = b
        .stream(&[
            json!({"project": "p", "cluster": "l.b", "images": [image("any")]}),
            json!({"project": "p", "cluster": "l.a", "images": [image("any")]}),
            unsaid,
        ])
        .await;
    assert_eq!(lines[0]["allowed"], false, "{lines:#?}");
    for line in &lines[1..] {
        assert_eq!(line["error"]["status"], "PERMISSION_DENIED", "{lines:#?}");
    }
    for answer in at_every_door(&clusters.certified("apiserver-b"), "l.b").await {
        answer.refused(403, "PERMISSION_DENIED");
    }
    for answer in at_every_door(&clusters.nobody(), "l.a").await {
        answer.refused(401, "UNAUTHENTICATED");
    }
}

/// A control plane that can show neither certificate nor token.
#[tokio::test]
async fn all_users_may_ask_for_decisions_and_nothing_else() {
    let clusters = Clusters::start(", 'allUsers'").await;
    let nobody = clusters.nobody();
    assert!(is_let_in(at_every_door(&nobody, "l.a").await));
    assert_eq!(last_record(clusters.dir.path())["principal"], "allUsers");
    assert!(is_let_in(at_every_door(&clusters.certified("whoever"), "l.a").await));
    for answer in at_every_door(&nobody, "l.b").await {
        answer.refused(401, "UNAUTHENTICATED");
    }
    for path in ["/v1/projects/p/policy", "/metrics", "/v1/locations/global/policy"] {
        nobody.get(path).await.refused(401, "UNAUTHENTICATED");
    }
    let write = nobody.put("/v1/projects/p/policy", &policy("ALWAYS_ALLOW", &[])).await;
    write.refused(401, "UNAUTHENTICATED");
    for answer in at_every_door(&nobody.bearing("guessed"), "l.a").await {
        answer.refused(401, "UNAUTHENTICATED");
    }
}
