//! Text from outside, as messages show it: no character that changes how a line is read, an end, and
//! never a key.

use std::fmt::{self, Write as _};

/// At most `CHARS` characters of a text. What a reader could not see, or what would move the cursor
/// or the reading direction, is escaped; a text in which a PEM or OpenPGP block begins is not shown
/// at all, for it may be a private key that was put into the wrong field.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a, const CHARS: usize>(pub &'a str);

impl<const CHARS: usize> fmt::Display for Excerpt<'_, CHARS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains("-----BEGIN") || self.0.contains("PRIVATE KEY") {
            return f.write_str("(a key, not shown)");
        }
        for (index, character) in self.0.chars().enumerate() {
            match character {
                _ if index == CHARS => return f.write_char('…'),
                hidden if is_hidden(hidden) => write!(f, "{}", hidden.escape_default())?,
                plain => f.write_char(plain)?,
            }
        }
        Ok(())
    }
}

/// True for controls, line and paragraph separators, marks of the reading direction, and what has no
/// width.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_escaped_and_never_a_key() {
        let shown = |text| Excerpt::<8>(text).to_string();
        assert_eq!(shown("registry"), "registry");
        assert_eq!(shown("registry/x"), "registry…");
        assert_eq!(shown("a\nb\u{1b}[m"), "a\\nb\\u{1b}[m");
        assert_eq!(shown("a\u{202e}b\u{2028}\u{200b}"), "a\\u{202e}b\\u{2028}\\u{200b}");
        assert_eq!(shown("müsli-ß"), "müsli-ß");
        for key in ["x -----BEGIN PUBLIC KEY-----", "PRIVATE KEY-----\nMHcC"] {
            assert_eq!(shown(key), "(a key, not shown)");
        }
    }
}
