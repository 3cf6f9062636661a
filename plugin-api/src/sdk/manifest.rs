//! The passive manifest: one line of JSON in an ELF section, made at compile time, so that a file
//! can be asked what it is without running any of it.

use super::Info;
use crate::abi;

/// Pieces of the document; values are checked to need no escaping.
const fn pieces(info: &Info) -> [&'static str; 9] {
    [
        "{\"hallmark_plugin\":\"",
        info.name,
        "\",\"version\":\"",
        info.version,
        "\",\"vendor\":\"",
        info.vendor,
        "\",\"abi\":\"",
        ABI,
        "\"}\n",
    ]
}

/// The version as text, held to the numbers.
const ABI: &str = "1.0";
const _: () = assert!(abi::HALLMARK_ABI_MAJOR == 1 && abi::HALLMARK_ABI_MINOR == 0);

/// Length of the document.
pub const fn len(info: &Info) -> usize {
    let pieces = pieces(info);
    let (mut total, mut piece) = (0, 0);
    while piece < pieces.len() {
        total += pieces[piece].len();
        piece += 1;
    }
    total
}

/// The document.
pub const fn bytes<const N: usize>(info: &Info) -> [u8; N] {
    let pieces = pieces(info);
    let mut out = [0; N];
    let (mut at, mut piece) = (0, 0);
    while piece < pieces.len() {
        let text = pieces[piece].as_bytes();
        let mut byte = 0;
        while byte < text.len() {
            let is_value = piece % 2 == 1;
            assert!(
                !is_value || (text[byte] >= b' ' && text[byte] != b'"' && text[byte] != b'\\'),
                "name, version and vendor of a plugin hold no quotes, backslashes or control characters"
            );
            out[at] = text[byte];
            at += 1;
            byte += 1;
        }
        piece += 1;
    }
    out
}
