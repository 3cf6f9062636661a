//! Printing of results.

use std::ffi::OsStr;
use std::io::Write;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use hallmark_core::excerpt::Excerpt;
use serde_json::Value;

/// Printing of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One document, as the files of resources are written.
    Yaml,
    /// One document.
    Json,
    /// Columns for people.
    Table,
}

impl ValueParserFactory for Format {
    type Parser = FormatParser;

    fn value_parser() -> FormatParser {
        FormatParser
    }
}

/// Reads a format, and says what to do instead where a script asks for a projection.
#[derive(Clone, Debug)]
pub(super) struct FormatParser;

impl TypedValueParser for FormatParser {
    type Value = Format;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Format, clap::Error> {
        if value.to_string_lossy().contains('(') {
            let sentence = format!(
                "--format {}: projections are not understood; print json and take the field out of \
                 it, such as `--format json | jq -r .name`\n",
                value.to_string_lossy()
            );
            return Err(command.clone().error(ErrorKind::InvalidValue, sentence));
        }
        let name = PossibleValuesParser::new(values()).parse_ref(command, arg, value)?;
        Ok(match name.as_str() {
            "json" => Format::Json,
            "table" => Format::Table,
            _ => Format::Yaml,
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(values().into_iter()))
    }
}

fn values() -> [PossibleValue; 3] {
    [
        PossibleValue::new("yaml").help("One document, as the files of resources are written"),
        PossibleValue::new("json").help("One document"),
        PossibleValue::new("table").help("Columns for people"),
    ]
}

/// Prints one resource.
pub(super) fn print(format: Format, value: &Value) -> anyhow::Result<()> {
    match format {
        Format::Json => line(&serde_json::to_string_pretty(value)?),
        Format::Yaml | Format::Table => text(&serde_saphyr::to_string(value)?),
    }
}

/// A column of a table: its title, and how to read its cell from an item.
pub(super) type Column = (&'static str, fn(&Value) -> String);

/// Prints a list.
pub(super) fn print_list(
    format: Format,
    items: &[Value],
    columns: &[Column],
) -> anyhow::Result<()> {
    match format {
        Format::Json => line(&serde_json::to_string_pretty(items)?),
        Format::Yaml => text(&serde_saphyr::to_string(&items)?),
        Format::Table => text(&table(items, columns)),
    }
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let mut rows = vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()];
    let cells = |item| columns.iter().map(|(_, cell)| escaped(&cell(item))).collect();
    rows.extend(items.iter().map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Prints a line. A reader that has gone away, such as `head`, is not an error.
pub(super) fn line(line: &str) -> anyhow::Result<()> {
    text(&format!("{line}\n"))
}

/// Prints text as it is.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    bytes(text.as_bytes())
}

/// Prints bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The last segment of the name of a resource.
pub(super) fn id(resource: &Value) -> String {
    string(resource, "name").rsplit('/').next().unwrap_or_default().to_owned()
}

/// A string member as people are shown it, or nothing.
pub(super) fn shown(value: &Value, member: &str) -> String {
    escaped(&string(value, member))
}

/// Text from outside on one line of a terminal: it begins no line and moves no cursor.
fn escaped(text: &str) -> String {
    Excerpt::<{ usize::MAX }>(text).to_string()
}

/// A string member, or nothing.
pub(super) fn string(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_of_a_table_is_one_line() {
        let items = [json!({"name": "a\nb\u{1b}[2J"}), json!({"name": "c"})];
        let table = table(&items, &[("NAME", |item| string(item, "name"))]);
        assert_eq!(table, "NAME\na\\nb\\u{1b}[2J\nc\n");
    }
}
