//! Reading TOML that may hold secrets: an error names the place and shows nothing that stands there.

use hallmark_plugin_api::textual;
use serde::de::DeserializeOwned;

/// The text is not the TOML expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TomlError {
    line: usize,
    problem: String,
}

/// Reads a document. The parser's own error would print the line.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let problem = textual::without_values(error.message());
        TomlError {
            line: before.matches('\n').count() + 1,
            problem: match setting(before) {
                Some(setting) => format!("{setting}: {problem}"),
                None => problem,
            },
        }
    })
}

/// The setting whose value begins here, if its name shows no secret.
fn setting(before: &str) -> Option<&str> {
    let name = before.rsplit('\n').next()?.trim_end().strip_suffix('=')?.trim();
    name.split('.').all(textual::is_plain_name).then_some(name)
}
