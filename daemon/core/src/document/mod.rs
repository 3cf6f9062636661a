//! One tree for every resource document, whether it came as JSON or as YAML.
//!
//! `text ── json | yaml ──► Document ── read ──► resource`. The tree knows where every value
//! stands, so that an error names the line; [`read`] is the proto-JSON tolerance of Google's
//! tools and collects every error of a document. What is ambiguous or dangerous never enters the
//! tree: duplicate keys, anchors, aliases, merge keys, tags, a second document.

mod json;
pub mod read;
mod relaxed;
#[cfg(test)]
mod tests;
mod yaml;

use std::fmt;

use read::{EXCERPT_CHARS_MAX, FieldErrors};

use crate::excerpt::Excerpt;

/// The limits on the cost of a document, each with its own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of text.
    pub bytes_max: usize,
    /// Levels of nesting; a scalar document has one.
    pub depth_max: usize,
    /// Values of any kind, keys not counted.
    pub nodes_max: usize,
}

impl DocumentLimits {
    /// For policies and attestors. 4 MiB is gRPC's default message limit, so no resource that
    /// Google's API accepts is longer, an attestor of 1000 OpenPGP keys included; the deepest of
    /// Google's resources nests about 12 levels; 1000 keys are about 8000 values.
    pub const DEFAULT: Self = Self { bytes_max: 4 << 20, depth_max: 32, nodes_max: 100_000 };

    /// For notes and occurrences, which are many: 1 MiB and as many values as fit a decision's
    /// signatures several times over.
    pub const OCCURRENCE: Self = Self { bytes_max: 1 << 20, depth_max: 32, nodes_max: 20_000 };
}

/// A parsed document. What was parsed is not empty: its root is not null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    root: Node,
}

/// One value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The value itself.
    pub value: Value,
}

/// A value of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`; in YAML also `~` and nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The text of a number, always in JSON's grammar. Other plain YAML scalars are strings.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// An object, in the order written, without duplicate keys.
    Map(Vec<(String, Node)>),
}

/// Why a document was refused. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More than [`DocumentLimits::bytes_max`].
    #[error("the document has {given} bytes; at most {max} are read")]
    TooLarge {
        /// Its size in bytes.
        given: usize,
        /// The limit.
        max: usize,
    },
    /// More than [`DocumentLimits::depth_max`].
    #[error("line {line}: nested deeper than {max} levels")]
    TooDeep {
        /// Where.
        line: u32,
        /// The limit.
        max: usize,
    },
    /// More than [`DocumentLimits::nodes_max`].
    #[error("line {line}: more than {max} values")]
    TooManyNodes {
        /// Where.
        line: u32,
        /// The limit.
        max: usize,
    },
    /// The bytes are not text.
    #[error("line {line}: not valid UTF-8; save the document as UTF-8")]
    NotUtf8 {
        /// Where.
        line: u32,
    },
    /// Nothing in it but blanks and comments.
    #[error("the document is empty; write the resource into it")]
    Empty,
    /// Not JSON, or not YAML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Where.
        line: u32,
        /// In characters, from 1.
        column: u32,
        /// A description of the fault.
        message: String,
    },
    /// One object has the same key twice.
    #[error("line {line}: the key `{key}` is here a second time; keep one of the two")]
    DuplicateKey {
        /// Where the second one is.
        line: u32,
        /// The key.
        key: String,
    },
    /// A feature of YAML that resource documents do not use.
    #[error("line {line}: {feature}; write the value out")]
    Unsupported {
        /// Where.
        line: u32,
        /// Which.
        feature: &'static str,
    },
    /// The file name says neither JSON nor YAML.
    #[error("`{name}` must be a .json, .yaml or .yml file")]
    FileExtension {
        /// The file name.
        name: String,
    },
    /// The document is well formed; fields in it are not.
    #[error(transparent)]
    Fields(#[from] FieldErrors),
}

impl Document {
    /// Parses JSON (RFC 8259), one value.
    pub fn from_json(text: &str, limits: &DocumentLimits) -> Result<Self, DocumentError> {
        Self::from_text(text, limits, json::parse)
    }

    /// Parses YAML 1.2, one document, core schema, without anchors, aliases, merge keys and tags.
    pub fn from_yaml(text: &str, limits: &DocumentLimits) -> Result<Self, DocumentError> {
        Self::from_text(text, limits, yaml::parse)
    }

    /// [`Document::from_json`] of bytes that may not be text.
    pub fn from_json_bytes(bytes: &[u8], limits: &DocumentLimits) -> Result<Self, DocumentError> {
        Self::from_json(utf8(bytes, limits)?, limits)
    }

    /// [`Document::from_json_bytes`], and text may stand in single quotes, as Google's API reads it.
    pub fn from_relaxed_json_bytes(
        bytes: &[u8],
        limits: &DocumentLimits,
    ) -> Result<Self, DocumentError> {
        let text = utf8(bytes, limits)?;
        match Self::from_json(text, limits) {
            Err(strict @ DocumentError::Syntax { .. }) => match relaxed::double_quoted(text) {
                Some(text) => Self::from_json(&text, limits),
                None => Err(strict),
            },
            read => read,
        }
    }

    /// Parses a file by the extension of its name, as Google's tools do.
    pub fn from_file(
        name: &str,
        bytes: &[u8],
        limits: &DocumentLimits,
    ) -> Result<Self, DocumentError> {
        match name.rsplit_once('.') {
            Some((_, "json")) => Self::from_json(utf8(bytes, limits)?, limits),
            Some((_, "yaml" | "yml")) => Self::from_yaml(utf8(bytes, limits)?, limits),
            _ => Err(DocumentError::FileExtension {
                name: Excerpt::<EXCERPT_CHARS_MAX>(name).to_string(),
            }),
        }
    }

    /// The outermost value.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The resources of a document that may hold one or a list of them.
    pub fn elements(&self) -> Vec<Self> {
        match &self.root.value {
            Value::List(nodes) => nodes.iter().map(|node| Self { root: node.clone() }).collect(),
            _ => vec![self.clone()],
        }
    }

    fn from_text(
        text: &str,
        limits: &DocumentLimits,
        parse: impl Fn(&str, Budget) -> Result<Node, DocumentError>,
    ) -> Result<Self, DocumentError> {
        bytes_within(text.len(), limits)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(DocumentError::Empty);
        }
        let root = parse(text, Budget { limits: *limits, depth: 0, nodes: 0 })?;
        if root.value == Value::Null {
            return Err(DocumentError::Empty);
        }
        Ok(Self { root })
    }
}

fn bytes_within(given: usize, limits: &DocumentLimits) -> Result<(), DocumentError> {
    if given > limits.bytes_max {
        return Err(DocumentError::TooLarge { given, max: limits.bytes_max });
    }
    Ok(())
}

fn utf8<'a>(bytes: &'a [u8], limits: &DocumentLimits) -> Result<&'a str, DocumentError> {
    bytes_within(bytes.len(), limits)?;
    str::from_utf8(bytes).map_err(|error| {
        let lines = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        DocumentError::NotUtf8 { line: narrow(lines + 1) }
    })
}

/// Lines and columns fit: text is limited long before 2^32.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The rest of the limits while a tree is built.
struct Budget {
    limits: DocumentLimits,
    depth: usize,
    nodes: usize,
}

impl Budget {
    /// Opens a value; [`Budget::leave`] closes it.
    fn enter(&mut self, line: u32) -> Result<(), DocumentError> {
        let DocumentLimits { depth_max, nodes_max, .. } = self.limits;
        self.depth += 1;
        self.nodes += 1;
        if self.depth > depth_max {
            return Err(DocumentError::TooDeep { line, max: depth_max });
        }
        if self.nodes > nodes_max {
            return Err(DocumentError::TooManyNodes { line, max: nodes_max });
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }
}

impl fmt::Display for Value {
    /// The kind of value, as an error says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        })
    }
}
