//! Refuses what a web page could make a browser send.
//!
//! A browser reaches loopback for every page that it shows. A page of another site can send simple
//! requests; their `Origin` and `Sec-Fetch-Site` tell. A page whose name was rebound to 127.0.0.1
//! counts as this very server to the browser; the name in `Host` or `:authority` tells. The third
//! guard is in `dispatch`: a body needs a content type that a page cannot send unasked.

use std::net::IpAddr;

use hallmark_core::excerpt::Excerpt;
use http::header::{GetAll, HOST, HeaderName, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request, Uri};

use super::error::HttpError;

/// Fetch Metadata: where the page stands that made the browser send this.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Characters of a name that a refusal repeats: as long as a DNS name gets, RFC 1035 §2.3.4.
const NAME_CHARS_MAX: usize = 255;

/// Decides if a request may have been made for a page of another site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrowserGuard {
    /// Names that the server answers to beside those of loopback, in lower case, without port.
    pub allowed_hosts: Vec<String>,
}

/// A host, in lower case and without brackets or the last dot, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    host: String,
    port: Option<u16>,
}

impl BrowserGuard {
    /// Refuses a request that says it comes from another origin. `anonymous` is true if nobody is
    /// asked who they are: then the request must also name this server by a name of its own.
    pub fn check<B>(&self, request: &Request<B>, anonymous: bool) -> Result<(), HttpError> {
        let names = names(request)?;
        if anonymous || !self.allowed_hosts.is_empty() {
            self.check_names(&names)?;
        }
        check_origin(request.headers(), &names)
    }

    fn check_names(&self, names: &[Name]) -> Result<(), HttpError> {
        if names.is_empty() {
            let hint = "the request names no host: send a Host header, such as `Host: localhost`";
            return Err(HttpError::InvalidArgument(hint.to_owned()));
        }
        match names.iter().find(|name| !self.is_ours(&name.host)) {
            None => Ok(()),
            Some(foreign) => Err(HttpError::PermissionDenied(format!(
                "`{}` is not a name of this server: ask for localhost or 127.0.0.1, or add the name \
                 to `allowed_hosts` in the daemon's configuration",
                Excerpt::<NAME_CHARS_MAX>(&foreign.host)
            ))),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        host == "localhost"
            || host.parse().is_ok_and(is_loopback)
            || self.allowed_hosts.iter().any(|allowed| allowed == host)
    }
}

/// Every name that the request gives the server: of an absolute target or `:authority`, and of
/// `Host`. A proxy or library in between may believe either, so each of them counts.
fn names<B>(request: &Request<B>) -> Result<Vec<Name>, HttpError> {
    let malformed = || {
        HttpError::InvalidArgument(
            "the request's Host is malformed: send one, as HOST or HOST:PORT".to_owned(),
        )
    };
    let target = request.uri().authority().map(|authority| name(authority.as_str()));
    let header = only(request.headers().get_all(HOST)).map_err(|()| malformed())?;
    let header = header.map(|value| name(value.to_str().unwrap_or_default()));
    target.into_iter().chain(header).map(|name| name.ok_or_else(malformed)).collect()
}

/// Reads `HOST` or `HOST:PORT`. User names, which no browser sends here, are refused.
fn name(text: &str) -> Option<Name> {
    let authority: Authority = text.parse().ok().filter(|_| !text.contains('@'))?;
    let host = authority.host();
    let port = match text.strip_prefix(host)? {
        "" => None,
        rest => Some(port(rest.strip_prefix(':')?)?),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some(Name { host, port })
}

/// Digits and nothing else, RFC 3986 §3.2.3: numbers are parsed from `+80`, too.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Programs send neither header; browsers send one of them, or both.
fn check_origin(headers: &HeaderMap, names: &[Name]) -> Result<(), HttpError> {
    let foreign = |header: &str| {
        HttpError::PermissionDenied(format!(
            "the request comes from a page of another site, as its {header} says: the API is for \
             programs and for pages of its own"
        ))
    };
    let site = only(headers.get_all(SEC_FETCH_SITE)).map_err(|()| foreign("Sec-Fetch-Site"))?;
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(foreign("Sec-Fetch-Site"));
    }
    let origin = only(headers.get_all(ORIGIN)).map_err(|()| foreign("Origin"))?;
    match origin.map(|origin| is_same(origin, names)) {
        Some(false) => Err(foreign("Origin")),
        Some(true) | None => Ok(()),
    }
}

/// True if `origin` is this server under every name that the request gives it.
fn is_same(origin: &HeaderValue, names: &[Name]) -> bool {
    let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let Some((origin, scheme)) =
        origin.as_ref().and_then(|uri| Some((name(uri.authority()?.as_str())?, uri.scheme_str()?)))
    else {
        return false;
    };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = |name: &Name| name.port.unwrap_or(default);
    let same = |name: &Name| name.host == origin.host && port(name) == port(&origin);
    !names.is_empty() && names.iter().all(same)
}

/// The value of a header that may be there once.
fn only(values: GetAll<'_, HeaderValue>) -> Result<Option<&HeaderValue>, ()> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> BrowserGuard {
        BrowserGuard { allowed_hosts: vec!["hallmark.internal".to_owned()] }
    }

    fn check(target: &str, headers: &[(&str, &str)], anonymous: bool) -> Result<(), u16> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let guard = if anonymous { guard() } else { BrowserGuard::default() };
        guard.check(&request, anonymous).map_err(|error| error.status().0.as_u16())
    }

    #[test]
    fn only_names_of_loopback_and_configured_ones_are_answered_to() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "localhost.:1",
            "127.0.0.1",
            "127.9.8.7:80",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "hallmark.internal",
            "Hallmark.Internal.:9",
        ] {
            assert_eq!(check("/", &[("host", host)], true), Ok(()), "{host}");
            assert_eq!(
                check(&format!("http://{host}/"), &[("host", host)], true),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:8080",
            "[::]",
            "10.0.0.1",
            "[fe80::1]",
            "2130706433",
            "0x7f.1",
            "127.1",
            "x.localhost",
            "internal",
            "hallmark.internal.evil.example",
        ] {
            assert_eq!(check("/", &[("host", host)], true), Err(403), "{host}");
            let local = [("host", "localhost")];
            assert_eq!(check(&format!("http://{host}/"), &local, true), Err(403), "{host}");
            assert_eq!(check("http://localhost/", &[("host", host)], true), Err(403), "{host}");
        }
    }

    #[test]
    fn a_missing_or_malformed_name_is_refused() {
        assert_eq!(check("/", &[], true), Err(400));
        assert_eq!(check("/", &[("host", "localhost"), ("host", "localhost")], true), Err(400));
        for host in [
            "",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost:+80",
            "localhost:99999",
            "localhost/x",
            "a b",
            "[::1",
            "::1",
            "evil@localhost",
            "localhost@evil.example",
            "localhost:1:2",
            "[::1]x",
            "loc\u{e4}l",
        ] {
            assert_eq!(check("/", &[("host", host)], true), Err(400), "{host:?}");
        }
    }

    #[test]
    fn another_origin_is_refused_whoever_asks() {
        for anonymous in [true, false] {
            for (host, origin) in [
                ("localhost:8080", "http://localhost:8080"),
                ("127.0.0.1", "http://127.0.0.1"),
                ("127.0.0.1", "http://127.0.0.1:80"),
                ("[::1]:8443", "https://[::1]:8443"),
                ("Localhost.", "https://localhost:443"),
            ] {
                let headers = [("host", host), ("origin", origin)];
                assert_eq!(check("/", &headers, anonymous), Ok(()), "{host} {origin}");
            }
            for origin in [
                "null",
                "",
                "http://localhost",
                "http://localhost:8081",
                "http://127.0.0.1:8080",
                "http://evil.example",
                "https://evil.example:8080",
                "file://",
                "localhost:8080",
                "ftp://localhost:8080",
                "http://localhost:8080@evil.example",
                "http://localhost:8080.evil.example",
            ] {
                let headers = [("host", "localhost:8080"), ("origin", origin)];
                assert_eq!(check("/", &headers, anonymous), Err(403), "{origin}");
            }
            let twice = [
                ("host", "localhost"),
                ("origin", "http://localhost"),
                ("origin", "http://localhost"),
            ];
            assert_eq!(check("/", &twice, anonymous), Err(403));
        }
    }

    #[test]
    fn a_browser_that_says_the_site_is_another_is_believed() {
        for (site, expected) in [
            ("same-origin", Ok(())),
            ("none", Ok(())),
            ("cross-site", Err(403)),
            ("same-site", Err(403)),
            ("", Err(403)),
            ("Same-Origin", Err(403)),
        ] {
            let headers = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(check("/", &headers, true), expected, "{site}");
            assert_eq!(check("/", &headers, false), expected, "{site}");
        }
    }

    #[test]
    fn callers_who_say_who_they_are_may_use_any_name() {
        assert_eq!(check("/", &[("host", "hallmark.hallmark-system.svc")], false), Ok(()));
        assert_eq!(check("/", &[], false), Ok(()));
    }
}
