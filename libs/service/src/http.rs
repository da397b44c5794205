//! An HTTP server that is given its listener, stops when it is told to, and does not wait for ever.
//!
//! On shutdown it accepts no more, lets requests that are under way finish, and cuts what is left after the
//! deadline. Bounds: connections at once (further ones wait in the listen queue), the time a client may take for a
//! handshake of TLS, and for its request's head. Bounds on bodies and on the work behind a request belong to the handlers.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
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

/// Where connections come in, and whether they are encrypted.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// Plain HTTP without it.
    pub tls: Option<ServerTls>,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
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
    let Listener { tcp: listener, tls } = listener.into();
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
                    serve_connection(stream, peer, tls, router, stopping, limits).await;
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

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<ServerTls>,
    router: Router,
    stopping: Shutdown,
    limits: ServerLimits,
) {
    // A small answer must not wait for the next one. Fails only on a connection that is gone.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve_requests(stream, peer, router, stopping, limits).await;
    };
    let shaken = tokio::select! {
        shaken = tls::shake_hands(stream, &tls, limits.handshake_timeout) => shaken,
        () = stopping.requested() => return,
    };
    match shaken {
        Ok(stream) => serve_requests(stream, peer, router, stopping, limits).await,
        Err(error) => tracing::debug!(%peer, %error, "no TLS was agreed on"),
    }
}

async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    stopping: Shutdown,
    limits: ServerLimits,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended badly");
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
