//! Bytes of a connection.

use serde_json::Value;

use super::Read;
use super::daemon::inside;

/// All bytes of a connection, of whatever protocol: request lines, headers, framing, compression.
pub(super) fn connection(input: &[u8]) -> Read {
    let answer = inside(|daemon| daemon.converse(input));
    if input.starts_with(b"PRI * HTTP/2.0") {
        return succeeded(http2_status(&answer).ok_or("no status")?);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("HTTP/1.1 500"), "{answer}");
    match answer.starts_with("HTTP/1.1 2") {
        true => Ok(()),
        false => Err(answer.lines().next().unwrap_or("no answer").to_owned()),
    }
}

/// The status of the first answer, as HPACK has those that are frequent: RFC 7541, appendix A.
fn http2_status(mut frames: &[u8]) -> Option<u8> {
    const HEADERS: u8 = 1;
    loop {
        let (head, rest) = frames.split_first_chunk::<9>()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, after) = rest.split_at_checked(length)?;
        if head[3] == HEADERS {
            return payload.first().copied();
        }
        frames = after;
    }
}

fn succeeded(status: u8) -> Read {
    const OK: u8 = 0x80 | 8;
    const INTERNAL_SERVER_ERROR: u8 = 0x80 | 14;
    assert_ne!(status, INTERNAL_SERVER_ERROR);
    if status == OK { Ok(()) } else { Err(format!("status {status:#x}")) }
}

/// A body of `application/x-ndjson`, after a byte that says where it is cut in two: every line that
/// is not blank has its answer, in order.
pub(super) fn ndjson_stream(input: &[u8]) -> Read {
    let Some((cut, body)) = input.split_first() else { return Err("nothing".to_owned()) };
    // HTTP/1.0, so that the answer comes as it is and ends with the connection.
    let head = format!(
        "POST /v1/decisions HTTP/1.0\r\nHost: localhost\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (first, second) = body.split_at(body.len() * usize::from(*cut) / 256);
    let first = [head.as_bytes(), first].concat();
    let answer = String::from_utf8(inside(|daemon| daemon.ask(&first, second)));
    let answer = answer.expect("answers are UTF-8");
    let (head, answers) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let lines = (1_u64..).zip(body.split(|byte| *byte == b'\n'));
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut answers = answers.lines();
    let mut refused = None;
    for (number, _) in lines {
        let answer = answers.next().unwrap_or_else(|| panic!("line {number} has no answer"));
        let answer: Value = serde_json::from_str(answer).expect("answers are JSON");
        match answer.get("line") {
            Some(line) => {
                assert_eq!(line, number);
                refused.get_or_insert_with(|| answer["error"]["message"].to_string());
            }
            None => assert!(answer["allowed"] == false || answer["breakGlass"] == true, "{answer}"),
        }
    }
    assert_eq!(answers.next(), None, "more answers than lines");
    refused.map_or(Ok(()), Err)
}
