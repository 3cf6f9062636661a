//! JSON as Google's API reads it: text may stand in single quotes, and its documentation writes
//! bodies so.

/// The text with single-quoted strings in double quotes, each character on the line it was on;
/// `None` where there are none. What else is wrong with it stays wrong.
pub(super) fn double_quoted(text: &str) -> Option<String> {
    let mut strict = String::with_capacity(text.len());
    let mut quote = None;
    let mut changed = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => {
                changed |= character == '\'';
                quote = Some(character);
                strict.push('"');
            }
            (Some(open), _) if character == open => {
                quote = None;
                strict.push('"');
            }
            (Some('\''), '"') => strict.push_str("\\\""),
            (Some(_), '\\') => match characters.next() {
                Some('\'') => strict.push('\''),
                next => {
                    strict.push('\\');
                    strict.extend(next);
                }
            },
            _ => strict.push(character),
        }
    }
    changed.then_some(strict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_quotes_become_double_quotes_and_nothing_else_changes() {
        for (given, strict) in [
            (r"{'a': ['b', 1]}", Some(r#"{"a": ["b", 1]}"#)),
            (r#"{'a': "it's"}"#, Some(r#"{"a": "it's"}"#)),
            (r#"{'a': 'say "it\'s\n"'}"#, Some(r#"{"a": "say \"it's\n\""}"#)),
            ("{\n'a':\n'open", Some("{\n\"a\":\n\"open")),
            (r"'\", Some("\"\\")),
            (r#"{"a": "it's \" fine"}"#, None),
            ("", None),
        ] {
            assert_eq!(double_quoted(given).as_deref(), strict, "{given}");
        }
    }
}
