//! A bare connection, for those who do not behave as clients do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::Client;
use crate::daemon::PATIENCE;

/// Connects from one of the other loopback addresses, as one of many strangers would.
pub async fn connect_from_afar(address: &str) -> io::Result<TcpStream> {
    let address = address.parse().map_err(io::Error::other)?;
    let from = [127, fastrand::u8(1..), fastrand::u8(..), 1];
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(address).await
}

/// A connection to a daemon, its bytes in our hands.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects.
    pub async fn open(client: &Client) -> Self {
        Self(TcpStream::connect(client.address()).await.expect("connects"))
    }

    /// Sends all of it, or answers that the other side has hung up.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Sends the head of a `POST` of JSON to `/v1/decisions` with these headers beside.
    pub async fn send_head(&mut self, headers: &str) {
        let head = format!(
            "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             {headers}\r\n\r\n"
        );
        assert!(self.send(head.as_bytes()).await, "nobody listens");
    }

    /// Says that nothing more will be sent; the other direction stays open.
    pub async fn finish(&mut self) {
        drop(self.0.shutdown().await);
    }

    /// Reads until the other side closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        drop(read.expect("the other side closes"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads up to and with `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut byte = [0; 4_096];
        while !text.contains(end) {
            let read = timeout(PATIENCE, self.0.read(&mut byte)).await.expect("an answer");
            let read = read.expect("an answer");
            assert!(read > 0, "closed after {text:?}");
            text += &String::from_utf8_lossy(&byte[..read]);
        }
        text
    }

    /// True if the other side is silent for a while.
    pub async fn is_silent_for(&mut self, while_: Duration) -> bool {
        timeout(while_, self.0.read_u8()).await.is_err()
    }
}
