//! TLS: who is served, who is believed, and certificates that change under way.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary, eventually};
use hallmark_tests::keys::write;
use hallmark_tests::pki::Authority;
use hallmark_tests::project::{policy, sha256_hex};
use hallmark_tests::wire::Wire;
use serde_json::json;
use tempfile::TempDir;

use crate::shares::knock;
use crate::watched::fifo;

const TOKEN: &str = "the-token-of-the-operator";

/// A daemon that speaks TLS and believes the client certificates of `clients`.
struct Tls {
    dir: TempDir,
    daemon: Daemon,
    servers: Authority,
    clients: Authority,
}

fn auth() -> String {
    let members = "['user:operator', 'mtls:spiffe://c/ns/n/sa/webhook', 'mtls:dns:web.example', 'mtls:cn:old']";
    let binding = |role: &str| {
        format!("[[bindings]]\nrole = 'roles/{role}'\nmembers = {members}\nprojects = ['*']\n")
    };
    format!(
        "[[tokens]]\nprincipal = 'user:operator'\nsha256 = '{}'\n{}{}",
        sha256_hex(TOKEN.as_bytes()),
        binding("binaryauthorization.policyEditor"),
        binding("hallmark.operator"),
    )
}

impl Tls {
    fn start(listen: &str) -> Self {
        Self::start_with(listen, |_, _| Vec::new())
    }

    /// With more arguments, which may need files in the directory.
    fn start_with(listen: &str, more: impl Fn(&Path, &Authority) -> Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        servers.server().write(dir.path(), "server");
        write(dir.path(), "clients.pem", clients.certificate.as_bytes());
        write(dir.path(), "auth.toml", auth().as_bytes());
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let more = more(dir.path(), &clients);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let daemon = Daemon::start_with(
            dir.path(),
            &[
                &[
                    "--data-dir",
                    &path("data"),
                    "--listen",
                    listen,
                    "--tls-cert",
                    &path("server.pem"),
                    "--tls-key",
                    &path("server.key"),
                    "--tls-client-ca",
                    &path("clients.pem"),
                    "--auth",
                    &path("auth.toml"),
                ],
                &more[..],
            ]
            .concat(),
        );
        Self { dir, daemon, servers, clients }
    }

    fn address(&self) -> String {
        self.daemon.client.address().replace("0.0.0.0", "127.0.0.1")
    }

    fn client(&self, identity: Option<(&str, &str)>) -> Client {
        Client::over_tls(&self.address(), &self.servers.certificate, identity)
    }

    fn operator(&self) -> Client {
        self.client(None).bearing(TOKEN)
    }

    fn hallmark(&self, args: &[&str], token: &str) -> std::process::Output {
        let ca = write(self.dir.path(), "servers.pem", self.servers.certificate.as_bytes());
        Command::new(binary("hallmark"))
            .args(args)
            .args([
                "--endpoint",
                &format!("https://{}", self.address()),
                "--project",
                "p",
                "--ca-cert",
            ])
            .arg(ca)
            .env("HALLMARK_TOKEN", token)
            .output()
            .expect("runs")
    }
}

/// On every address of the machine, since nobody is let in unasked and nothing goes in clear text.
#[tokio::test]
async fn with_tls_and_authentication_the_network_is_served() {
    let tls = Tls::start("0.0.0.0:0");
    assert!(tls.daemon.client.address().starts_with("0.0.0.0:"));
    tls.client(None).get("/v1/projects/p/policy").await.refused(401, "UNAUTHENTICATED");
    tls.operator().get("/v1/projects/p/policy").await.ok();
    // In clear text nothing is answered.
    let mut clear = Wire::open(&Client::new(&tls.address())).await;
    clear.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!clear.read_to_end().await.contains("HTTP/1.1"));
}

#[tokio::test]
async fn a_client_certificate_is_a_principal() {
    let tls = Tls::start("127.0.0.1:0");
    for (common_name, names) in
        [("x", "URI:spiffe://c/ns/n/sa/webhook"), ("x", "DNS:web.example"), ("old", "")]
    {
        let certificate = tls.clients.issue(common_name, names, 30);
        let client = tls.client(certificate.identity());
        client.put("/v1/projects/p/policy", &policy("ALWAYS_DENY", &[])).await.ok();
    }
    let other = tls.clients.issue("x", "URI:spiffe://c/ns/n/sa/other", 30);
    let other = tls.client(other.identity());
    other.get("/v1/projects/p/policy").await.refused(403, "PERMISSION_DENIED");
    let nameless = tls.clients.issue("x", "IP:127.0.0.1", 30);
    let nameless = tls.client(nameless.identity());
    nameless.get("/v1/projects/p/policy").await.refused(401, "UNAUTHENTICATED");
    // A stranger's, and one whose time is over, do not come through the handshake.
    let strangers = Authority::new("clients");
    for certificate in [strangers.issue("old", "", 30), tls.clients.issue("old", "", -1)] {
        let client = tls.client(certificate.identity());
        let call = client.try_call(hyper::Method::GET, "/livez", "", bytes::Bytes::new());
        call.await.expect_err("not let in");
    }
    eventually("the count", || async {
        let metrics = tls.operator().get("/metrics").await.text;
        metrics.contains("hallmark_tls_handshake_errors_total 2").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_handshake_says_which_http_is_spoken() {
    let tls = Tls::start("127.0.0.1:0");
    let ca = write(tls.dir.path(), "servers.pem", tls.servers.certificate.as_bytes());
    let negotiated = |protocols: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &tls.address(), "-alpn", protocols, "-CAfile"])
            .arg(&ca)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(negotiated("h2,http/1.1").contains("ALPN protocol: h2"));
    assert!(negotiated("http/1.1").contains("ALPN protocol: http/1.1"));
    assert!(!negotiated("spdy/1").contains("ALPN protocol"));
}

/// Bytes that are no handshake cost their address the next one.
#[tokio::test]
async fn handshakes_of_strangers_come_at_their_pace() {
    knock(&Tls::start("127.0.0.1:0").daemon.client, b"junk").await;
}

fn expiry(metrics: &str) -> f64 {
    let name = "hallmark_tls_certificate_expiry_timestamp_seconds ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
    line.parse().expect("a number")
}

/// A FIFO in the place of each file that is followed.
#[tokio::test]
async fn a_file_that_is_none_is_a_fault_and_holds_up_nothing() {
    let tls = Tls::start("127.0.0.1:0");
    for name in ["server.pem", "server.key", "clients.pem", "auth.toml"] {
        let path = tls.dir.path().join(name);
        let was = std::fs::read(&path).expect("reads");
        fifo(&path);
        let faults = || async {
            let ready = tls.operator().get("/readyz").await.ok();
            assert!(ready["lookAgeSeconds"]["tls"].is_u64(), "{ready}");
            assert!(ready["lookAgeSeconds"]["auth"].is_u64(), "{ready}");
            format!("{}{}", ready["tlsReloadError"], ready["authReloadError"])
        };
        eventually("the fault", || async {
            let faults = faults().await;
            (faults.contains(name) && faults.contains("not a regular file")).then_some(())
        })
        .await;
        std::fs::remove_file(&path).expect("removes");
        write(tls.dir.path(), name, &was);
        eventually("no fault", || async { (faults().await == "nullnull").then_some(()) }).await;
    }
    fifo(&tls.dir.path().join("server.key"));
    tls.daemon.signal("HUP");
    let Tls { daemon, .. } = tls;
    daemon.stop();
}

/// A new certificate serves within moments; one that is broken changes nothing but `/readyz`.
#[tokio::test]
async fn a_certificate_is_changed_under_way() {
    let tls = Tls::start("127.0.0.1:0");
    let before = expiry(&tls.operator().get("/metrics").await.text);
    let renewed = tls.servers.issue("hallmark", "IP:127.0.0.1", 90);
    // Half of it: a certificate without its key.
    write(tls.dir.path(), "server.pem", renewed.certificate.as_bytes());
    eventually("the fault", || async {
        let ready = tls.operator().get("/readyz").await.ok();
        assert_eq!(ready["ready"], true);
        ready["tlsReloadError"].as_str().filter(|error| error.contains("server.pem")).map(drop)
    })
    .await;
    assert_eq!(expiry(&tls.operator().get("/metrics").await.text).to_bits(), before.to_bits());
    write(tls.dir.path(), "server.key", renewed.key.as_bytes());
    eventually("the new certificate", || async {
        let now = expiry(&tls.operator().get("/metrics").await.text);
        ((now - before - 60.0 * 86_400.0).abs() < 3_600.0).then_some(())
    })
    .await;
    assert_eq!(tls.operator().get("/readyz").await.ok()["tlsReloadError"], json!(null));
    // Clients of another authority are believed from now on, and those of the old one no more.
    let others = Authority::new("others");
    let (old, new) = (tls.clients.issue("old", "", 30), others.issue("old", "", 30));
    write(tls.dir.path(), "clients.pem", others.certificate.as_bytes());
    let get = |client: Client| async move {
        let call =
            client.try_call(hyper::Method::GET, "/v1/projects/p/policy", "", bytes::Bytes::new());
        call.await.map_or(0, |answer| answer.status)
    };
    eventually("the new authority", || async {
        (get(tls.client(new.identity())).await == 200).then_some(())
    })
    .await;
    assert_eq!(get(tls.client(old.identity())).await, 0);
}

#[tokio::test]
async fn a_revoked_certificate_is_not_believed() {
    let tls = Tls::start_with("127.0.0.1:0", |dir, clients| {
        write(dir, "revoked.pem", clients.revoke(&[], 30).as_bytes());
        let list = dir.join("revoked.pem").to_string_lossy().into_owned();
        vec!["--tls-client-crl".to_owned(), list]
    });
    let get = |client: Client| async move {
        let path = "/v1/projects/p/policy";
        let call = client.try_call(hyper::Method::GET, path, "", bytes::Bytes::new());
        call.await.map_or(0, |answer| answer.status)
    };
    let [lost, kept] = [(); 2].map(|()| tls.clients.issue("old", "", 30));
    for certificate in [&lost, &kept] {
        assert_eq!(get(tls.client(certificate.identity())).await, 200);
    }
    let put = |list: &str| write(tls.dir.path(), "revoked.pem", list.as_bytes());
    put(&tls.clients.revoke(&[&lost], 30));
    eventually("the revocation", || async {
        (get(tls.client(lost.identity())).await == 0).then_some(())
    })
    .await;
    assert_eq!(get(tls.client(kept.identity())).await, 200);
    // A file that is no list changes nothing; a list that is expired, or another's, says nothing of
    // anybody.
    put("none");
    eventually("the fault", || async {
        let ready = tls.operator().get("/readyz").await.ok();
        ready["tlsReloadError"].as_str().filter(|error| error.contains("revoked.pem")).map(drop)
    })
    .await;
    assert_eq!(get(tls.client(kept.identity())).await, 200);
    assert_eq!(get(tls.client(lost.identity())).await, 0);
    let others = Authority::new("others");
    for list in [tls.clients.revoke(&[], -1), others.revoke(&[], 30)] {
        put(&tls.clients.revoke(&[], 30));
        eventually("a list", || async {
            (get(tls.client(kept.identity())).await == 200).then_some(())
        })
        .await;
        put(&list);
        eventually("no list", || async {
            (get(tls.client(kept.identity())).await == 0).then_some(())
        })
        .await;
        tls.operator().get("/v1/projects/p/policy").await.ok();
    }
}

#[tokio::test]
async fn sighup_reads_certificates_anew() {
    let tls = Tls::start("127.0.0.1:0");
    tls.daemon.signal("HUP");
    eventually("the reload", || async {
        tls.daemon.log().contains("certificates read").then_some(())
    })
    .await;
    tls.operator().get("/v1/projects/p/policy").await.ok();
}

/// Whoever opens a connection and says nothing holds up nobody else.
#[tokio::test]
async fn a_handshake_that_does_not_come_disturbs_nobody() {
    let tls = Tls::start("127.0.0.1:0");
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(Wire::open(&Client::new(&tls.address())).await);
    }
    tls.operator().get("/livez").await;
    assert!(silent[0].is_silent_for(Duration::from_millis(50)).await);
}

#[test]
fn the_command_line_speaks_tls_and_proves_who_it_is() {
    let tls = Tls::start("127.0.0.1:0");
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let export = ["policy", "export"];
    let good = tls.hallmark(&export, TOKEN);
    assert!(good.status.success(), "{}", said(&good));
    let wrong = tls.hallmark(&export, "wrong-token");
    assert!(said(&wrong).contains("UNAUTHENTICATED") && !said(&wrong).contains("wrong-token"));
    let nameless = tls.hallmark(&export, "");
    assert!(said(&nameless).contains("UNAUTHENTICATED"), "{}", said(&nameless));
    let file = write(tls.dir.path(), "token", format!("{TOKEN}\n").as_bytes());
    let file = file.to_string_lossy().into_owned();
    let by_file = tls.hallmark(&[&export[..], &["--token-file", &file]].concat(), "");
    assert!(by_file.status.success(), "{}", said(&by_file));
    let (certificate, key) = tls
        .clients
        .issue("x", "URI:spiffe://c/ns/n/sa/webhook", 30)
        .write(tls.dir.path(), "client");
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let identity = ["--client-cert", &certificate, "--client-key", &key];
    let by_certificate = tls.hallmark(&[&export[..], &identity].concat(), "");
    assert!(by_certificate.status.success(), "{}", said(&by_certificate));
    let half = tls.hallmark(&["policy", "export", "--client-cert", &certificate], "");
    assert!(said(&half).contains("belong together"), "{}", said(&half));
    // Nobody vouches for the daemon.
    let alone = Command::new(binary("hallmark"))
        .args(["policy", "export", "--project", "p", "--endpoint"])
        .arg(format!("https://{}", tls.address()))
        .output()
        .expect("runs");
    assert!(!alone.status.success());
    let clear = tls.hallmark(&["policy", "export", "--endpoint", "http://192.0.2.1:80"], TOKEN);
    assert!(!clear.status.success());
}

/// A token goes in clear text to this machine only.
#[test]
fn a_token_is_not_sent_in_clear_text() {
    let output = Command::new(binary("hallmark"))
        .args(["policy", "export", "--project", "p", "--endpoint", "http://192.0.2.1:80"])
        .env("HALLMARK_TOKEN", TOKEN)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("https://") && !said.contains(TOKEN), "{said}");
}

fn refusal(dir: &Path, args: &[&str]) -> String {
    let data = dir.join("data").to_string_lossy().into_owned();
    let log = Daemon::try_start(dir, &[&["--data-dir", &data], args].concat());
    log.expect_err("it does not start")
}

#[test]
fn half_of_the_protection_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Authority::new("servers").server();
    let (certificate, key) = server.write(dir.path(), "server");
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let file = write(dir.path(), "auth.toml", b"").to_string_lossy().into_owned();
    let open = ["--listen", "0.0.0.0:0"];
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    for (args, sentence) in [
        (open.to_vec(), "--tls-cert FILE --tls-key FILE"),
        ([&open[..], &tls].concat(), "--auth FILE"),
        ([&open[..], &["--auth", &file]].concat(), "--tls-cert FILE --tls-key FILE"),
        (vec!["--tls-cert", &certificate], "needs both"),
        (vec!["--tls-cert", &certificate, "--tls-key", &certificate], "no private key"),
        (vec!["--tls-cert", &key, "--tls-key", &key], "no certificate"),
        ([&tls[..], &["--tls-client-ca", &key]].concat(), "no certificate"),
        (vec!["--tls-cert", "/nowhere.pem", "--tls-key", &key], "/nowhere.pem cannot be read"),
        (vec!["--auth", "/nowhere.toml"], "/nowhere.toml cannot be read"),
    ] {
        let log = refusal(dir.path(), &args);
        assert!(log.contains(sentence), "{args:?}: {log}");
    }
    let other = Authority::new("servers").server();
    let (_, other) = other.write(dir.path(), "other");
    let log =
        refusal(dir.path(), &["--tls-cert", &certificate, "--tls-key", &other.to_string_lossy()]);
    assert!(log.contains("server.pem"), "{log}");
}
