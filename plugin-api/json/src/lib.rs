//! JSON from outside, read strictly: an array is never taken for an object.
//!
//! serde derives a second reading for every struct, by position: `["p", null, true]` would set the
//! third member of a request that nobody wrote. Binary formats need that reading; in JSON it lets
//! through what the author of a body cannot have meant. [`from_slice`] and [`from_str`] read as
//! `serde_json` does, and refuse it at every depth.

mod list;
mod strict;

use serde::Deserialize;

pub use list::AtMost;

use strict::Strict;

/// Reads one value out of bytes; whatever stands behind it is an error.
pub fn from_slice<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    read(serde_json::Deserializer::from_slice(json))
}

/// Reads one value out of text; whatever stands behind it is an error.
pub fn from_str<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    read(serde_json::Deserializer::from_str(json))
}

fn read<'de, R: serde_json::de::Read<'de>, T: Deserialize<'de>>(
    mut json: serde_json::Deserializer<R>,
) -> serde_json::Result<T> {
    let value = T::deserialize(Strict(&mut json))?;
    json.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use serde::de::IgnoredAny;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(default)]
        break_glass: bool,
    }

    #[derive(Debug, Deserialize)]
    struct Outer<'a> {
        #[serde(borrow, default)]
        one: Option<Inner<'a>>,
        #[serde(borrow, default)]
        many: Vec<Inner<'a>>,
        #[serde(borrow, default)]
        named: BTreeMap<&'a str, Inner<'a>>,
        #[serde(borrow, default)]
        raw: Option<&'a RawValue>,
        #[serde(borrow, default)]
        boxed: Option<Box<Choice<'a>>>,
        #[serde(default)]
        pair: Option<(u8, f64)>,
        #[serde(default)]
        passed_over: Option<IgnoredAny>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Choice<'a> {
        Unit,
        Number(i64),
        Wrapped(#[serde(borrow)] Inner<'a>),
        Written { name: String },
    }

    #[test]
    fn what_is_an_object_is_read_as_serde_json_reads_it() {
        let json = r#"{"one": {"name": "a", "breakGlass": true}, "many": [{"name": "b\u0063"}],
            "named": {"k": {"name": "d"}}, "raw": {"x": [1,  2]}, "pair": [1, 2],
            "boxed": {"Wrapped": {"name": "e"}}, "passed_over": [[{}], "x"], "unknown": null}"#;
        let read: Outer<'_> = from_str(json).unwrap();
        assert_eq!(read.one, Some(Inner { name: "a".into(), break_glass: true }));
        assert_eq!((&*read.many[0].name, &*read.named["k"].name), ("bc", "d"));
        assert_eq!(read.raw.map(RawValue::get), Some(r#"{"x": [1,  2]}"#));
        assert_eq!(read.pair, Some((1, 2.0)));
        assert!(matches!(read.boxed.as_deref(), Some(Choice::Wrapped(inner)) if inner.name == "e"));
        assert!(read.passed_over.is_some());
        for (json, expected) in [
            (r#""Unit""#, Choice::Unit),
            (r#"{"Number": -3}"#, Choice::Number(-3)),
            (r#"{"Written": {"name": "n"}}"#, Choice::Written { name: "n".to_owned() }),
        ] {
            assert_eq!(from_slice::<Choice<'_>>(json.as_bytes()).unwrap(), expected);
        }
        assert!(from_str::<Outer<'_>>("{}").unwrap().raw.is_none());
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        for json in [
            r#"[{"name": "a"}]"#,
            r#"{"one": ["a", true]}"#,
            r#"{"one": ["a"]}"#,
            r#"{"many": [["a", true]]}"#,
            r#"{"named": {"k": ["a"]}}"#,
            r#"{"boxed": {"Wrapped": ["a"]}}"#,
            r#"{"boxed": {"Written": ["a"]}}"#,
        ] {
            let error = from_str::<Outer<'_>>(json).unwrap_err().to_string();
            assert!(error.contains("invalid type: sequence, expected"), "{json}: {error}");
            // The reading that is refused here is one that serde_json has.
            drop(serde_json::from_str::<Outer<'_>>(json).unwrap_or_else(|error| panic!("{error}")));
        }
    }

    #[test]
    fn what_else_is_wrong_is_told_with_its_place() {
        for (json, says) in [
            (r#"{"name": "a"} x"#, "trailing characters at line 1 column 15"),
            (r#"{"name": "a", "name": "b"}"#, "duplicate field `name` at line 1 column 20"),
            (r#"{"nam": "a"}"#, "unknown field `nam`"),
            (r#"{"name": 1}"#, "invalid type: integer `1`, expected a string at line 1 column 10"),
            (r#"{"name": "a""#, "EOF while parsing"),
        ] {
            let error = from_str::<Inner<'_>>(json).unwrap_err().to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
        let deep = "[".repeat(10_000);
        from_str::<IgnoredAny>(&deep).unwrap_err();
    }
}
