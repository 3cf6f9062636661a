//! A small HTTP client for the verbs that talk to a daemon.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use hallmark_plugin_api::textual;
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
    /// Never ask: go on where Google's tool would ask whether to.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(flatten)]
    identity: Identity,
}

impl Target {
    /// The project, or a sentence that says how to name it.
    pub(super) fn project(&self) -> anyhow::Result<&str> {
        self.project.as_deref().context("which project? say --project P or set HALLMARK_PROJECT")
    }

    /// True if the command goes on without asking.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
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

/// The daemon answered, and the answer is no.
#[derive(Debug, thiserror::Error)]
#[error("{word}: {message}")]
pub(super) struct Refused {
    /// Google's status word, such as `NOT_FOUND`.
    word: String,
    message: String,
}

impl Refused {
    /// True if `error` is a refusal with this status word.
    pub(super) fn is(error: &anyhow::Error, word: &str) -> bool {
        error.downcast_ref::<Self>().is_some_and(|refused| refused.word == word)
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

    /// As [`Client::get`]; nothing where the daemon holds nothing of this name.
    pub(super) fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.get(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if Refused::is(&error, "NOT_FOUND") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `PATCH` of a JSON body.
    pub(super) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::PATCH, path, Some(body))
    }

    /// `DELETE`.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None)
    }

    /// Every item of a paged listing; `path` has a query already, `member` holds the items.
    pub(super) fn list(&self, path: &str, member: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        self.each(path, member, |item| {
            items.push(item);
            Ok(())
        })?;
        Ok(items)
    }

    /// As [`Client::list`], one item after the other, for listings that are long.
    pub(super) fn each(
        &self,
        path: &str,
        member: &str,
        mut take: impl FnMut(Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut token = String::new();
        loop {
            let mut page = self.get(&format!("{path}&pageToken={}", encode(&token)))?;
            if let Some(Value::Array(found)) = page.get_mut(member).map(Value::take) {
                found.into_iter().try_for_each(&mut take)?;
            }
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => token = next.to_owned(),
                _ => return Ok(()),
            }
        }
    }

    /// `POST` of lines of JSON; answers the lines that come back.
    pub(super) fn post_lines(&self, path: &str, lines: Vec<u8>) -> anyhow::Result<Bytes> {
        let (status, answer) = self.send(Method::POST, path, "application/x-ndjson", lines)?;
        if status.is_success() { Ok(answer) } else { Err(self.refused(status, &answer)) }
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let (status, answer) = self.send(method, path, "application/json", body)?;
        if !status.is_success() {
            return Err(self.refused(status, &answer));
        }
        serde_json::from_slice(&answer).with_context(|| self.not_json(status))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header("content-type", content_type)
            .body(Full::from(body))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.runtime.block_on(self.exchange(request))
    }

    fn not_json(&self, status: StatusCode) -> String {
        format!("{} answered {status} without JSON", self.endpoint)
    }

    /// The error that an answer other than 200 reports.
    fn refused(&self, status: StatusCode, answer: &[u8]) -> anyhow::Error {
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
            return anyhow!(self.not_json(status));
        };
        let error = &answer["error"];
        let text = |member: &str| error[member].as_str().map(str::to_owned);
        let word = text("status").unwrap_or_default();
        let message = text("message").unwrap_or_else(|| status.as_str().to_owned());
        Refused { word, message }.into()
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
        let shown = path.to_string_lossy();
        let unreadable = || format!("cannot read {}", textual::without_keys(&shown));
        bytes = std::fs::read(path).with_context(unreadable)?;
    }
    Ok(bytes)
}
