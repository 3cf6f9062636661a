//! The JSON of one request, read strictly: an unknown or repeated member is refused.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use hallmark_core::attributes::AttributeError;
use hallmark_core::evaluate::Request;
use hallmark_core::limits::Limits;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::http::engine::error::HttpError;

/// Reads one request.
pub fn parse(json: &[u8]) -> Result<Request, HttpError> {
    let wire: WireRequest<'_> =
        hallmark_json::from_slice(json).map_err(|error| HttpError::json(&error))?;
    let project = wire.project.parse().map_err(|error| {
        HttpError::InvalidArgument(format!("`project` is not a project id: {error}"))
    })?;
    let request = Request {
        project,
        cluster: attribute("cluster", wire.cluster.as_deref())?,
        namespace: attribute("namespace", wire.namespace.as_deref())?,
        service_account: attribute("serviceAccount", wire.service_account.as_deref())?,
        istio_identity: attribute("istioIdentity", wire.istio_identity.as_deref())?,
        images: wire.images,
        break_glass: wire.break_glass,
    };
    if request.service_account.is_some() && request.namespace.is_none() {
        // No rule is for an account of any namespace, so the default one would decide.
        let why = "`serviceAccount` needs `namespace`: an account is one of its namespace";
        return Err(HttpError::InvalidArgument(why.to_owned()));
    }
    Ok(request)
}

/// The attribute of the caller in a member, if the member is there.
fn attribute<T: FromStr<Err = AttributeError>>(
    member: &str,
    text: Option<&str>,
) -> Result<Option<T>, HttpError> {
    let malformed = |error| HttpError::InvalidArgument(format!("`{member}`: {error}"));
    text.map(str::parse).transpose().map_err(malformed)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireRequest<'a> {
    #[serde(borrow)]
    project: Cow<'a, str>,
    #[serde(borrow, default)]
    cluster: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    service_account: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    istio_identity: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "images")]
    images: Vec<Box<str>>,
    #[serde(default)]
    break_glass: bool,
}

fn images<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<str>>, D::Error> {
    deserializer.deserialize_seq(Images)
}

/// Stops reading where the limit is passed.
struct Images;

impl<'de> Visitor<'de> for Images {
    type Value = Vec<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of 1 to {} images", Limits::DEFAULT.images_max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let max = Limits::DEFAULT.images_max;
        let mut images = Vec::new();
        while let Some(image) = list.next_element()? {
            if images.len() == max {
                return Err(de::Error::custom(format_args!(
                    "more than {max} `images`: split them over several requests"
                )));
            }
            images.push(image);
        }
        if images.is_empty() {
            return Err(de::Error::custom("`images` is empty: name at least one image"));
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &[u8]) -> String {
        parse(json).expect_err("refused").to_string()
    }

    #[test]
    fn every_member_arrives() {
        let request = parse(
            br#"{"project":"my-app-prod","cluster":"europe-west2.prod","namespace":"shop",
            "serviceAccount":"web","istioIdentity":"d/ns/shop/sa/web",
            "images":["a\u0062c","r/x@sha256:1"],"breakGlass":true}"#,
        )
        .expect("well-formed");
        assert_eq!(
            request,
            Request {
                project: "my-app-prod".parse().expect("an id"),
                cluster: Some("europe-west2.prod".parse().expect("a cluster")),
                namespace: Some("shop".parse().expect("a namespace")),
                service_account: Some("web".parse().expect("an account")),
                istio_identity: Some("d/ns/shop/sa/web".parse().expect("an identity")),
                images: vec!["abc".into(), "r/x@sha256:1".into()],
                break_glass: true,
            }
        );
    }

    #[test]
    fn only_project_and_images_are_required() {
        let request = parse(br#"{"project":"p","images":["i"]}"#).expect("well-formed");
        assert_eq!((request.cluster, request.break_glass), (None, false));
        assert!(refusal(br#"{"images":["i"]}"#).contains("missing field `project`"));
        assert!(refusal(br#"{"project":"p"}"#).contains("missing field `images`"));
    }

    #[test]
    fn whatever_is_not_exactly_a_request_is_refused_with_the_reason() {
        let deep = [b"[".repeat(1_000), b"]".repeat(1_000)].concat();
        let deep = [br#"{"project":"p","images":"#.as_slice(), &deep, b"}"].concat();
        let mut invalid_utf8 = br#"{"project":"p","images":["i"]}"#.to_vec();
        invalid_utf8[26] = 0xff;
        for (json, reason) in [
            (br#"{"project":"p","project":"p","images":["i"]}"#.as_slice(), "duplicate field"),
            (br#"{"project":"p","images":["i"],"images":["j"]}"#, "duplicate field `images`"),
            (br#"{"project":"p","images":["i"],"breakglass":true}"#, "unknown field `breakglass`"),
            (br#"{"project":"p","images":[]}"#, "name at least one image"),
            (br#"{"project":"p","images":"i"}"#, "a list of 1 to 1000 images"),
            (br#"{"project":"p","images":[1]}"#, "invalid type: integer"),
            (br#"{"project":"p","images":["i"],"breakGlass":"yes"}"#, "expected a boolean"),
            (br#"{"project":"p/q","images":["i"]}"#, "`project` is not a project id"),
            (br#"{"project":"p","images":["i"]} x"#, "trailing characters"),
            (br#"{"project":"p","images":["i"]"#, "EOF"),
            (b"", "EOF"),
            (b"[]", "invalid type: sequence"),
            (br#"["p",null,"shop",null,null,["i"],true]"#, "invalid type: sequence"),
            (&deep, "expected a string"),
            (&invalid_utf8, "invalid unicode code point"),
        ] {
            let message = refusal(json);
            assert!(message.contains(reason), "{message} lacks {reason}");
        }
    }

    #[test]
    fn a_service_account_without_its_namespace_is_refused() {
        let message = refusal(br#"{"project":"p","serviceAccount":"web","images":["i"]}"#);
        assert!(message.starts_with("`serviceAccount` needs `namespace`"), "{message}");
    }

    #[test]
    fn a_refusal_does_not_repeat_the_body_at_length() {
        let json = format!(r#"{{"{}":1}}"#, "x".repeat(1 << 20));
        assert!(refusal(json.as_bytes()).len() < 1_000);
    }

    #[test]
    fn ten_thousand_images_are_refused_and_a_thousand_are_not() {
        let request = |count| {
            let images = vec![r#""r/i""#; count].join(",");
            format!(r#"{{"project":"p","images":[{images}]}}"#).into_bytes()
        };
        assert_eq!(parse(&request(1_000)).expect("at the limit").images.len(), 1_000);
        assert!(refusal(&request(1_001)).contains("split them"));
        assert!(refusal(&request(10_000)).contains("split them"));
    }
}
