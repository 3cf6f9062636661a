//! Texts that may hold a private key, read by their grammar: the lines between BEGIN and END of PEM
//! (RFC 7468) and of OpenPGP armor, the form of whatever has no such lines, and the messages of
//! parsers without the values that they quote.
//!
//! Nothing here repeats a byte of the text. A label is shown by its entry in a list of labels, for
//! what stands where a label belongs may be the key itself once line breaks are lost.

/// Longest label, in bytes. The longest in use has 27.
const LABEL_BYTES_MAX: usize = 64;

/// Labels that a message may show.
const LABELS: [&str; 26] = [
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "EC PUBLIC KEY",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "EC PARAMETERS",
    "DH PARAMETERS",
    "DSA PARAMETERS",
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PKCS7",
    "CMS",
    "PGP PUBLIC KEY BLOCK",
    "PGP PRIVATE KEY BLOCK",
    "PGP MESSAGE",
    "PGP SIGNATURE",
    "PGP SIGNED MESSAGE",
    "SSH2 ENCRYPTED PRIVATE KEY",
];

/// Stands for every label that is not in the list.
const OTHER_LABEL: &str = "OTHER";

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The byte order mark that some editors begin UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines between one BEGIN line and its END line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextBlock<'a> {
    /// The label, `OTHER` for one that is not well known.
    pub label: &'static str,
    /// The number of the BEGIN line, from 1.
    pub line: usize,
    /// The lines between, without blanks at both ends.
    pub lines: Vec<&'a [u8]>,
}

/// Every block of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextBlocks<'a> {
    /// The blocks in their order.
    pub blocks: Vec<TextBlock<'a>>,
    /// True if something other than blanks stands outside of the blocks.
    pub around: bool,
}

/// The lines of a text are no blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// BEGIN or END is not a line of its own.
    LineBreaks {
        /// From 1.
        line: usize,
    },
    /// No END line.
    Unended {
        /// Of the BEGIN line.
        label: &'static str,
        /// From 1.
        line: usize,
    },
    /// An END line without its BEGIN line, or with another label.
    OtherEnd {
        /// From 1.
        line: usize,
    },
    /// More blocks than the caller takes.
    TooMany,
}

impl std::fmt::Display for TextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LineBreaks { line } => write!(
                f,
                "its line breaks are lost: BEGIN and END each take a line of their own (line \
                 {line}); write the file again as it was exported"
            ),
            Self::Unended { label, line } => {
                write!(f, "the block `{label}` of line {line} has no END line")
            }
            Self::OtherEnd { line } => {
                write!(f, "the END line {line} is not of the block that it ends")
            }
            Self::TooMany => f.write_str("too many blocks in one text"),
        }
    }
}

impl std::error::Error for TextError {}

/// True if the bytes are text in which a block begins, well formed or not.
pub fn has_blocks(bytes: &[u8]) -> bool {
    contains(bytes, BEGIN) || contains(bytes, END)
}

/// True if a block of the text says that it is a private key, well formed or not.
pub fn mentions_private_key(bytes: &[u8]) -> bool {
    contains(bytes, b"PRIVATE KEY-----") || contains(bytes, b"PRIVATE KEY BLOCK-----")
}

/// The text without a byte order mark.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The blocks of a text, at most `most`. Lines outside are passed over, as OpenSSL and GnuPG do.
///
/// # Errors
/// BEGIN or END stands where neither belongs.
pub fn blocks(text: &[u8], most: usize) -> Result<TextBlocks<'_>, TextError> {
    let lines = without_mark(text).split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let mut found = TextBlocks::default();
    let mut open: Option<(&[u8], TextBlock<'_>)> = None;
    for (text, line) in lines.zip(1..) {
        match (boundary(text, line)?, &mut open) {
            (Some(Boundary::Begin(_)), Some((_, block))) => {
                return Err(TextError::Unended { label: block.label, line: block.line });
            }
            (Some(Boundary::Begin(label)), None) => {
                if found.blocks.len() == most {
                    return Err(TextError::TooMany);
                }
                let block = TextBlock { label: shown(label), line, lines: Vec::new() };
                open = Some((label, block));
            }
            (Some(Boundary::End(ended)), Some((label, _))) if ended == *label => {
                found.blocks.extend(open.take().map(|(_, block)| block));
            }
            (Some(Boundary::End(_)), _) => return Err(TextError::OtherEnd { line }),
            (None, Some((_, block))) => block.lines.push(text),
            (None, None) => found.around |= !text.is_empty(),
        }
    }
    match open {
        Some((_, block)) => Err(TextError::Unended { label: block.label, line: block.line }),
        None => Ok(found),
    }
}

enum Boundary<'a> {
    Begin(&'a [u8]),
    End(&'a [u8]),
}

/// The boundary that a line is. A line that only contains one has lost its line breaks.
fn boundary(text: &[u8], line: usize) -> Result<Option<Boundary<'_>>, TextError> {
    let label = |start: &[u8]| {
        let label = text.strip_prefix(start)?.strip_suffix(DASHES)?;
        (label.len() <= LABEL_BYTES_MAX && !contains(label, DASHES)).then_some(label)
    };
    if let Some(label) = label(BEGIN) {
        return Ok(Some(Boundary::Begin(label)));
    }
    if let Some(label) = label(END) {
        return Ok(Some(Boundary::End(label)));
    }
    match contains(text, BEGIN) || contains(text, END) {
        true => Err(TextError::LineBreaks { line }),
        false => Ok(None),
    }
}

fn shown(label: &[u8]) -> &'static str {
    LABELS.into_iter().find(|known| known.as_bytes() == label).unwrap_or(OTHER_LABEL)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The form of bytes in which no key was found, as the end of a sentence that begins with "it is",
/// and what to do. `None` if the form is not known.
pub fn form(bytes: &[u8]) -> Option<&'static str> {
    let text = without_mark(bytes).trim_ascii();
    let starts = |with: &[&[u8]]| with.iter().any(|start| text.starts_with(start));
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Some("text in UTF-16: save it as UTF-8");
    }
    if starts(&[b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-", b"---- BEGIN SSH2"]) {
        return Some("an SSH public key: convert it with ssh-keygen -e -m PKCS8 -f FILE");
    }
    if starts(&[b"PuTTY-User-Key-File"]) {
        return Some("a private key of PuTTY: convert it with puttygen");
    }
    match text.first() {
        None => Some("empty"),
        Some(b'{' | b'[') => Some("JSON"),
        Some(0x30) if is_private_der(text) => {
            Some("a private key in DER: convert it to PEM with openssl pkey -inform DER")
        }
        Some(0x94..=0x97 | 0xc5) => Some("a secret OpenPGP key"),
        Some(0x98..=0x9b | 0xc6) => Some("an OpenPGP certificate"),
        Some(_) if is_base64(text) => {
            Some("base64 without the lines BEGIN and END: export it again as PEM")
        }
        Some(_) => None,
    }
}

/// True for a SEQUENCE that begins with the version of a private key: PKCS #8 and #1 say 0 or 1,
/// SEC 1 says 1. A public key and a certificate begin with another SEQUENCE.
pub fn is_private_der(der: &[u8]) -> bool {
    let content = match der {
        [0x30, length, rest @ ..] if *length < 0x80 => rest,
        [0x30, 0x81, _, rest @ ..] | [0x30, 0x82, _, _, rest @ ..] => rest,
        _ => return false,
    };
    matches!(content, [0x02, 0x01, 0 | 1, ..])
}

fn is_base64(text: &[u8]) -> bool {
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_\r\n \t".contains(byte);
    text.len() >= 40 && text.iter().all(of_base64)
}

/// A value of a configuration, as an error may show it: a key that was written where its path or name
/// belongs is not shown.
pub fn without_keys(value: &str) -> &str {
    if has_blocks(value.as_bytes()) { "(a key, not shown)" } else { value }
}

/// The message of a serde parser without the values that it quotes: a value may be a secret that
/// was written into the wrong place. Keeps what was expected.
pub fn without_values(message: &str) -> String {
    // Their names are those of the program's own types.
    if message.starts_with("missing field `") || message.starts_with("duplicate field `") {
        return message.to_owned();
    }
    if message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
        .is_some_and(|(name, _)| is_plain_name(name))
    {
        return message.to_owned();
    }
    let Some(quote) = message.find(['`', '"', '\'']) else { return message.to_owned() };
    let (kind, quoted) = message.split_at(quote);
    if kind.contains(", expected ") {
        return message.to_owned();
    }
    let expected = quoted.rfind(", expected ").map_or("", |at| &quoted[at..]);
    format!("{}{expected}", kind.trim_end())
}

/// Characters of the longest name of a setting.
const NAME_CHARS_MAX: usize = 24;

/// True for a name that settings have, such as `refresh_secs`. Keys, tokens and PINs have digits or
/// capitals.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAQID\nBAUG\n-----END EC PRIVATE KEY-----\n";

    fn labels(text: &str) -> Result<Vec<&'static str>, TextError> {
        blocks(text.as_bytes(), 3).map(|found| found.blocks.iter().map(|one| one.label).collect())
    }

    #[test]
    fn blocks_are_found_among_other_text_with_any_line_ends_but_lone_cr() {
        let private = ["EC PRIVATE KEY"];
        for text in [
            KEY.to_owned(),
            KEY.replace('\n', "\r\n"),
            format!("\u{feff}{KEY}"),
            format!("# release key\nBag Attributes\n    localKeyID: 01\n{KEY}sent by us"),
            KEY.replace('\n', " \n    "),
        ] {
            assert_eq!(labels(&text).as_deref(), Ok(&private[..]), "{text:?}");
            let lines = blocks(text.as_bytes(), 1).expect("blocks").blocks.remove(0).lines;
            assert_eq!(lines, [b"AQID", b"BAUG"], "{text:?}");
        }
        assert!(!blocks(format!("\n{KEY}\n \n").as_bytes(), 1).expect("blocks").around);
        assert!(blocks(format!("{KEY}x").as_bytes(), 1).expect("blocks").around);
    }

    #[test]
    fn lost_line_breaks_are_told_and_nothing_is_repeated() {
        for lost in [" ", "", "\r", "\\n", "\\r\\n", "\t"] {
            let text = KEY.replace('\n', lost);
            let error = labels(&text).expect_err("no lines");
            assert_eq!(error, TextError::LineBreaks { line: 1 }, "{lost:?}");
            assert!(!error.to_string().contains("AQID"), "{error}");
            assert!(mentions_private_key(text.as_bytes()));
        }
        let end = KEY.replace("\n-----END", "-----END");
        assert_eq!(labels(&end), Err(TextError::LineBreaks { line: 3 }));
    }

    #[test]
    fn what_is_not_framed_is_refused_by_line_and_known_label() {
        let label = "EC PRIVATE KEY";
        let unended = Err(TextError::Unended { label, line: 1 });
        assert_eq!(labels("-----BEGIN EC PRIVATE KEY-----\nAQID\n"), unended);
        assert_eq!(labels(&format!("-----BEGIN EC PRIVATE KEY-----\nAQID\n{KEY}")), unended);
        let other = KEY.replace("END EC", "END RSA");
        assert_eq!(labels(&other), Err(TextError::OtherEnd { line: 4 }));
        assert_eq!(labels(&KEY.repeat(4)), Err(TextError::TooMany));
        let secret = KEY.replace("EC PRIVATE KEY", "MHcCAQEEIBdn");
        assert_eq!(labels(&secret).as_deref(), Ok(&["OTHER"][..]));
    }

    #[test]
    fn forms_are_told_apart() {
        let form = |bytes: &[u8]| form(bytes).unwrap_or("unknown");
        assert!(form(b"\xff\xfe-\0").contains("UTF-16"));
        assert!(form(b"ssh-ed25519 AAAA").contains("SSH public key"));
        assert!(form(b"\x30\x2e\x02\x01\x00\x30").contains("private key in DER"));
        assert!(form(b"\x30\x82\x01\x00\x02\x01\x01").contains("private key in DER"));
        assert_eq!(form(b"\x30\x59\x30\x13"), "unknown");
        assert!(form("MHcC".repeat(10).as_bytes()).contains("without the lines BEGIN and END"));
        assert_eq!(form(b" \n"), "empty");
        assert!(form(b"\x95\x01").contains("secret OpenPGP"));
    }

    #[test]
    fn a_message_keeps_what_was_expected_and_no_value() {
        for (message, kept) in [
            ("missing field `path`", "missing field `path`"),
            (r#"invalid type: string "4711", expected u32"#, "invalid type: string, expected u32"),
            ("invalid value: integer `4711`, expected u8", "invalid value: integer, expected u8"),
            (
                "unknown field `hunter2`, expected one of `a`, `b` at line 1 column 9",
                "unknown field, expected one of `a`, `b` at line 1 column 9",
            ),
            (
                "unknown field `refresh_sec`, expected `refresh_secs`",
                "unknown field `refresh_sec`, expected `refresh_secs`",
            ),
            (
                r#"invalid type: string "a, expected b", expected u8"#,
                "invalid type: string, expected u8",
            ),
            ("expected value at line 1 column 2", "expected value at line 1 column 2"),
            ("invalid basic string, expected `\"`", "invalid basic string, expected `\"`"),
        ] {
            assert_eq!(without_values(message), kept);
        }
    }
}
