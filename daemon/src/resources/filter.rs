//! The `filter=` of a listing of occurrences: the forms that clients of attestations send.
//!
//! ```text
//! filter    = [ all ]
//! all       = one { "AND" one }
//! one       = "(" all ")" | field "=" value | "has_suffix" "(" "resourceUrl" "," value ")"
//! value     = a word, or text in single or double quotes with \ before a quote or a \
//! ```
//!
//! Anything else is refused with what is supported: a filter that is half understood would list
//! occurrences that were not asked for.

use hallmark_core::names::NoteName;

use super::error::ResourceError;
use crate::store::{OccurrenceQuery, OccurrenceScope};

/// Two resource URLs of 1024 bytes and room to spare.
const FILTER_BYTES_MAX: usize = 4_096;
/// Parentheses inside one another. Clients send one level.
const DEPTH_MAX: usize = 16;
/// Parts between `AND`s. There are five fields.
const CONDITIONS_MAX: usize = 16;

const SUPPORTED: &str = "supported are resourceUrl=\"…\", has_suffix(resourceUrl, \"…\"), kind=\"…\", \
     noteProjectId=\"…\" together with noteId=\"…\", joined by AND";

/// Why a filter was refused. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Longer than any real client sends.
    #[error("longer than {FILTER_BYTES_MAX} bytes")]
    TooLong,
    /// Parentheses too deep.
    #[error("parentheses deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Too many conditions.
    #[error("more than {CONDITIONS_MAX} conditions")]
    TooMany,
    /// A quote that is never closed.
    #[error("the text that starts at character {0} has no closing quote")]
    Unclosed(usize),
    /// Something that cannot stand where it stands.
    #[error("unexpected {found} at character {at}; {SUPPORTED}")]
    Unexpected {
        /// The text that stands there.
        found: String,
        /// Where, in characters from 0.
        at: usize,
    },
    /// No such field.
    #[error("unknown field `{0}`; {SUPPORTED}")]
    Field(String),
    /// No such function.
    #[error("unknown function `{0}`; {SUPPORTED}")]
    Function(String),
    /// Two different values for one field can never both hold.
    #[error("two different values for `{0}`")]
    Contradiction(&'static str),
    /// One half of a note's name.
    #[error("noteProjectId and noteId belong together: give both or neither")]
    HalfNote,
    /// The two halves do not make a note's name, or not the one that is listed.
    #[error("`{0}` is not the name of a note in this listing")]
    Note(String),
}

impl From<FilterError> for ResourceError {
    fn from(error: FilterError) -> Self {
        Self::invalid("filter", error.to_string())
    }
}

/// Reads a filter for the occurrences of `scope`.
pub fn parse(filter: &str, scope: OccurrenceScope) -> Result<OccurrenceQuery, FilterError> {
    if filter.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLong);
    }
    let tokens = Tokens::of(filter)?;
    let mut parser = Parser { tokens, next: 0, found: Conditions::default(), count: 0 };
    if parser.peek().is_some() {
        parser.all(0)?;
        parser.end()?;
    }
    parser.found.query(scope)
}

#[derive(Debug, Default)]
struct Conditions {
    resource_uri: Option<String>,
    resource_uri_suffix: Option<String>,
    kind: Option<String>,
    note_project: Option<String>,
    note_id: Option<String>,
}

impl Conditions {
    fn field(&mut self, name: &str) -> Option<(&mut Option<String>, &'static str)> {
        Some(match name {
            "resourceUrl" | "resource_url" => (&mut self.resource_uri, "resourceUrl"),
            "kind" => (&mut self.kind, "kind"),
            "noteProjectId" | "note_project_id" => (&mut self.note_project, "noteProjectId"),
            "noteId" | "note_id" => (&mut self.note_id, "noteId"),
            _ => return None,
        })
    }

    fn query(self, scope: OccurrenceScope) -> Result<OccurrenceQuery, FilterError> {
        let note = match (self.note_project, self.note_id) {
            (None, None) => None,
            (Some(project), Some(id)) => {
                let text = format!("projects/{project}/notes/{id}");
                let name: NoteName = text.parse().map_err(|_| FilterError::Note(text.clone()))?;
                match &scope {
                    OccurrenceScope::Note(listed) if *listed != name => {
                        return Err(FilterError::Note(text));
                    }
                    _ => Some(name),
                }
            }
            _ => return Err(FilterError::HalfNote),
        };
        Ok(OccurrenceQuery {
            scope,
            resource_uri: self.resource_uri,
            resource_uri_suffix: self.resource_uri_suffix,
            kind: self.kind,
            note,
        })
    }
}

fn set(slot: &mut Option<String>, name: &'static str, value: String) -> Result<(), FilterError> {
    match slot {
        Some(given) if *given != value => Err(FilterError::Contradiction(name)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

struct Parser {
    tokens: Tokens,
    next: usize,
    found: Conditions,
    count: usize,
}

impl Parser {
    fn all(&mut self, depth: usize) -> Result<(), FilterError> {
        self.one(depth)?;
        while self.peek() == Some(&Token::Word("AND".to_owned())) {
            self.next += 1;
            self.one(depth)?;
        }
        Ok(())
    }

    fn one(&mut self, depth: usize) -> Result<(), FilterError> {
        if depth > DEPTH_MAX {
            return Err(FilterError::TooDeep);
        }
        match self.take() {
            Some(Token::Mark('(')) => {
                self.all(depth + 1)?;
                self.mark(')')
            }
            Some(Token::Word(name)) => self.condition(&name),
            _ => Err(self.unexpected()),
        }
    }

    fn condition(&mut self, name: &str) -> Result<(), FilterError> {
        self.count += 1;
        if self.count > CONDITIONS_MAX {
            return Err(FilterError::TooMany);
        }
        match self.take() {
            Some(Token::Mark('(')) if name == "has_suffix" => self.has_suffix(),
            Some(Token::Mark('(')) => Err(FilterError::Function(name.to_owned())),
            Some(Token::Mark('=')) => {
                let value = self.value()?;
                let (slot, canonical) =
                    self.found.field(name).ok_or_else(|| FilterError::Field(name.to_owned()))?;
                set(slot, canonical, value)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn has_suffix(&mut self) -> Result<(), FilterError> {
        match self.take() {
            Some(Token::Word(field)) if field == "resourceUrl" || field == "resource_url" => {}
            Some(Token::Word(field)) => return Err(FilterError::Field(field)),
            _ => return Err(self.unexpected()),
        }
        self.mark(',')?;
        let value = self.value()?;
        self.mark(')')?;
        set(&mut self.found.resource_uri_suffix, "has_suffix(resourceUrl)", value)
    }

    fn value(&mut self) -> Result<String, FilterError> {
        match self.take() {
            Some(Token::Word(text) | Token::Text(text)) => Ok(text),
            _ => Err(self.unexpected()),
        }
    }

    fn mark(&mut self, mark: char) -> Result<(), FilterError> {
        match self.take() {
            Some(Token::Mark(found)) if found == mark => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    fn end(&mut self) -> Result<(), FilterError> {
        match self.take() {
            None => Ok(()),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.0.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    /// The complaint about the token just taken.
    fn unexpected(&self) -> FilterError {
        match self.tokens.0.get(self.next - 1) {
            Some((at, token)) => {
                FilterError::Unexpected { found: format!("`{}`", token.text()), at: *at }
            }
            None => FilterError::Unexpected {
                found: "end".to_owned(),
                at: self.tokens.0.last().map_or(0, |(at, token)| at + token.text().chars().count()),
            },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Mark(char),
    Word(String),
    Text(String),
}

impl Token {
    fn text(&self) -> String {
        match self {
            Self::Mark(mark) => mark.to_string(),
            Self::Word(text) | Self::Text(text) => text.clone(),
        }
    }
}

/// Tokens, each with the character it starts at.
struct Tokens(Vec<(usize, Token)>);

impl Tokens {
    fn of(filter: &str) -> Result<Self, FilterError> {
        let mut tokens = Vec::new();
        let mut rest = filter.chars().enumerate().peekable();
        while let Some((at, c)) = rest.next() {
            match c {
                c if c.is_whitespace() => {}
                '(' | ')' | ',' | '=' | '!' | '<' | '>' | ':' => tokens.push((at, Token::Mark(c))),
                '"' | '\'' => tokens.push((at, Token::Text(quoted(&mut rest, c, at)?))),
                _ => {
                    let mut word = String::from(c);
                    while let Some((_, c)) = rest.next_if(|&(_, c)| is_word(c)) {
                        word.push(c);
                    }
                    tokens.push((at, Token::Word(word)));
                }
            }
        }
        Ok(Self(tokens))
    }
}

fn is_word(c: char) -> bool {
    !c.is_whitespace() && !"()=,!<>:\"'".contains(c)
}

fn quoted(
    rest: &mut impl Iterator<Item = (usize, char)>,
    quote: char,
    at: usize,
) -> Result<String, FilterError> {
    let mut text = String::new();
    while let Some((_, c)) = rest.next() {
        match c {
            c if c == quote => return Ok(text),
            '\\' => text.push(rest.next().ok_or(FilterError::Unclosed(at))?.1),
            c => text.push(c),
        }
    }
    Err(FilterError::Unclosed(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://gcr.io/p/nginx@sha256:02115bc7";

    fn project() -> OccurrenceScope {
        OccurrenceScope::Project("p".parse().unwrap())
    }

    fn any() -> OccurrenceQuery {
        OccurrenceQuery {
            scope: project(),
            resource_uri: None,
            resource_uri_suffix: None,
            kind: None,
            note: None,
        }
    }

    fn read(filter: &str) -> Result<OccurrenceQuery, FilterError> {
        parse(filter, project())
    }

    #[test]
    fn an_empty_filter_asks_for_everything() {
        assert_eq!(read(""), Ok(any()));
        assert_eq!(read(" \t\n"), Ok(any()));
    }

    #[test]
    fn what_real_clients_send_is_read() {
        let both = OccurrenceQuery {
            resource_uri: Some(URL.to_owned()),
            kind: Some("ATTESTATION".to_owned()),
            ..any()
        };
        for filter in [
            format!("resourceUrl=\"{URL}\" AND kind=\"ATTESTATION\""),
            format!("resourceUrl = '{URL}'\n  AND\tkind = 'ATTESTATION'"),
            format!("(kind=\"ATTESTATION\") AND (resource_url=\"{URL}\")"),
            format!("((kind=ATTESTATION AND resourceUrl=\"{URL}\"))"),
            format!("kind=\"ATTESTATION\" AND resourceUrl=\"{URL}\" AND kind=\"ATTESTATION\""),
        ] {
            assert_eq!(read(&filter), Ok(both.clone()), "{filter}");
        }
        let suffix = OccurrenceQuery { resource_uri_suffix: Some("sha256:02".to_owned()), ..any() };
        for filter in [
            r#"has_suffix(resourceUrl, "sha256:02")"#,
            "( has_suffix ( resourceUrl,'sha256:02' ) )",
        ] {
            assert_eq!(read(filter), Ok(suffix.clone()), "{filter}");
        }
    }

    #[test]
    fn a_note_is_named_by_both_halves() {
        let note = "projects/q/notes/n".parse().unwrap();
        let wanted = OccurrenceQuery { note: Some(note), ..any() };
        assert_eq!(read(r#"noteProjectId="q" AND noteId="n""#), Ok(wanted));
        assert_eq!(read(r#"noteId="n""#), Err(FilterError::HalfNote));
        assert_eq!(read(r#"noteProjectId="q""#), Err(FilterError::HalfNote));
        let odd = FilterError::Note("projects/q/notes/a/b".to_owned());
        assert_eq!(read(r#"noteProjectId="q" AND noteId="a/b""#), Err(odd));
        let listed = OccurrenceScope::Note("projects/q/notes/other".parse().unwrap());
        let error = FilterError::Note("projects/q/notes/n".to_owned());
        assert_eq!(parse(r#"noteProjectId="q" AND noteId="n""#, listed), Err(error));
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_by_a_backslash() {
        let uri = |filter| read(filter).unwrap().resource_uri.unwrap();
        assert_eq!(uri(r#"resourceUrl="a\"b\\c""#), r#"a"b\c"#);
        assert_eq!(uri(r#"resourceUrl="a'b AND (c)""#), "a'b AND (c)");
        assert_eq!(uri("resourceUrl=''"), "");
    }

    #[test]
    fn what_is_not_supported_is_refused_and_says_what_is() {
        for filter in [
            "kind=\"A\" OR kind=\"B\"",
            "NOT kind=\"A\"",
            "kind!=\"A\"",
            "kind>\"A\"",
            "kind:\"A\"",
            "kind",
            "kind=",
            "AND",
            "kind=\"A\" AND",
            "kind=\"A\" kind=\"A\"",
            "()",
            "(kind=\"A\"",
            "kind=\"A\")",
            "\"kind\"=\"A\"",
            "has_suffix(resourceUrl \"x\")",
            "has_suffix(resourceUrl, \"x\"",
            "has_suffix(kind, \"x\")",
            "has_prefix(resourceUrl, \"x\")",
            "createTime=\"2024\"",
            "has_suffix(\"x\", \"x\")",
        ] {
            let error = read(filter).expect_err(filter).to_string();
            assert!(error.contains("supported are resourceUrl="), "{filter}: {error}");
        }
        let at = FilterError::Unexpected { found: "`OR`".to_owned(), at: 9 };
        assert_eq!(read("kind=\"A\" OR kind=\"B\""), Err(at));
    }

    #[test]
    fn contradictions_and_open_quotes_are_refused() {
        assert_eq!(read("kind=A AND kind=B"), Err(FilterError::Contradiction("kind")));
        let twice = "has_suffix(resourceUrl, 'a') AND has_suffix(resourceUrl, 'b')";
        assert_eq!(read(twice), Err(FilterError::Contradiction("has_suffix(resourceUrl)")));
        assert_eq!(read("kind=\"A"), Err(FilterError::Unclosed(5)));
        assert_eq!(read("kind=\"A\\"), Err(FilterError::Unclosed(5)));
    }

    #[test]
    fn every_limit_holds() {
        let long = format!("resourceUrl=\"{}\"", "a".repeat(FILTER_BYTES_MAX));
        assert_eq!(read(&long), Err(FilterError::TooLong));
        let nest = |depth| format!("{}kind=A{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(read(&nest(DEPTH_MAX)).unwrap().kind.as_deref(), Some("A"));
        assert_eq!(read(&nest(DEPTH_MAX + 1)), Err(FilterError::TooDeep));
        assert_eq!(read(&nest(2_000)), Err(FilterError::TooDeep));
        let join = |count| vec!["kind=A"; count].join(" AND ");
        assert_eq!(read(&join(CONDITIONS_MAX)).unwrap().kind.as_deref(), Some("A"));
        assert_eq!(read(&join(CONDITIONS_MAX + 1)), Err(FilterError::TooMany));
    }
}
