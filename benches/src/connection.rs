//! One keep-alive HTTP/1.1 connection, as cheap for its side as it can be: requests are prepared
//! bytes, answers are looked at where they lie.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use rustix::net::{self, AddressFamily, SocketType};

/// Bytes of one answer that fit, head and body.
const ANSWER_BYTES_MAX: usize = 8 << 20;
const BUFFER_BYTES: usize = 32 << 10;

/// An open connection with at most one request on its way.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// An answer with a `Content-Length`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Opens a connection. `nonblocking` ones answer [`None`] where an answer is not yet there.
    pub(crate) fn open(address: SocketAddr, nonblocking: bool) -> anyhow::Result<Self> {
        Self::open_from(Ipv4Addr::LOCALHOST, address, nonblocking)
    }

    /// The same, from this address of ours.
    pub(crate) fn open_from(
        source: Ipv4Addr,
        address: SocketAddr,
        nonblocking: bool,
    ) -> anyhow::Result<Self> {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        net::bind(&socket, &SocketAddr::from((source, 0)))?;
        net::connect(&socket, &address).with_context(|| format!("nobody listens on {address}"))?;
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        socket.set_nonblocking(nonblocking)?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], filled: 0 })
    }

    /// Sends a whole request. Those of the load are far smaller than a socket's buffer.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.filled = 0;
        self.socket.write_all(request)
    }

    /// Reads once; the answer, where it is there in full.
    pub(crate) fn receive(&mut self) -> anyhow::Result<Option<Answer<'_>>> {
        if self.filled == self.buffer.len() {
            anyhow::ensure!(self.filled < ANSWER_BYTES_MAX, "the answer is too large");
            self.buffer.resize(2 * self.filled, 0);
        }
        match self.socket.read(&mut self.buffer[self.filled..]) {
            Ok(0) => anyhow::bail!("the server closed the connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        answer(&self.buffer[..self.filled])
    }

    /// Sends a request and waits for its answer, on a blocking connection.
    pub(crate) fn call(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.send(request)?;
        loop {
            let Some(answer) = self.receive()? else { continue };
            let text = String::from_utf8_lossy(answer.body);
            anyhow::ensure!(answer.status == 200, "answered {}: {text}", answer.status);
            return Ok(answer.body.to_vec());
        }
    }

    /// The socket itself, for what is no exchange of one request and one answer.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A `POST` (or another method) of JSON.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn answer(bytes: &[u8]) -> anyhow::Result<Option<Answer<'_>>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let status = head.get(9..12).and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    let status = status.context("this is not HTTP/1.1")?;
    let length = content_length(head).context("an answer without content-length")?;
    Ok(body.get(..length).map(|body| Answer { status, body }))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let named =
        |line: &&[u8]| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME);
    let line = head.split(|&byte| byte == b'\n').find(named)?;
    str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_when_its_body_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\nabc";
        let whole = answer(text).expect("HTTP").expect("whole");
        assert_eq!((whole.status, whole.body), (200, b"abc".as_slice()));
        for cut in [text.len() - 1, 30, 0] {
            assert!(answer(&text[..cut]).expect("HTTP").is_none(), "{cut}");
        }
        answer(b"HTTP/1.1 200 OK\r\n\r\n").expect_err("no length");
    }
}
