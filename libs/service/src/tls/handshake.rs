//! A connection's beginning: TLS, or a word to who speaks plain HTTP to a port of TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ServerTls;
use crate::http::Protocol;

/// The first byte of TLS: a record of type handshake.
const HANDSHAKE: u8 = 0x16;
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
    content-length: 123\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"tls_wanted\",\"message\":\"this port speaks TLS; write https:// instead of http://\",\
    \"hint\":null,\"span\":null}}";
/// What is read of a request that gets that answer, so that its sender comes to read it.
const DRAIN_BYTES_MAX: u64 = 64 << 10;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// The encrypted stream, within a time.
///
/// # Errors
/// The client speaks no TLS, shows no certificate that is good here, or is too slow.
pub(crate) async fn shake_hands(
    mut stream: TcpStream,
    tls: &ServerTls,
    protocol: Protocol,
    within: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let shaken = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            answer_plain(&mut stream).await;
            return Err(io::Error::other("plain HTTP on a port of TLS"));
        }
        TlsAcceptor::from(tls.config(protocol)).accept(stream).await
    };
    match tokio::time::timeout(within, shaken).await {
        Ok(shaken) => shaken,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
    }
}

async fn answer_plain(stream: &mut TcpStream) {
    if stream.write_all(PLAIN_ANSWER).await.is_ok() && stream.shutdown().await.is_ok() {
        // What is left unread when a socket is closed makes the system reset it, and the answer may be lost.
        let mut rest = stream.take(DRAIN_BYTES_MAX);
        let mut sink = tokio::io::sink();
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, tokio::io::copy(&mut rest, &mut sink)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_answer_is_as_long_as_it_says() {
        let answer = std::str::from_utf8(PLAIN_ANSWER).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
