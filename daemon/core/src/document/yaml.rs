//! YAML text to tree, from the events of the parser under `serde-saphyr`: its data model would
//! lose the text of numbers, and would expand anchors before they can be refused.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Marker, Parser as Events, ScalarStyle, ScanError, StrInput, Tag, options,
};

use super::read::EXCERPT_CHARS_MAX;
use super::{Budget, DocumentError, Node, Value, narrow};
use crate::excerpt::Excerpt;

pub(super) fn parse(text: &str, budget: Budget) -> Result<Node, DocumentError> {
    let nesting = budget.limits.depth_max + 1;
    let options = options! {
        disallow_directives: true,
        emit_comments: false,
        // An undefined alias is refused as an alias, with its line.
        emit_unresolved_aliases: true,
        flow_nesting_limit: nesting,
        block_nesting_limit: nesting,
    };
    let events = Events::new_from_str_with_options(text, options);
    let mut parser = Parser { events, budget };
    let root = loop {
        match parser.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd, _) => return Err(DocumentError::Empty),
            (event, mark) => break parser.node(event, &mark)?,
        }
    };
    loop {
        match parser.next()? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::DocumentEnd, _) => {}
            (_, mark) => return Err(unsupported(&mark, "a second YAML document")),
        }
    }
}

struct Parser<'a> {
    events: Events<'a, StrInput<'a>>,
    budget: Budget,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Marker), DocumentError> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(error)) => Err(self.refusal(&error)),
            None => Ok((Event::StreamEnd, Marker::new(0, 1, 0))),
        }
    }

    /// The event parser sees nesting a few tokens before the tree does.
    fn refusal(&self, error: &ScanError) -> DocumentError {
        let mark = error.marker();
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            return DocumentError::TooDeep { line: line(mark), max: self.budget.limits.depth_max };
        }
        DocumentError::Syntax {
            line: line(mark),
            column: narrow(mark.col() + 1),
            message: format!("not valid YAML: {}", error.info()),
        }
    }

    fn node(&mut self, event: Event<'a>, mark: &Marker) -> Result<Node, DocumentError> {
        self.budget.enter(line(mark))?;
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_properties(anchor, tag.as_ref(), mark)?;
                scalar(text, style)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_properties(anchor, tag.as_ref(), mark)?;
                self.list()?
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_properties(anchor, tag.as_ref(), mark)?;
                self.map()?
            }
            _ => return Err(unsupported(mark, "YAML aliases are not read")),
        };
        self.budget.leave();
        Ok(Node { line: line(mark), column: narrow(mark.col() + 1), value })
    }

    fn list(&mut self) -> Result<Value, DocumentError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(nodes)),
                (event, mark) => nodes.push(self.node(event, &mark)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, DocumentError> {
        let mut seen = HashSet::new();
        let mut nodes = Vec::new();
        loop {
            let (key, mark) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(nodes)),
                (event, mark) => (key(event, &mark)?, mark),
            };
            if !seen.insert(key.clone()) {
                let key = Excerpt::<EXCERPT_CHARS_MAX>(&key).to_string();
                return Err(DocumentError::DuplicateKey { line: line(&mark), key });
            }
            let (event, mark) = self.next()?;
            nodes.push((key, self.node(event, &mark)?));
        }
    }
}

/// A key is its text, whatever type a value of that text would have: `on`, `123`, `null`.
fn key(event: Event<'_>, mark: &Marker) -> Result<String, DocumentError> {
    match event {
        Event::Scalar(text, style, anchor, tag) => {
            refuse_properties(anchor, tag.as_ref(), mark)?;
            if text == "<<" && style == ScalarStyle::Plain {
                return Err(unsupported(mark, "YAML merge keys are not read"));
            }
            Ok(text.into_owned())
        }
        Event::Alias(_) | Event::UnresolvedAlias(_) => {
            Err(unsupported(mark, "YAML aliases are not read"))
        }
        _ => Err(unsupported(mark, "a list or an object cannot be a key")),
    }
}

fn refuse_properties(
    anchor: usize,
    tag: Option<&Cow<'_, Tag>>,
    mark: &Marker,
) -> Result<(), DocumentError> {
    if anchor != 0 {
        return Err(unsupported(mark, "YAML anchors are not read"));
    }
    if tag.is_some() {
        return Err(unsupported(mark, "YAML tags are not read"));
    }
    Ok(())
}

fn unsupported(mark: &Marker, feature: &'static str) -> DocumentError {
    DocumentError::Unsupported { line: line(mark), feature }
}

fn line(mark: &Marker) -> u32 {
    narrow(mark.line())
}

/// YAML 1.2 core schema, numbers as far as JSON has them.
fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.into_owned());
    }
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_json_number(&text) => Value::Number(text.into_owned()),
        _ => Value::String(text.into_owned()),
    }
}

fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
