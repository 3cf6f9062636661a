//! PEM as people keep it: RFC 7468 blocks, with CRLF, indentation, blank lines and a missing last
//! newline forgiven, and any other text refused.

use pem_rfc7468::Decoder;
use zeroize::Zeroizing;

/// Blocks in one text. As many as keys in one attestor at Google.
pub(crate) const BLOCKS_MAX: usize = 1_000;

/// Longest label shown in a message; real ones end at 22.
const LABEL_CHARS_SHOWN: usize = 40;

/// Why a text is not PEM. Holds line numbers and labels, never the content of a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    /// Bytes that are not text.
    #[error("not text: expected PEM")]
    NotText,
    /// Text that is in no block.
    #[error("line {line} is outside of a PEM block: remove it")]
    Outside {
        /// Counted from 1.
        line: usize,
    },
    /// A block without its last line.
    #[error("the PEM block `{label}` of line {line} has no END line")]
    Unended {
        /// What the block says it is.
        label: String,
        /// Counted from 1.
        line: usize,
    },
    /// A block with `Name: value` lines, as encrypted OpenSSL keys have them.
    #[error("the PEM block `{label}` of line {line} is encrypted or has headers: decrypt it first")]
    Headers {
        /// What the block says it is.
        label: String,
        /// Counted from 1.
        line: usize,
    },
    /// A body that is not base64 or an END line of another label.
    #[error("the PEM block `{label}` of line {line} is malformed: {reason}")]
    Malformed {
        /// What the block says it is.
        label: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: pem_rfc7468::Error,
    },
    /// More blocks than one text may have.
    #[error("more than {BLOCKS_MAX} PEM blocks")]
    TooMany,
}

/// One block, decoded. Wiped when dropped: it may be a private key.
pub(crate) struct Block {
    /// What it says it is, such as `PUBLIC KEY`.
    pub(crate) label: String,
    /// What is in it.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Whether the bytes are meant as PEM.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
}

/// The blocks of a text, in its order. Empty where the text is blank.
pub(crate) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = std::str::from_utf8(bytes).map_err(|_| PemError::NotText)?;
    let mut lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty());
    let mut blocks = Vec::new();
    while let Some((begin, line)) = lines.next() {
        let label = begin.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let label = label.ok_or(PemError::Outside { line })?;
        if blocks.len() == BLOCKS_MAX {
            return Err(PemError::TooMany);
        }
        blocks.push(block(begin, label, line, &mut lines)?);
    }
    Ok(blocks)
}

/// The block that `begin` opens, up to its END line.
fn block<'a>(
    begin: &'a str,
    label: &str,
    line: usize,
    lines: &mut impl Iterator<Item = (&'a str, usize)>,
) -> Result<Block, PemError> {
    let shown = || shown(label);
    let mut block = vec![begin];
    while !block[block.len() - 1].starts_with("-----END ") {
        let next = lines.next().map(|(next, _)| next);
        match next.filter(|next| !next.starts_with("-----BEGIN ")) {
            Some(header) if header.contains(':') => {
                return Err(PemError::Headers { label: shown(), line });
            }
            Some(next) => block.push(next),
            None => return Err(PemError::Unended { label: shown(), line }),
        }
    }
    let text = joined(&block);
    let mut der = Zeroizing::new(Vec::new());
    Decoder::new_detect_wrap(text.as_bytes())
        .and_then(|mut decoder| decoder.decode_to_end(&mut der).map(|_| ()))
        .map_err(|reason| PemError::Malformed { label: shown(), line, reason })?;
    Ok(Block { label: label.to_owned(), der })
}

/// The lines as one text, allocated once: a text that grows leaves copies of a secret behind.
fn joined(lines: &[&str]) -> Zeroizing<String> {
    let length = lines.iter().map(|line| line.len() + 1).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A label as a message may show it.
pub(crate) fn shown(label: &str) -> String {
    label.chars().filter(|char| !char.is_control()).take(LABEL_CHARS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n";

    fn labels(text: &str) -> Result<Vec<String>, PemError> {
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
    fn what_is_not_a_block_is_refused_by_its_line() {
        assert_eq!(labels(&format!("{KEY}hello\n{KEY}")), Err(PemError::Outside { line: 4 }));
        assert_eq!(blocks(&[0x2d, 0xff]).err(), Some(PemError::NotText));
        let unended = PemError::Unended { label: "PUBLIC KEY".to_owned(), line: 1 };
        assert_eq!(labels("-----BEGIN PUBLIC KEY-----\nAQID\n"), Err(unended.clone()));
        assert_eq!(labels(&format!("-----BEGIN PUBLIC KEY-----\nAQID\n{KEY}")), Err(unended));
        for broken in ["AQ!D", "AQI", "AQID====", "AQ\nIDAQID"] {
            let text = KEY.replace("AQID", broken);
            assert!(matches!(labels(&text), Err(PemError::Malformed { line: 1, .. })), "{broken}");
        }
        let other_end = KEY.replace("END PUBLIC", "END PRIVATE");
        assert!(matches!(labels(&other_end), Err(PemError::Malformed { .. })));
        let headers = KEY.replace("AQID", "Proc-Type: 4,ENCRYPTED\nAQID");
        assert!(matches!(labels(&headers), Err(PemError::Headers { .. })));
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
