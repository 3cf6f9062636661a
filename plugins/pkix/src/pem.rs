//! PEM as people keep it: RFC 7468 blocks, with CRLF, indentation, blank lines, text around them and
//! a missing last newline forgiven.

use hallmark_plugin_api::textual::{self, TextBlock, TextError};
use pem_rfc7468::Decoder;
use zeroize::Zeroizing;

/// Blocks in one text. As many as keys in one attestor at Google.
pub(crate) const BLOCKS_MAX: usize = 1_000;

/// Why a text is not PEM. Holds line numbers and known labels, never the content of a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    /// BEGIN and END are not where they belong.
    #[error("not PEM: {0}")]
    Lines(TextError),
    /// A block with `Name: value` lines, as encrypted OpenSSL keys have them.
    #[error("the PEM block `{label}` of line {line} is encrypted or has headers: decrypt it first")]
    Headers {
        /// A known label.
        label: &'static str,
        /// Counted from 1.
        line: usize,
    },
    /// A body that is not base64.
    #[error("the PEM block `{label}` of line {line} is damaged: its body is not base64")]
    Malformed {
        /// A known label.
        label: &'static str,
        /// Counted from 1.
        line: usize,
    },
    /// Armor, which has another body.
    #[error("the block `{0}` is OpenPGP armor, not PEM: give it where an OpenPGP key belongs")]
    Armor(&'static str),
    /// More blocks than one text may have.
    #[error("more than {BLOCKS_MAX} PEM blocks")]
    TooMany,
}

impl From<TextError> for PemError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::TooMany => Self::TooMany,
            lines => Self::Lines(lines),
        }
    }
}

/// One block, decoded. Wiped when dropped: it may be a private key.
pub(crate) struct Block {
    /// The kind that it says it is, such as `PUBLIC KEY`.
    pub(crate) label: &'static str,
    /// The bytes in it.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// The blocks of a text, in its order. Empty if the text has none.
pub(crate) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, PemError> {
    textual::blocks(bytes, BLOCKS_MAX)?.blocks.iter().map(block).collect()
}

fn block(block: &TextBlock<'_>) -> Result<Block, PemError> {
    let TextBlock { label, line, ref lines } = *block;
    if label.starts_with("PGP ") {
        return Err(PemError::Armor(label));
    }
    if lines.iter().any(|line| line.contains(&b':')) {
        return Err(PemError::Headers { label, line });
    }
    let text = framed(lines);
    let mut der = Zeroizing::new(Vec::new());
    Decoder::new_detect_wrap(&text)
        .and_then(|mut decoder| decoder.decode_to_end(&mut der).map(|_| ()))
        .map_err(|_| PemError::Malformed { label, line })?;
    Ok(Block { label, der })
}

/// A block of one label for all, so that the decoder has only a body to judge. Allocated once: a
/// text that grows leaves copies of a secret behind.
fn framed(lines: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    const BEGIN: &[u8] = b"-----BEGIN X-----\n";
    const END: &[u8] = b"-----END X-----\n";
    let body: usize = lines.iter().map(|line| line.len() + 1).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(BEGIN.len() + body + END.len()));
    text.extend_from_slice(BEGIN);
    for line in lines.iter().filter(|line| !line.is_empty()) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(END);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n";

    fn labels(text: &str) -> Result<Vec<&'static str>, PemError> {
        blocks(text.as_bytes()).map(|found| found.into_iter().map(|block| block.label).collect())
    }

    #[test]
    fn line_ends_and_blanks_are_forgiven() {
        let written = [
            KEY.to_owned(),
            KEY.replace('\n', "\r\n"),
            KEY.trim_end().to_owned(),
            format!("\n\n  {}\t\n\n", KEY.replace('\n', "  \n   ")),
        ];
        for text in written {
            let found = blocks(text.as_bytes()).unwrap();
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!(found[0].der.as_slice(), [1, 2, 3], "{text:?}");
        }
        assert_eq!(labels(&KEY.repeat(3)).unwrap().len(), 3);
        assert_eq!(labels(" \r\n ").unwrap().len(), 0);
    }

    #[test]
    fn one_long_line_is_read_as_the_wrapped_form_is() {
        let long = format!("-----BEGIN X-----\n{}\n-----END X-----", "AAAA".repeat(100));
        assert_eq!(blocks(long.as_bytes()).unwrap()[0].der.len(), 300);
    }

    #[test]
    fn what_is_no_block_is_refused_and_text_around_blocks_is_not() {
        assert_eq!(labels(&format!("{KEY}hello\n{KEY}")).unwrap().len(), 2);
        assert_eq!(labels("hello").unwrap().len(), 0);
        let unended = TextError::Unended { label: "PUBLIC KEY", line: 1 };
        assert_eq!(labels("-----BEGIN PUBLIC KEY-----\nAQID\n"), Err(PemError::Lines(unended)));
        for broken in ["AQ!D", "AQI", "AQID====", "AQ\nIDAQID"] {
            let text = KEY.replace("AQID", broken);
            assert!(matches!(labels(&text), Err(PemError::Malformed { line: 1, .. })), "{broken}");
        }
        let other_end = KEY.replace("END PUBLIC", "END PRIVATE");
        assert!(matches!(labels(&other_end), Err(PemError::Lines(TextError::OtherEnd { .. }))));
        let headers = KEY.replace("AQID", "Proc-Type: 4,ENCRYPTED\nAQID");
        assert!(matches!(labels(&headers), Err(PemError::Headers { .. })));
        let armor = KEY.replace("PUBLIC KEY", "PGP PUBLIC KEY BLOCK");
        assert_eq!(labels(&armor), Err(PemError::Armor("PGP PUBLIC KEY BLOCK")));
    }

    #[test]
    fn the_number_of_blocks_is_limited() {
        assert_eq!(labels(&KEY.repeat(BLOCKS_MAX)).unwrap().len(), BLOCKS_MAX);
        assert_eq!(labels(&KEY.repeat(BLOCKS_MAX + 1)), Err(PemError::TooMany));
    }

    #[test]
    fn a_message_never_repeats_the_body() {
        let text = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0!\n-----END PRIVATE KEY-----";
        let message = labels(text).unwrap_err().to_string();
        assert!(message.contains("PRIVATE KEY"), "{message}");
        assert!(!message.contains("c2Vj"), "{message}");
    }
}
