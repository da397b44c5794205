//! One call of gRPC at a time, over HTTP/2 in the clear: what is sent and what comes back, byte for byte.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use tokio::net::TcpStream;

/// Exports log records.
pub(crate) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// Exports spans.
pub(crate) const SPANS: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What a call ends with.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Of HTTP; 200 for all that is gRPC.
    pub(crate) http_status: u16,
    /// `grpc-status`, wherever it stands; `None` if it is nowhere.
    pub(crate) status: Option<u8>,
    /// `grpc-message`.
    pub(crate) message: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A message in its frame.
pub(crate) fn frame(packed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[u8::from(packed)][..], &length.to_be_bytes(), message].concat()
}

/// Sends a body that is framed already.
///
/// # Errors
/// The connection or the stream broke off.
pub(crate) async fn call(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Reply, h2::Error> {
    let stream = TcpStream::connect(address).await.map_err(|_| h2::Reason::REFUSED_STREAM)?;
    let (mut client, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{path}"));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut sending) = client.send_request(request.body(()).unwrap(), false)?;
    sending.send_data(Bytes::from(body), true)?;
    let (head, mut receiving) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = receiving.data().await {
        let data = data?;
        receiving.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = receiving.trailers().await?.unwrap_or_default();
    connection.abort();
    let said = |name: &str| {
        let value = trailers.get(name).or(head.headers.get(name))?;
        Some(value.to_str().unwrap().to_owned())
    };
    Ok(Reply {
        http_status: head.status.as_u16(),
        status: said("grpc-status").map(|status| status.parse().unwrap()),
        message: said("grpc-message").unwrap_or_default(),
        headers: head.headers,
        body,
    })
}
