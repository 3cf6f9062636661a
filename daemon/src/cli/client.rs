//! A small HTTP client for the verbs that talk to a daemon.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::identity::Identity;

/// Longest answer read, in bytes: a page of 1,000 occurrences at their limits is smaller.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Which daemon, and which project on it.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// The daemon to talk to.
    #[arg(long, global = true, env = "HALLMARK_ENDPOINT", default_value = "http://127.0.0.1:8080")]
    endpoint: String,
    /// The project that resources are named in.
    #[arg(long, global = true, env = "HALLMARK_PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

impl Target {
    /// The project, or a sentence that says how to name it.
    pub(super) fn project(&self) -> anyhow::Result<&str> {
        self.project.as_deref().context("which project? say --project P or set HALLMARK_PROJECT")
    }

    /// A client for the daemon.
    pub(super) fn connect(&self) -> anyhow::Result<Client> {
        let endpoint = self.endpoint.trim_end_matches('/').to_owned();
        let uri = endpoint.parse::<Uri>().ok();
        let scheme = uri.as_ref().and_then(Uri::scheme_str);
        if !matches!(scheme, Some("http" | "https")) {
            bail!("--endpoint {endpoint}: expected https://HOST:PORT or http://HOST:PORT");
        }
        let authorization = self.identity.authorization()?;
        let local = uri.as_ref().and_then(Uri::host).is_some_and(is_loopback);
        if authorization.is_some() && scheme == Some("http") && !local {
            bail!("--endpoint {endpoint}: a token is sent over https:// only, or to this machine");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connector = self.identity.connector(scheme == Some("https"))?;
        let client = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Client { endpoint, runtime, client, authorization })
    }
}

/// One daemon, one call at a time.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: String,
    runtime: tokio::runtime::Runtime,
    client: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Marked sensitive: `Debug` does not show it.
    authorization: Option<HeaderValue>,
}

impl Client {
    /// `GET`; `path` begins with a slash and is already encoded.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None)
    }

    /// `POST` of a JSON body.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body))
    }

    /// `PUT` of a JSON body.
    pub(super) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, Some(body))
    }

    /// `DELETE`.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None)
    }

    /// Every item of a paged listing; `path` has a query already, `member` holds the items.
    pub(super) fn list(&self, path: &str, member: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let mut page = self.get(&format!("{path}&pageToken={}", encode(&token)))?;
            if let Some(Value::Array(found)) = page.get_mut(member).map(Value::take) {
                items.extend(found);
            }
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => token = next.to_owned(),
                _ => return Ok(items),
            }
        }
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let (status, answer) = self.runtime.block_on(self.exchange(request))?;
        let answer: Value = serde_json::from_slice(&answer)
            .with_context(|| format!("{} answered {status} without JSON", self.endpoint))?;
        if status.is_success() {
            return Ok(answer);
        }
        let error = &answer["error"];
        let word = error["status"].as_str().unwrap_or_default();
        Err(anyhow!("{word}: {}", error["message"].as_str().unwrap_or(status.as_str())))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let unreachable = || format!("no daemon answers at {}: is it running?", self.endpoint);
        let response = self.client.request(request).await.with_context(unreachable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the answer could not be read: {error}"))?;
        Ok((status, body.to_bytes()))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Encodes one segment of a path or one value of a query.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Reads a file, or standard input where the path is `-`.
pub(super) fn read_input(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes)?;
    } else {
        bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(bytes)
}
