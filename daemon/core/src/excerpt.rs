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
        if holds_key(self.0) {
            return f.write_str(NOT_SHOWN);
        }
        for (index, character) in self.0.chars().enumerate() {
            match index == CHARS {
                true => return f.write_char('…'),
                false => show(character, f)?,
            }
        }
        Ok(())
    }
}

/// As [`Excerpt`], of a text whose end says as much as its beginning: at most `HEAD` characters of
/// the one and `TAIL` of the other.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a, const HEAD: usize, const TAIL: usize>(pub &'a str);

impl<const HEAD: usize, const TAIL: usize> fmt::Display for Ends<'_, HEAD, TAIL> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if holds_key(self.0) {
            return f.write_str(NOT_SHOWN);
        }
        let count = self.0.chars().count();
        for (index, character) in self.0.chars().enumerate() {
            if index == HEAD && count > HEAD + TAIL {
                f.write_char('…')?;
            } else if index <= HEAD || index + TAIL >= count {
                show(character, f)?;
            }
        }
        Ok(())
    }
}

const NOT_SHOWN: &str = "(a key, not shown)";

fn holds_key(text: &str) -> bool {
    text.contains("-----BEGIN") || text.contains("PRIVATE KEY")
}

fn show(character: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match is_hidden(character) {
        true => write!(f, "{}", character.escape_default()),
        false => f.write_char(character),
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
    fn a_long_text_is_shown_by_its_ends() {
        let shown = |text| Ends::<4, 2>(text).to_string();
        assert_eq!(shown("abcdef"), "abcdef");
        assert_eq!(shown("abcdefg"), "abcd…fg");
        assert_eq!(shown("abcd-----efg"), "abcd…fg");
        assert_eq!(shown("a\n-----\u{202e}g"), "a\\n--…\\u{202e}g");
        assert_eq!(shown(""), "");
        assert_eq!(shown("x -----BEGIN PUBLIC KEY-----"), "(a key, not shown)");
    }

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
