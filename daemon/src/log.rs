//! The operational log: text for people, JSON for machines, on standard error.
//!
//! What is logged comes from outside too: names of images and files, key ids, headers, what plugins
//! say. So one layer writes every line: an event is one line, without a character that a terminal
//! obeys or a reader cannot see. Colours are for terminals only.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use hallmark_core::excerpt::is_hidden;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Starts logging. `filter` is in the syntax of `RUST_LOG`, such as `info` or `hallmark=debug`.
pub fn start(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| LogError { filter: filter.to_owned(), error: error.to_string() })?;
    let colours = format == Format::Text
        && io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = Lines { format, colours };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(lines);
    match format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
    Ok(())
}

/// The filter is not one. The operator is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{filter}` is not a log filter: {error}")]
pub struct LogError {
    filter: String,
    error: String,
}

/// Writes each event to standard error as one escaped line.
#[derive(Clone, Copy, Debug)]
struct Lines {
    format: Format,
    colours: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for Lines {
    /// Takes a whole event, which is how the subscriber writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = self.escaped(&String::from_utf8_lossy(event));
        io::stderr().lock().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Lines {
    fn escaped(self, event: &str) -> String {
        let (body, end) = event.strip_suffix('\n').map_or((event, ""), |body| (body, "\n"));
        let mut line = String::with_capacity(event.len());
        let mut rest = body;
        while let Some(character) = rest.chars().next() {
            let mut taken = character.len_utf8();
            match character {
                '\u{1b}' if self.colours && colour(rest).is_some() => {
                    taken = colour(rest).unwrap_or(taken);
                    line.push_str(&rest[..taken]);
                }
                hidden if is_hidden(hidden) => self.escape(hidden, &mut line),
                plain => line.push(plain),
            }
            rest = &rest[taken..];
        }
        line + end
    }

    /// In JSON a hidden character stands in a string only.
    fn escape(self, hidden: char, line: &mut String) {
        match self.format {
            Format::Text => line.extend(hidden.escape_default()),
            Format::Json => {
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    write!(line, "\\u{unit:04x}").expect("a String takes every write");
                }
            }
        }
    }
}

/// The length of the colour that a text begins with: `ESC [`, digits and semicolons, `m`. The
/// subscriber has escaped those that came from outside.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[length..].starts_with('m').then_some(length + 3)
}

/// The message of a command that failed, as a terminal or a journal may show it. Its further lines
/// are indented, so that none can pass for a message of its own.
pub fn shown(message: &str) -> Cow<'_, str> {
    if !message.contains(is_hidden) {
        return Cow::Borrowed(message);
    }
    let lines = Lines { format: Format::Text, colours: false };
    let shown: Vec<_> = message.lines().map(|line| lines.escaped(line)).collect();
    Cow::Owned(shown.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Lines = Lines { format: Format::Text, colours: false };

    #[test]
    fn an_event_is_one_line_that_shows_all_it_holds() {
        let escaped = |event: &str| TEXT.escaped(event);
        assert_eq!(escaped("INFO a file.yaml\n"), "INFO a file.yaml\n");
        assert_eq!(escaped("a\nERROR forged\r\n"), "a\\nERROR forged\\r\n");
        assert_eq!(escaped("\u{1b}[2J\u{9b}1m\t\u{7f}"), r"\u{1b}[2J\u{9b}1m\t\u{7f}");
        assert_eq!(
            escaped("x\u{202e}gpj.exe\u{200b}\u{2028}"),
            r"x\u{202e}gpj.exe\u{200b}\u{2028}"
        );
        assert_eq!(escaped("müsli 東京"), "müsli 東京");
    }

    #[test]
    fn colours_pass_to_a_terminal_and_no_other_sequence_does() {
        let terminal = Lines { colours: true, ..TEXT };
        assert_eq!(terminal.escaped("\u{1b}[2m1\u{1b}[0m\n"), "\u{1b}[2m1\u{1b}[0m\n");
        assert_eq!(terminal.escaped("\u{1b}[2J\u{1b}]0;t\u{7}"), r"\u{1b}[2J\u{1b}]0;t\u{7}");
    }

    #[test]
    fn a_line_of_json_stays_json_and_says_the_same() {
        let json = Lines { format: Format::Json, ..TEXT };
        let event = serde_json::json!({"message": "a\nb\u{7f}\u{202e}\u{e0041}\u{1b}[m"});
        let line = json.escaped(&format!("{event}\n"));
        assert!(!line.trim_end().contains(is_hidden), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("JSON"), event);
    }

    #[test]
    fn a_message_of_several_lines_keeps_them_indented() {
        assert_eq!(shown("line 3: a\nline 4: b"), "line 3: a\n  line 4: b");
        assert_eq!(shown("a\u{1b}[2Jb"), r"a\u{1b}[2Jb");
    }
}
