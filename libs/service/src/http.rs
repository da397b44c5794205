//! An HTTP server that is given its listener, stops when it is told to, and does not wait for ever.
//!
//! On shutdown it accepts no more, lets requests that are under way finish, and cuts what is left after the
//! deadline. Bounds: connections at once (further ones wait in the listen queue), the time a client may take for a
//! handshake of TLS, and for its request's head. Bounds on bodies and on the work behind a request belong to the handlers.
//!
//! A listener speaks HTTP/1.1, or HTTP/2 from its first byte on, which is what gRPC wants. There a connection carries up
//! to [`STREAMS_MAX`] requests at once, is asked whether it is still there while it is silent, and is closed
//! if no request comes within the time that a head may take.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;
use crate::tls::{self, ServerTls};

/// How long to wait after an accept failed for want of file descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Requests of one connection at once, where it speaks HTTP/2; further ones wait at the client.
const STREAMS_MAX: u32 = 128;
/// The head of a request, with all its fields, where a connection speaks HTTP/2; as much as HTTP/1.1 takes here.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// How long a connection of HTTP/2 may be silent before it is asked whether it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// How long requests under way may take after the shutdown began. 10 s.
    pub drain: Duration,
    /// Connections at once; further ones wait in the listen queue. 4,096.
    pub connections_max: usize,
    /// How long a client may take to send the head of a request. 30 s.
    pub head_timeout: Duration,
    /// How long a client may take for the handshake of TLS. 10 s.
    pub handshake_timeout: Duration,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without TLS a client has to know that.
    Http2,
}

/// Where connections come in, whether they are encrypted, and what they speak.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// Plain HTTP without it.
    pub tls: Option<ServerTls>,
    /// What is spoken on it.
    pub protocol: Protocol,
}

impl Listener {
    /// The same for HTTP/2.
    #[must_use]
    pub fn http2(self) -> Self {
        Self { protocol: Protocol::Http2, ..self }
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None, protocol: Protocol::default() }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(10),
            connections_max: 4_096,
            head_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown` is done and the connections are drained or cut. Handlers can ask for
/// `ConnectInfo<SocketAddr>`. Returns how many connections had to be cut.
///
/// # Errors
/// None after start-up: failures to accept are logged and retried, and a connection's errors are its own.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    shutdown: impl Future<Output = ()>,
    limits: ServerLimits,
) -> io::Result<usize> {
    let Listener { tcp: listener, tls, protocol } = listener.into();
    let (stop, stopping) = Shutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, peer, slot) = accept(&listener, &slots) => {
                let (router, stopping, tls) = (router.clone(), stopping.clone(), tls.clone());
                connections.spawn(async move {
                    let serving = Serving { peer, protocol, router, stopping, limits };
                    serving.connection(stream, tls).await;
                    drop(slot);
                });
            }
            // Ended connections are taken out as they end; their panics were reported by the panic hook.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    stop.set_off();
    let drained = async { while connections.join_next().await.is_some() {} };
    let cut = match tokio::time::timeout(limits.drain, drained).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    };
    if cut > 0 {
        tracing::warn!(connections = cut, "cut connections that outlived the shutdown");
        connections.shutdown().await;
    }
    Ok(cut)
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept, trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection, from its first byte to its end.
struct Serving {
    peer: SocketAddr,
    protocol: Protocol,
    router: Router,
    stopping: Shutdown,
    limits: ServerLimits,
}

impl Serving {
    async fn connection(self, stream: TcpStream, tls: Option<ServerTls>) {
        // A small answer must not wait for the next one. Fails only on a connection that is gone.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.requests(stream).await;
        };
        let within = self.limits.handshake_timeout;
        let shaken = tokio::select! {
            shaken = tls::shake_hands(stream, &tls, self.protocol, within) => shaken,
            () = self.stopping.requested() => return,
        };
        match shaken {
            Ok(stream) => self.requests(stream).await,
            Err(error) => tracing::debug!(peer = %self.peer, %error, "no TLS was agreed on"),
        }
    }

    async fn requests(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { peer, protocol, router, stopping, limits } = self;
        let router = TowerToHyperService::new(router);
        let asked = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&asked);
        let service = service_fn(move |mut request: Request<Incoming>| {
            noted.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        let stream = TokioIo::new(stream);
        let ended = match protocol {
            Protocol::Http1 => {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits.head_timeout)
                    .serve_connection(stream, service)
                    .with_upgrades();
                let stop = http1::UpgradeableConnection::graceful_shutdown;
                until_stopped(connection, stop, &stopping).await
            }
            Protocol::Http2 => {
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .keep_alive_interval(SILENCE_MAX)
                    .keep_alive_timeout(limits.head_timeout)
                    .max_concurrent_streams(STREAMS_MAX)
                    .max_header_list_size(HEAD_BYTES_MAX)
                    .serve_connection(stream, service);
                let silent = async {
                    tokio::time::sleep(limits.head_timeout).await;
                    if asked.load(Ordering::Relaxed) {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    ended = until_stopped(connection, http2::Connection::graceful_shutdown, &stopping) => ended,
                    () = silent => return tracing::debug!(%peer, "no request came"),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended badly");
        }
    }
}

/// A connection to its end, which `stop` brings about once no more is to be taken.
async fn until_stopped<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    stop: impl FnOnce(Pin<&mut C>),
    stopping: &Shutdown,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.requested() => {
            stop(connection.as_mut());
            connection.await
        }
    }
}

/// A JSON answer that ends with a newline, so that the prompt of whoever asks by hand stands on a line of its own.
#[derive(Clone, Copy, Debug)]
pub struct JsonLine<T>(pub T);

impl<T: Serialize> IntoResponse for JsonLine<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut line) => {
                line.push(b'\n');
                ([(header::CONTENT_TYPE, "application/json")], line).into_response()
            }
            // Only types of ours come here, and none of them has keys that are no strings.
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// An error as every HTTP interface of ours tells it: `{"error":{"code","message","hint","span"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people; says what is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the query, as byte offsets.
    pub span: Option<Span>,
    /// When to try again, in whole seconds.
    pub retry_after: Option<Duration>,
}

/// A range of a query's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The first byte after it.
    pub end: usize,
}

impl ErrorResponse {
    /// An error without hint and span.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, span: None, retry_after: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where it is.
    #[must_use]
    pub fn span(mut self, start: usize, end: usize) -> Self {
        self.span = Some(Span { start, end });
        self
    }

    /// Adds when to try again; sent as `Retry-After`, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Outer {
            error: Inner,
        }
        #[derive(Serialize)]
        struct Inner {
            code: &'static str,
            message: String,
            hint: Option<String>,
            span: Option<Span>,
        }
        let Self { status, code, message, hint, span, retry_after } = self;
        let body = JsonLine(Outer { error: Inner { code, message, hint, span } });
        let mut response = (status, body).into_response();
        if let Some(after) = retry_after {
            let seconds = after.as_millis().div_ceil(1_000).min(u128::from(u32::MAX)) as u32;
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
