//! Reading fields out of a document, with the tolerance of Google's tools.
//!
//! A [`Field`] is a value together with its dotted path. Whatever is wrong with it is put down in
//! one [`Errors`] and reading goes on, so that an author sees everything at once. Readers answer
//! `None` where there is nothing to use: not set, or an error already put down.
//!
//! Tolerated, as `gcloud` does: a field that is `null` is not set; a scalar or object where a list belongs is a
//! list of one; `[]` where no list belongs is not set; names in camelCase or snake_case; enums by
//! name or number; integers in strings; bytes in either base64 alphabet, padded or not. An unknown
//! field or enum name is an error, always, and so is `null` where the key itself says something: an
//! entry of a map, one of several members of which one is chosen.

use std::cell::RefCell;
use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use serde_json::Value as Json;

use super::{Node, Value};
use crate::excerpt::Excerpt;
use crate::names::NameError;

/// Errors kept for one document; the rest is only counted. More helps nobody.
const ERRORS_MAX: usize = 100;

/// Characters of the author's own text repeated in an error.
pub(crate) const EXCERPT_CHARS_MAX: usize = 64;

/// One thing wrong with one field. Whoever wrote the document is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// From 1.
    pub line: u32,
    /// Dotted, such as `clusterAdmissionRules["us-east1-a.prod"].requireAttestationsBy[1]`; empty
    /// for the document itself.
    pub path: String,
    /// The fault.
    pub problem: FieldProblem,
}

/// A fault of a field, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldProblem {
    /// There is no such field.
    Unknown {
        /// A field of the object whose name is alike.
        similar: Option<&'static str>,
    },
    /// Its value, or that it is there or not.
    Wrong(String),
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { similar } => write!(f, "unknown field{}", Hint(*similar)),
            Self::Wrong(message) => f.write_str(message),
        }
    }
}

/// `; did you mean "…"?`, if anything is alike.
#[derive(Clone, Copy, Debug)]
pub struct Hint(pub Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, "; did you mean {name:?}?"))
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.problem.fmt(f)
    }
}

/// Everything wrong with the fields of one document. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldErrors {
    /// In the order of the lines, at most 100.
    pub errors: Vec<FieldError>,
    /// The number of further ones.
    pub omitted: usize,
}

impl std::error::Error for FieldErrors {}

impl fmt::Display for FieldErrors {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// Where readers put errors down.
#[derive(Debug, Default)]
pub struct Errors {
    found: RefCell<Vec<FieldError>>,
    omitted: RefCell<usize>,
}

/// Reads a resource out of `root`: what `read` answers, or every error it put down.
pub fn resource<T>(
    root: &Node,
    read: impl FnOnce(&Field<'_>) -> Option<T>,
) -> Result<T, FieldErrors> {
    let errors = Errors::default();
    let field = Field { node: root, path: String::new(), errors: &errors };
    let value = read(&field);
    if value.is_none() && errors.found.borrow().is_empty() {
        field.fail("cannot be read");
    }
    let mut found = errors.found.into_inner();
    match value {
        Some(value) if found.is_empty() => Ok(value),
        _ => {
            found.sort_by_key(|error| error.line);
            Err(FieldErrors { errors: found, omitted: errors.omitted.into_inner() })
        }
    }
}

/// A value that is set, and its path.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    node: &'a Node,
    path: String,
    errors: &'a Errors,
}

impl<'a> Field<'a> {
    /// The value as it stands in the document.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Puts an error down.
    pub fn fail(&self, message: impl Into<String>) {
        self.fail_at(self.path.clone(), self.node.line, FieldProblem::Wrong(message.into()));
    }

    /// An object whose fields are `known`, in camelCase. Any other field is an error.
    pub fn object(&self, known: &'static [&'static str]) -> Option<Object<'a>> {
        let Value::Map(members) = &self.node.value else {
            self.fail(format!("expected an object, not {}", self.node.value));
            return None;
        };
        let mut fields: Vec<(&'static str, &'a Node)> = Vec::with_capacity(members.len());
        for (given, node) in members {
            let camel = camel_case(given);
            let path = self.child(given);
            match known.iter().find(|name| **name == camel) {
                None => {
                    let similar = closest(given, known.iter().copied());
                    self.fail_at(path, node.line, FieldProblem::Unknown { similar });
                }
                Some(name) if fields.iter().any(|(other, _)| other == name) => {
                    let twice = format!("`{name}` is set a second time");
                    self.fail_at(path, node.line, FieldProblem::Wrong(twice));
                }
                Some(name) => fields.push((name, node)),
            }
        }
        Some(Object { field: self.clone(), fields })
    }

    /// The entries of a map whose keys are the author's. One that is null is an error: its key says
    /// that something is meant, and what would decide in its place is not what was written.
    pub fn entries(&self) -> Vec<(&'a str, Self)> {
        let Value::Map(members) = &self.node.value else {
            self.fail(format!("expected an object, not {}", self.node.value));
            return Vec::new();
        };
        let entry = |(key, node): &'a (String, Node)| {
            let path =
                format!("{}[{:?}]", self.path, Excerpt::<EXCERPT_CHARS_MAX>(key).to_string());
            (key.as_str(), Self { node, path, errors: self.errors })
        };
        members.iter().map(entry).filter(|(_, entry)| entry.says_something()).collect()
    }

    /// The elements of a list; a single value is a list of one.
    pub fn elements(&self) -> Vec<Self> {
        let Value::List(elements) = &self.node.value else { return vec![self.clone()] };
        let element = |(index, node)| Self {
            node,
            path: format!("{}[{index}]", self.path),
            errors: self.errors,
        };
        elements.iter().enumerate().map(element).collect()
    }

    /// A string.
    pub fn string(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => {
                let kind = &self.node.value;
                self.fail(format!("expected a string, not {kind}: put it in quotes"));
                None
            }
            other => {
                self.fail(format!("expected a string, not {other}"));
                None
            }
        }
    }

    /// A string that `parse` understands.
    pub fn parsed<T, E: fmt::Display>(&self, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        parse(self.string()?).map_err(|error| self.fail(error.to_string())).ok()
    }

    /// A value of an enum, each with its name and its number in the proto.
    pub fn enumeration<T: Copy>(&self, values: &[(&'static str, u32, T)]) -> Option<T> {
        let text = match &self.node.value {
            Value::Number(text) | Value::String(text) => text,
            other => {
                self.fail(format!("expected the name of an enum value, not {other}"));
                return None;
            }
        };
        let number = text.parse().ok();
        let found = values.iter().find(|(name, n, _)| name == text || Some(*n) == number);
        if found.is_none() {
            let names: Vec<_> = values.iter().map(|(name, _, _)| *name).collect();
            let hint = Hint(closest(text, names.iter().copied()));
            let (given, known) = (constant(text), names.join(", "));
            self.fail(format!("unknown value{given}{hint}; one of {known}"));
        }
        found.map(|&(_, _, value)| value)
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            other => {
                self.fail(format!("expected true or false, not {other}"));
                None
            }
        }
    }

    /// A whole number between `min` and `max`, as a number or in a string.
    pub fn integer(&self, min: i64, max: i64) -> Option<i64> {
        let text = match &self.node.value {
            Value::Number(text) | Value::String(text) => text,
            other => {
                self.fail(format!("expected a whole number, not {other}"));
                return None;
            }
        };
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.fail(format!("expected a whole number from {min} to {max}"));
        }
        number
    }

    /// Bytes in base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let text = self.string()?;
        let engine = if text.contains(['-', '_']) { &BASE64_URL_SAFE } else { &BASE64 };
        let decoded = engine.decode(text).map_err(|error| {
            self.fail(format!("not base64: {error}"));
        });
        decoded.ok()
    }

    /// The value as JSON. Numbers that no 64-bit integer or float holds are an error.
    pub fn json(&self) -> Option<Json> {
        let json = to_json(self.node);
        if json.is_none() {
            self.fail("holds a number that does not fit 64 bits; write it as a string");
        }
        json
    }

    /// True if it is not null; where it is, that is put down.
    fn says_something(&self) -> bool {
        let says = self.node.value != Value::Null;
        if !says {
            self.fail("is null: write what is meant, or remove the key");
        }
        says
    }

    fn child(&self, name: &str) -> String {
        let separator = if self.path.is_empty() { "" } else { "." };
        format!("{}{separator}{}", self.path, Excerpt::<EXCERPT_CHARS_MAX>(name))
    }

    fn fail_at(&self, path: String, line: u32, problem: FieldProblem) {
        let mut found = self.errors.found.borrow_mut();
        if found.len() < ERRORS_MAX {
            found.push(FieldError { line, path, problem });
        } else {
            *self.errors.omitted.borrow_mut() += 1;
        }
    }
}

/// An object with known fields.
#[derive(Debug)]
pub struct Object<'a> {
    field: Field<'a>,
    fields: Vec<(&'static str, &'a Node)>,
}

impl<'a> Object<'a> {
    /// A field that is no list, where it is set.
    pub fn get(&self, name: &'static str) -> Option<Field<'a>> {
        let field = self.set(name)?;
        match &field.node.value {
            Value::List(elements) if elements.is_empty() => None,
            _ => Some(field),
        }
    }

    /// A field that must be set.
    pub fn required(&self, name: &'static str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing(name);
        }
        field
    }

    /// Puts down each of the fields that is there and null: of members of which one is chosen, its
    /// name alone says what the author meant.
    pub fn refuse_null(&self, names: &[&'static str]) {
        for (name, node) in self.fields.iter().filter(|(name, _)| names.contains(name)) {
            let path = self.field.child(name);
            Field { node, path, errors: self.field.errors }.says_something();
        }
    }

    /// The name of the resource: the one `given`, which the document may repeat and may not
    /// contradict, or else the one in the document. `parse` reads a whole name; the last segment
    /// alone, which Terraform sends, repeats it too.
    pub fn own_name<N: Clone + PartialEq + fmt::Display>(
        &self,
        given: Option<&N>,
        parse: impl Fn(&str) -> Result<N, NameError>,
    ) -> Option<N> {
        let Some(given) = given else { return self.required("name")?.parsed(parse) };
        let whole = given.to_string();
        self.repeats("name", &whole, |text| {
            parse(text).is_ok_and(|name| name == *given) || whole.rsplit('/').next() == Some(text)
        });
        Some(given.clone())
    }

    /// Puts down a field that names something else than the `expected`, which where it is sent or
    /// kept says already. Empty counts as not set.
    pub fn repeats(&self, name: &'static str, expected: &str, is: impl Fn(&str) -> bool) {
        let Some(field) = self.get(name) else { return };
        if field.string().is_some_and(|text| !text.is_empty() && !is(text)) {
            field.fail(format!("is not {expected}: correct it, or leave it out"));
        }
    }

    /// Puts down that a field must be set.
    pub fn missing(&self, name: &'static str) {
        let problem = FieldProblem::Wrong("required; set it".to_owned());
        self.field.fail_at(self.field.child(name), self.field.node.line, problem);
    }

    /// The elements of a list, none where it is not set.
    pub fn list(&self, name: &'static str) -> Vec<Field<'a>> {
        self.set(name).map_or_else(Vec::new, |field| field.elements())
    }

    /// A string, empty where it is not set.
    pub fn text(&self, name: &'static str) -> String {
        self.get(name).and_then(|field| field.string().map(str::to_owned)).unwrap_or_default()
    }

    /// Every field that is set, in the order written.
    pub fn all(&self) -> Vec<(&'static str, Field<'a>)> {
        self.fields.iter().filter_map(|(name, _)| Some((*name, self.set(name)?))).collect()
    }

    /// The object as a field.
    pub fn field(&self) -> &Field<'a> {
        &self.field
    }

    fn set(&self, name: &'static str) -> Option<Field<'a>> {
        let (_, node) = self.fields.iter().find(|(known, _)| *known == name)?;
        let path = self.field.child(name);
        let field = Field { node, path, errors: self.field.errors };
        (field.node.value != Value::Null).then_some(field)
    }
}

fn to_json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(text) => serde_json::from_str(text).ok()?,
        Value::String(text) => Json::String(text.clone()),
        Value::List(elements) => elements.iter().map(to_json).collect::<Option<_>>()?,
        Value::Map(members) => {
            let member = |(key, node): &(String, Node)| Some((key.clone(), to_json(node)?));
            Json::Object(members.iter().map(member).collect::<Option<_>>()?)
        }
    })
}

/// The name of a constant, for an error; nothing of a text that could not be meant for one. A key or
/// a token in the wrong field has letters of both cases, or many digits, and is longer.
fn constant(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    const DIGITS_MAX: usize = 8;
    let count = |is: fn(&char) -> bool| text.chars().filter(is).count();
    let (lower, upper) = (count(char::is_ascii_lowercase), count(char::is_ascii_uppercase));
    let (mixed, digits) = (lower.min(upper) > 2, count(char::is_ascii_digit));
    match text.chars().count() > CHARS_MAX || mixed || digits > DIGITS_MAX {
        true => String::new(),
        false => format!(" {:?}", Excerpt::<EXCERPT_CHARS_MAX>(text).to_string()),
    }
}

/// `require_attestations_by` to `requireAttestationsBy`; camelCase stays as it is.
pub fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut characters = word.chars();
        camel.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(characters.as_str());
    }
    camel
}

/// The known name that is close to what was given, if one is.
fn closest(given: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    /// Below this similarity (Jaro-Winkler) a hint misleads more than it helps.
    const SIMILAR: f64 = 0.85;
    let given = Excerpt::<EXCERPT_CHARS_MAX>(given).to_string().to_ascii_lowercase();
    let score = |name: &str| strsim::jaro_winkler(&given, &name.to_ascii_lowercase());
    let best = known.map(|name| (score(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score >= SIMILAR).map(|(_, name)| name)
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(false);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
