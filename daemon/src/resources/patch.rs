//! Changing some fields of a note or an occurrence: `PATCH` with an `updateMask`.

use hallmark_core::document::DocumentLimits;
use hallmark_core::document::read::camel_case;
use serde_json::{Map, Value};

use super::error::ResourceError;

/// Paths in one mask: a note has some twenty members.
const PATHS_MAX: usize = 100;
/// Members that one path leads through: what lies deeper is in no document. The result of a path is
/// walked by recursion.
const SEGMENTS_MAX: usize = DocumentLimits::OCCURRENCE.depth_max;

/// Some fields of a resource, as a client sends them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// The fields with their new values.
    pub fields: Map<String, Value>,
    /// `updateMask`: which of them to take, those that are missing among them to be cleared. Empty:
    /// all that are given.
    pub mask: String,
}

impl Patch {
    /// The resource `held` with the change made. Members in `fixed` stay what they are; asking for
    /// another value of one is refused.
    pub fn onto(
        &self,
        held: &Map<String, Value>,
        fixed: &[&str],
    ) -> Result<Map<String, Value>, ResourceError> {
        let mut changed = held.clone();
        if self.mask.trim().is_empty() {
            let fields = self.fields.iter().filter(|(_, value)| !value.is_null());
            changed.extend(fields.map(|(name, value)| (camel_case(name), value.clone())));
        } else {
            let paths: Vec<_> = self.mask.split(',').map(str::trim).collect();
            if paths.len() > PATHS_MAX {
                let problem = format!("{} paths; at most {PATHS_MAX}", paths.len());
                return Err(ResourceError::invalid("updateMask", problem));
            }
            for path in paths {
                self.take(path, held, &mut changed)?;
            }
        }
        for &name in fixed {
            keep(name, held, &mut changed)?;
        }
        Ok(changed)
    }

    fn take(
        &self,
        path: &str,
        held: &Map<String, Value>,
        changed: &mut Map<String, Value>,
    ) -> Result<(), ResourceError> {
        if path == "*" {
            *changed = self.fields.clone();
            for name in ["name", "kind", "noteName", "resourceUri"] {
                if let (None, Some(value)) = (changed.get(name), held.get(name)) {
                    changed.insert(name.to_owned(), value.clone());
                }
            }
            return Ok(());
        }
        let segments: Vec<_> = path.split('.').map(camel_case).collect();
        if segments.len() > SEGMENTS_MAX {
            let problem = format!("a path of {} segments; at most {SEGMENTS_MAX}", segments.len());
            return Err(ResourceError::invalid("updateMask", problem));
        }
        if segments.iter().any(String::is_empty) {
            return Err(ResourceError::invalid("updateMask", format!("`{path}` is no path")));
        }
        let value = segments.iter().try_fold(None, |at: Option<&Value>, segment| {
            let members = match at {
                None => &self.fields,
                Some(value) => value.as_object()?,
            };
            let found = members.iter().find(|(name, _)| camel_case(name) == *segment);
            found.map(|(_, value)| Some(value))
        });
        set(changed, &segments, value.flatten().filter(|value| !value.is_null()));
        Ok(())
    }
}

/// Sets, or clears, the member at the end of `segments`; what lies on the way comes to be.
fn set(members: &mut Map<String, Value>, segments: &[String], value: Option<&Value>) {
    let Some((first, rest)) = segments.split_first() else { return };
    if !rest.is_empty() {
        let inner = members.entry(first.clone()).or_insert_with(|| Map::new().into());
        if !inner.is_object() {
            *inner = Map::new().into();
        }
        if let Some(inner) = inner.as_object_mut() {
            set(inner, rest, value);
        }
    } else if let Some(value) = value {
        members.insert(first.clone(), value.clone());
    } else {
        members.remove(first);
    }
}

/// Puts `name` back to what it is. An enum may be asked for by number, so a number says nothing.
fn keep(
    name: &str,
    held: &Map<String, Value>,
    changed: &mut Map<String, Value>,
) -> Result<(), ResourceError> {
    let (before, after) = (held.get(name), changed.get(name));
    if after.is_some_and(|after| after.is_string() && Some(after) != before) {
        let problem = "cannot be changed: create another resource instead";
        return Err(ResourceError::invalid(name, problem));
    }
    match before {
        Some(before) => changed.insert(name.to_owned(), before.clone()),
        None => changed.remove(name),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn onto(fields: Value, mask: &str) -> Result<Value, ResourceError> {
        let held = json!({
            "name": "n", "kind": "ATTESTATION", "shortDescription": "old", "longDescription": "l",
            "attestation": {"hint": {"humanReadableName": "qa"}},
        });
        let Value::Object(fields) = fields else { panic!("an object") };
        let patch = Patch { fields, mask: mask.to_owned() };
        patch.onto(held.as_object().unwrap(), &["name", "kind"]).map(Value::Object)
    }

    #[test]
    fn a_mask_says_what_is_taken_and_what_is_cleared() {
        let sent = json!({"short_description": "new", "relatedUrl": [{"url": "u"}]});
        let masked = onto(sent.clone(), "short_description,longDescription").unwrap();
        assert_eq!(masked["shortDescription"], "new");
        assert_eq!((masked.get("longDescription"), masked.get("relatedUrl")), (None, None));
        let all = onto(sent, "").unwrap();
        assert_eq!(
            (&all["shortDescription"], &all["longDescription"]),
            (&json!("new"), &json!("l"))
        );
        assert_eq!(all["relatedUrl"], json!([{"url": "u"}]));
    }

    #[test]
    fn a_path_may_lead_inside_and_a_star_replaces_all() {
        let hint = json!({"attestation": {"hint": {"human_readable_name": "prod"}}});
        let inside = onto(hint, "attestation.hint.humanReadableName").unwrap();
        assert_eq!(inside["attestation"]["hint"]["humanReadableName"], "prod");
        let whole = onto(json!({"attestation": {}}), "*").unwrap();
        assert_eq!(whole, json!({"name": "n", "kind": "ATTESTATION", "attestation": {}}));
        let deep = onto(json!({}), "shortDescription.x").unwrap();
        assert_eq!(deep["shortDescription"], json!({}));
    }

    #[test]
    fn what_is_fixed_stays_and_what_is_no_path_is_refused() {
        assert_eq!(onto(json!({"kind": 7, "name": "n"}), "").unwrap()["kind"], "ATTESTATION");
        let renamed = onto(json!({"name": "m"}), "").unwrap_err();
        assert!(renamed.to_string().starts_with("name: cannot be changed"), "{renamed}");
        assert!(onto(json!({}), "a..b").unwrap_err().to_string().contains("`a..b` is no path"));
        let many = "x,".repeat(PATHS_MAX) + "x";
        assert!(onto(json!({}), &many).unwrap_err().to_string().contains("101 paths"));
        let deep = |segments: usize| vec!["a"; segments].join(".");
        onto(json!({}), &deep(SEGMENTS_MAX)).unwrap();
        let error = onto(json!({}), &deep(SEGMENTS_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("a path of 33 segments"), "{error}");
    }
}
