//! HTTP/2 spelt by hand, for clients that no library would let be as rude.

/// Types of frames, RFC 9113 §6.
pub const HEADERS: u8 = 1;
/// Sets what the other side may do.
pub const SETTINGS: u8 = 4;
/// Asks for a sign of life.
pub const PING: u8 = 6;
/// The flag of an answer to [`SETTINGS`] and [`PING`].
pub const ACK: u8 = 1;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The opening of an HTTP/2 client: a window of so many bytes for each answer, then `count`
/// requests for `/metrics`.
pub fn opening(authority: &str, token: Option<&str>, window: u32, count: u32) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, RFC 9113 §6.5.2.
    bytes.extend(frame(SETTINGS, 0, 0, &[&[0, 4], &window.to_be_bytes()[..]].concat()));
    for stream in (1..2 * count).step_by(2) {
        let headers = get("/metrics", authority, token);
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &headers));
    }
    bytes
}

/// A frame, RFC 9113 §4.1.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a request, each spelt out, RFC 7541 §6.
fn get(path: &str, authority: &str, token: Option<&str>) -> Vec<u8> {
    // :method GET, :scheme http of the static table; then :path and :authority by their names.
    let mut block = vec![0x82, 0x86];
    let text = |block: &mut Vec<u8>, text: &str| {
        // Lengths of 127 and more take a second byte; none here takes a third.
        match u8::try_from(text.len()).expect("short") {
            short @ ..127 => block.push(short),
            long => block.extend([127, long - 127]),
        }
        block.extend(text.as_bytes());
    };
    block.push(0x04);
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, authority);
    if let Some(token) = token {
        block.push(0x00);
        text(&mut block, "authorization");
        text(&mut block, &format!("Bearer {token}"));
    }
    block
}
