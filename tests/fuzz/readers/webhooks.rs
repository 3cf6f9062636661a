//! Requests of Kubernetes API servers and Gatekeeper, to a cluster in which nothing may run.

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::daemon::inside;
use super::{Read, refused};

/// A pod that is created and allowed starts no image, or breaks the glass.
pub(super) fn admission_review(input: &[u8]) -> Read {
    let review = post("/k8s/projects/p/clusters/us-east1-a.c/admission", input)?;
    let response = &review["response"];
    assert!(response["uid"].is_string(), "{review}");
    if response["allowed"] == true && response["auditAnnotations"]["break-glass"].is_null() {
        let images = images_of_new_pod(input);
        assert!(images.is_empty(), "{images:?} may run");
    }
    Ok(())
}

pub(super) fn image_review(input: &[u8]) -> Read {
    let review = post("/k8s/projects/p/clusters/us-east1-a.c/imagereview", input)?;
    let status = &review["status"];
    let breaks_glass = !status["auditAnnotations"]["break-glass"].is_null();
    assert!(status["allowed"] == false || breaks_glass, "{review}");
    Ok(())
}

/// Every key has a verdict, which is that it may not run. What a `Value` cannot hold, such as text
/// that is not UTF-8 in a member that nobody reads, is not counted.
pub(super) fn provider_request(input: &[u8]) -> Read {
    let answer = post("/gatekeeper/projects/p/clusters/us-east1-a.c/validate", input)?;
    let items = answer["response"]["items"].as_array().expect("a list");
    if let Ok(asked) = serde_json::from_slice::<Value>(input) {
        let asked = asked["request"]["keys"].as_array().map_or(0, Vec::len);
        assert_eq!(items.len(), asked, "{answer}");
    }
    for item in items {
        assert!(item.get("value").is_none() && item["error"].is_string(), "{item}");
    }
    Ok(())
}

fn post(path: &str, body: &[u8]) -> Result<Value, String> {
    let request = Request::post(path).body(Bytes::copy_from_slice(body)).expect("a request");
    let answer = inside(|daemon| daemon.answer(request)).map_err(refused)?;
    Ok(serde_json::from_slice(&answer).expect("answers are JSON"))
}

/// The images of a pod that is to be created, read without care.
fn images_of_new_pod(review: &[u8]) -> Vec<String> {
    let review: Value = serde_json::from_slice(review).unwrap_or_default();
    let request = &review["request"];
    let kind = &request["kind"];
    let is_pod = kind["kind"] == "Pod" && matches!(kind["group"].as_str(), None | Some(""));
    if !is_pod || request["operation"] != "CREATE" {
        return Vec::new();
    }
    let spec = &request["object"]["spec"];
    let list = |name: &str| spec[name].as_array().cloned().unwrap_or_default();
    let containers = ["containers", "initContainers", "ephemeralContainers"].map(list).concat();
    let images = containers.iter().map(|one| &one["image"]);
    let volumes = list("volumes");
    let mounted = volumes.iter().map(|one| &one["image"]["reference"]);
    let named = images.chain(mounted).filter_map(Value::as_str);
    named.filter(|image| !image.trim().is_empty()).map(str::to_owned).collect()
}
