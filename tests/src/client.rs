//! An HTTP client that keeps its connections and speaks JSON.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// A client of one daemon. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// `http://127.0.0.1:PORT`, or `https://`.
    pub endpoint: String,
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    token: Option<String>,
}

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as sent.
    pub text: String,
    /// The body where it is JSON, otherwise null.
    pub json: Value,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
}

impl Client {
    /// A client of the daemon at `address`.
    pub fn new(address: &str) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(&[], None));
        let connector = connector.https_or_http().enable_http1().build();
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Self { endpoint: format!("http://{address}"), http, token: None }
    }

    /// A client that speaks TLS, HTTP/2 where it may, believes `ca` and shows `identity`, a
    /// certificate and its key; all PEM.
    pub fn over_tls(address: &str, ca: &str, identity: Option<(&str, &str)>) -> Self {
        let roots = CertificateDer::pem_slice_iter(ca.as_bytes());
        let roots: Vec<_> = roots.map(|root| root.expect("PEM")).collect();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(&roots, identity));
        let connector = connector.https_only().enable_http1().enable_http2().build();
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Self { endpoint: format!("https://{address}"), http, token: None }
    }

    /// The same, sending a bearer token.
    #[must_use]
    pub fn bearing(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, "application/json", body.to_string().into()).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PUT, path, "application/json", body.to_string().into()).await
    }

    /// `POST` of lines to `/v1/decisions`, one request each; answers the lines that came back.
    pub async fn stream(&self, requests: &[Value]) -> Vec<Value> {
        let body: String = requests.iter().map(|request| format!("{request}\n")).collect();
        let path = "/v1/decisions";
        let answer = self.call(Method::POST, path, "application/x-ndjson", body.into()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let line = |line: &str| serde_json::from_str(line).expect("a line is JSON");
        answer.text.lines().map(line).collect()
    }

    /// Every page of a listing, `size` resources each; `path` may have a query.
    pub async fn list(&self, path: &str, member: &str, size: usize) -> Vec<Value> {
        let (mut all, mut token) = (Vec::new(), String::new());
        let separator = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = format!("{path}{separator}pageSize={size}&pageToken={token}");
            let page = self.get(&page).await.ok();
            let found = page[member].as_array().cloned().unwrap_or_default();
            assert!(found.len() <= size, "{} on a page of {size}", found.len());
            all.extend(found);
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return all,
            }
        }
    }

    /// The host and port that it talks to.
    pub fn address(&self) -> &str {
        self.endpoint.rsplit('/').next().unwrap_or_default()
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, "application/json", Bytes::new()).await
    }

    /// Any call; panics where nobody answers.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Answer {
        self.try_call(method, path, content_type, body).await.expect("the daemon answers")
    }

    /// Any call.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header("content-type", content_type);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = self.http.request(request.body(Full::new(body))?).await?;
        let status = response.status().as_u16();
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.map(|value| value.to_str().expect("text").to_owned());
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, text, json, challenge })
    }
}

fn tls(roots: &[CertificateDer<'static>], identity: Option<(&str, &str)>) -> ClientConfig {
    let mut believed = RootCertStore::empty();
    roots.iter().for_each(|root| believed.add(root.clone()).expect("a CA"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(believed);
    match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            config.with_client_auth_cert(vec![certificate], key).expect("they belong together")
        }
    }
}

impl Answer {
    /// The JSON of an answer of 200; panics on any other.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json
    }

    /// The message of a Google-shaped error of this status; panics on any other answer.
    pub fn refused(&self, status: u16, word: &str) -> String {
        let error = &self.json["error"];
        let shape = (self.status, error["code"].as_u64(), error["status"].as_str());
        assert_eq!(shape, (status, Some(u64::from(status)), Some(word)), "{}", self.text);
        error["message"].as_str().expect("a message").to_owned()
    }

    /// The status word of a Google-shaped error.
    pub fn error(&self) -> &str {
        self.json["error"]["status"].as_str().unwrap_or_default()
    }
}
