//! One ndjson stream of questions, read while it is written.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::connection::Connection;
use crate::corpus::question;
use crate::daemon::{allows, is_cached};

/// The result of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streamed {
    /// From the first byte sent to the last answer.
    pub(crate) elapsed: Duration,
    /// The number of answers that said that they were cached.
    pub(crate) cached: usize,
}

/// Asks for every image, in order; fails unless every one is allowed.
pub(crate) fn ask(connection: Connection, images: &[String]) -> anyhow::Result<Streamed> {
    let body: String = images.iter().map(|image| question(image) + "\n").collect();
    let head = format!(
        "POST /v1/decisions HTTP/1.1\r\nhost: 127.0.0.1\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let socket = connection.into_socket();
    let mut sending = socket.try_clone()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let sent = scope.spawn(move || {
            sending.write_all(head.as_bytes()).and_then(|()| sending.write_all(body.as_bytes()))
        });
        let (answers, cached) = receive(socket)?;
        let elapsed = started.elapsed();
        sent.join().ok().context("the sender panicked")??;
        anyhow::ensure!(answers == images.len(), "{answers} answers to {} lines", images.len());
        Ok(Streamed { elapsed, cached })
    })
}

/// Counts the answers, and those that were cached.
fn receive(socket: TcpStream) -> anyhow::Result<(usize, usize)> {
    let mut reader = BufReader::with_capacity(1 << 20, socket);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    anyhow::ensure!(line.starts_with("HTTP/1.1 200"), "the stream was answered {line}");
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let (mut text, mut answers, mut cached) = (Vec::new(), 0, 0);
    while read_chunk(&mut reader, &mut text)? {
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for answer in text[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let said = || String::from_utf8_lossy(answer).into_owned();
            anyhow::ensure!(allows(answer), "not allowed: {}", said());
            answers += 1;
            cached += usize::from(is_cached(answer));
        }
        text.drain(..whole);
    }
    Ok((answers, cached))
}

/// Reads one chunk behind what is there; false if it was the last, which is empty.
fn read_chunk(reader: &mut impl BufRead, text: &mut Vec<u8>) -> anyhow::Result<bool> {
    let mut size = String::new();
    reader.read_line(&mut size)?;
    let size = usize::from_str_radix(size.trim(), 16).context("the stream broke off")?;
    let before = text.len();
    text.resize(before + size + 2, 0);
    reader.read_exact(&mut text[before..])?;
    text.truncate(before + size);
    Ok(size > 0)
}
