//! Requests to the API: which route they take, whose name they call, what they ask of a listing.

use std::net::IpAddr;

use bytes::Bytes;
use hallmark::http::engine::browser_guard::BrowserGuard;
use hallmark::resources::{PageRequest, Patch};
use hallmark_core::occurrence::parse::note_from_json;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use serde_json::Value;

use super::daemon::inside;
use super::{Read, refused, text};

/// `METHOD TARGET`, a line break, and the body: routes, names, queries, filters, masks, and bodies
/// of every endpoint.
pub(super) fn api_request(input: &[u8]) -> Read {
    let (line, body) = first_line(input);
    let (method, target) = text(line)?.split_once(' ').ok_or("no target")?;
    let method = Method::from_bytes(method.as_bytes()).map_err(refused)?;
    let target: Uri = target.parse().map_err(refused)?;
    let mut request = Request::new(Bytes::copy_from_slice(body));
    (*request.method_mut(), *request.uri_mut()) = (method, target);
    inside(|daemon| daemon.answer(request)).map(drop).map_err(refused)
}

/// The token of a listing of notes, one on a page.
pub(super) fn page_token(input: &[u8]) -> Read {
    let page = PageRequest { size: Some(1), token: text(input)?.to_owned() };
    let project = "p".parse().expect("an id");
    let page =
        inside(|daemon| daemon.run(daemon.api.resources.notes(project, &page))).map_err(refused)?;
    assert!(page.items.len() <= 1, "{page:?}");
    assert!(page.next_page_token.is_empty() || page.items.len() == 1, "{page:?}");
    Ok(())
}

/// A mask, a line break, and the fields to take.
pub(super) fn update_mask(input: &[u8]) -> Read {
    const FIXED: [&str; 2] = ["name", "kind"];
    let (mask, json) = first_line(input);
    let Ok(Value::Object(fields)) = serde_json::from_slice(json) else {
        return Err("not an object".to_owned());
    };
    let held = include_str!("../../corpus/note/good-attestation.json");
    let held = note_from_json(held, None).expect("a note");
    let patch = Patch { fields, mask: text(mask)?.to_owned() };
    let patched = patch.onto(&held.json, &FIXED).map_err(refused)?;
    for member in FIXED {
        assert_eq!(patched.get(member), held.json.get(member), "{member} is fixed");
    }
    let patched = Value::Object(patched).to_string();
    let read = note_from_json(&patched, Some(&held.name)).map_err(refused)?;
    assert_eq!(read.name, held.name);
    Ok(())
}

/// A target, and after each line break a header: who asked for what may have been a web page.
pub(super) fn browser_headers(input: &[u8]) -> Read {
    let mut request = Request::new(());
    let (target, mut rest) = first_line(input);
    *request.uri_mut() = text(target)?.parse().map_err(refused)?;
    while !rest.is_empty() {
        let (line, after) = first_line(rest);
        let colon = line.iter().position(|byte| *byte == b':').ok_or("no colon")?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(refused)?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(refused)?;
        request.headers_mut().append(name, value);
        rest = after;
    }
    let guard = BrowserGuard { allowed_hosts: vec!["hallmark.internal".to_owned()] };
    guard.check(&request, true).map_err(refused)?;
    let host = request.headers().get("host").map(|host| host.to_str().expect("read as text"));
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    assert!(host.or(authority).is_some(), "a request without a name is answered");
    for name in host.into_iter().chain(authority) {
        assert!(is_ours(name), "{name} is answered to");
    }
    if let Some(origin) = request.headers().get("origin") {
        let origin = origin.to_str().expect("read as text");
        let name = origin.split_once("://").expect("has a scheme").1;
        let name = name.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(is_ours(name), "a page of {origin} is answered");
    }
    Ok(())
}

/// A name or address of loopback or the one configured, with any port.
fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let host = match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => &name,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host.parse::<IpAddr>();
    ["localhost", "hallmark.internal"].contains(&host)
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The bytes before the first line break, and those after it.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}
