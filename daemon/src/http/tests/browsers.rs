//! Requests as a browser sends them for a page of another site, and as programs do.

use super::*;

const NOTES: &str = "/v1/projects/p/notes?noteId=n";
const NOTE: &str = r#"{"attestation":{"hint":{}}}"#;

async fn status(server: &Server, request: impl AsRef<[u8]>) -> String {
    let answer = server.send(request).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// A write that names the server so, with these headers beside.
fn write(target: &str, version: &str, host: &str, headers: &str) -> String {
    format!(
        "POST {target} HTTP/{version}\r\n{host}connection: close\r\n{headers}content-length: {}\r\n\r\n{NOTE}",
        NOTE.len()
    )
}

#[tokio::test]
async fn a_rebound_name_is_refused_on_every_route_and_in_every_form_of_target() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let evil = "host: evil.example:8080\r\n";
    for path in ["/livez", "/readyz", "/metrics", "/v1/projects/p/policy", "/nowhere"] {
        let rebound = get(path).replace("host: localhost\r\n", evil);
        assert_eq!(status(&server, rebound).await, "403", "{path}");
    }
    let absolute = format!("http://evil.example{NOTES}");
    for (target, version, host, expected) in [
        (NOTES, "1.1", evil, "403"),
        (NOTES, "1.0", evil, "403"),
        (NOTES, "1.1", "", "400"),
        (NOTES, "1.0", "", "400"),
        (NOTES, "1.1", "host: localhost\r\nhost: evil.example\r\n", "400"),
        (&absolute, "1.1", "host: localhost\r\n", "403"),
        (&format!("http://localhost{NOTES}"), "1.1", evil, "403"),
        (&format!("http://localhost{NOTES}"), "1.1", "host: localhost\r\n", "200"),
    ] {
        assert_eq!(
            status(&server, write(target, version, host, JSON)).await,
            expected,
            "{target} {host}"
        );
    }
}

#[tokio::test]
async fn a_simple_request_of_another_page_writes_nothing() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let host = "host: localhost\r\n";
    for (headers, expected) in [
        ("", "415"),
        ("content-type: text/plain\r\n", "415"),
        ("content-type: application/x-www-form-urlencoded\r\n", "415"),
        ("content-type: multipart/form-data; boundary=application/json\r\n", "415"),
        ("content-type: text/plain; application/json\r\n", "415"),
        ("content-type: application/json\r\ncontent-type: text/plain\r\n", "415"),
        ("content-type: application/json\r\ncontent-type: application/json\r\n", "415"),
        ("content-type: application/json\r\norigin: http://evil.example\r\n", "403"),
        ("content-type: application/json\r\norigin: null\r\n", "403"),
        ("content-type: application/json\r\nsec-fetch-site: cross-site\r\n", "403"),
    ] {
        assert_eq!(
            status(&server, write(NOTES, "1.1", host, headers)).await,
            expected,
            "{headers}"
        );
    }
    let overridden = "x-http-method-override: PATCH\r\n";
    let note = NOTES.replace("notes?noteId=n", "notes/n");
    assert_eq!(status(&server, write(&note, "1.1", host, overridden)).await, "415");
    let empty = untyped("/v1/projects/p/policy:setIamPolicy", "connection: close\r\n", "");
    assert_eq!(status(&server, empty).await, "415");
    let absent = get("/v1/projects/p/notes/n");
    assert_eq!(status(&server, absent).await, "404");
    assert_eq!(status(&server, write(NOTES, "1.1", host, JSON)).await, "200");
    let own = format!("{JSON}origin: http://localhost\r\nsec-fetch-site: same-origin\r\n");
    let second = NOTES.replace("=n", "=m");
    assert_eq!(status(&server, write(&second, "1.1", host, &own)).await, "200");
}

#[tokio::test]
async fn curls_default_type_is_read_as_json_where_nothing_is_changed() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for (headers, body, expected) in [
        (form.to_owned(), asking("i"), "200"),
        (form.to_owned(), format!(" \n{}", asking("i")), "200"),
        (form.to_owned(), "project=p&images=i".to_owned(), "415"),
        (form.to_owned(), String::new(), "400"),
        (format!("{form}origin: http://evil.example\r\n"), asking("i"), "403"),
        (format!("{form}sec-fetch-site: cross-site\r\n"), asking("i"), "403"),
        (String::new(), asking("i"), "415"),
    ] {
        let request = untyped("/v1/decisions", &format!("{headers}connection: close\r\n"), &body);
        assert_eq!(status(&server, request).await, expected, "{headers} {body}");
    }
}
