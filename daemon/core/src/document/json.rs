//! JSON text to tree: `serde_json` splits one level at a time into borrowed slices, and where a
//! slice lies in the text says on which line it stands.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::read::EXCERPT_CHARS_MAX;
use super::{Budget, DocumentError, Node, Value, narrow};
use crate::excerpt::Excerpt;

pub(super) fn parse(text: &str, budget: Budget) -> Result<Node, DocumentError> {
    let mut parser = Parser { place: Place::start(text), budget };
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    parser.node(raw.get())
}

fn syntax(error: &serde_json::Error) -> DocumentError {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    DocumentError::Syntax {
        line: narrow(error.line()),
        column: narrow(error.column()),
        message: format!("not valid JSON: {message}"),
    }
}

struct Parser<'a> {
    place: Place<'a>,
    budget: Budget,
}

impl<'a> Parser<'a> {
    /// `text` is one value, a slice of the document.
    fn node(&mut self, text: &'a str) -> Result<Node, DocumentError> {
        let (line, column) = self.place.advance_to(text);
        self.budget.enter(line)?;
        let value = match text.as_bytes().first() {
            Some(b'{') => self.map(text)?,
            Some(b'[') => self.list(text)?,
            Some(b'"') => Value::String(self.decode(text)?),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') => Value::Null,
            _ => Value::Number(text.to_owned()),
        };
        self.budget.leave();
        Ok(Node { line, column, value })
    }

    fn list(&mut self, text: &'a str) -> Result<Value, DocumentError> {
        let elements: Vec<&RawValue> = self.decode(text)?;
        let nodes: Result<_, _> = elements.into_iter().map(|raw| self.node(raw.get())).collect();
        Ok(Value::List(nodes?))
    }

    fn map(&mut self, text: &'a str) -> Result<Value, DocumentError> {
        let Members(members) = self.decode(text)?;
        let mut seen = HashSet::with_capacity(members.len());
        let mut nodes = Vec::with_capacity(members.len());
        for (key, value) in members {
            let (line, _) = self.place.advance_to(key.get());
            let key: String = self.decode(key.get())?;
            if !seen.insert(key.clone()) {
                return Err(DocumentError::DuplicateKey {
                    line,
                    key: Excerpt::<EXCERPT_CHARS_MAX>(&key).to_string(),
                });
            }
            nodes.push((key, self.node(value.get())?));
        }
        Ok(Value::Map(nodes))
    }

    /// The whole document is well formed; what can still fail is a string with half a surrogate
    /// pair.
    fn decode<T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, DocumentError> {
        serde_json::from_str(text).map_err(|error| match syntax(&error) {
            DocumentError::Syntax { message, .. } => {
                let Place { line, column, .. } = self.place;
                DocumentError::Syntax { line, column, message }
            }
            other => other,
        })
    }
}

/// A place in the text that only moves forward, so that finding all places costs one pass.
struct Place<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'a> Place<'a> {
    fn start(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1, column: 1 }
    }

    /// Moves to where `slice`, a part of the text, begins.
    fn advance_to(&mut self, slice: &str) -> (u32, u32) {
        let target = slice.as_ptr().addr() - self.text.as_ptr().addr();
        for character in self.text[self.offset..target].chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset = target;
        (self.line, self.column)
    }
}

/// The members of an object, in order, duplicates included.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'de>(PhantomData<&'de ()>);
        impl<'de> Visitor<'de> for Collect<'de> {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect(PhantomData))
    }
}
