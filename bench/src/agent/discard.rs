//! Receivers that throw away what they get: what is measured against them is the sender alone.
//!
//! One takes bytes of a TCP stream, as syslog over TCP is, and acknowledges nothing. One answers every request of
//! HTTP/1.1 with an empty 200, as a collector does that has stored it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

const BUFFER_BYTES: usize = 256 << 10;
/// Longest line of a request's head that is read.
const HEAD_LINE_MAX: u64 = 64 << 10;

/// A listener on a free port, whose threads end with the process.
#[derive(Debug)]
pub(super) struct Discard {
    pub(super) addr: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Discard {
    /// Counts bytes of streams.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) fn stream() -> anyhow::Result<Self> {
        Self::listen(|mut from, received| {
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(size) => received.fetch_add(size as u64, Ordering::Relaxed),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
            }
        })
    }

    /// Counts bytes of bodies, and answers each with 200.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) fn http() -> anyhow::Result<Self> {
        Self::listen(|from, received| {
            let mut to = from.try_clone()?;
            let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
            while let Some(length) = content_length(&mut from)? {
                let body = std::io::copy(&mut from.by_ref().take(length), &mut std::io::sink())?;
                received.fetch_add(body, Ordering::Relaxed);
                to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            }
            Ok(())
        })
    }

    fn listen(serve: fn(TcpStream, &AtomicU64) -> std::io::Result<()>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
        let addr = listener.local_addr()?;
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counter = Arc::clone(&counter);
                // A sender that is killed cuts its connection; whoever waits for bytes sees that they do not come.
                std::thread::spawn(move || serve(stream, &counter));
            }
        });
        Ok(Self { addr, received })
    }

    /// Bytes received by now.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Reads the head of a request; `None` at the end of the connection.
fn content_length(from: &mut impl BufRead) -> std::io::Result<Option<u64>> {
    let mut length = 0;
    let mut line = String::new();
    for number in 0.. {
        line.clear();
        if from.by_ref().take(HEAD_LINE_MAX).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if number > 0 && line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_to_their_length() {
        let mut two: &[u8] =
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
        assert_eq!(content_length(&mut two).unwrap(), Some(3));
        two = &two[3..];
        assert_eq!(content_length(&mut two).unwrap(), Some(0));
        assert_eq!(content_length(&mut two).unwrap(), None);
    }

    #[test]
    fn bodies_are_counted_and_answered() {
        let discard = Discard::http().unwrap();
        let mut stream = TcpStream::connect(discard.addr).unwrap();
        for total in [5, 10] {
            stream.write_all(b"POST /v1/logs HTTP/1.1\r\ncontent-length: 5\r\n\r\n12345").unwrap();
            let mut answer = [0; 38];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200"));
            assert_eq!(discard.received(), total);
        }
    }
}
