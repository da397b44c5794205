//! The tail over a websocket: what was there, what comes, and how it ends.

use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::decoded::Lines;
use crate::server::{Home, Server};
use crate::{Parameters, url};

/// A frame of lines.
#[derive(Debug, Deserialize)]
struct Frame {
    streams: Vec<Lines>,
}

/// A client of the tail, from a foreign page.
fn tail(server: &Server, query: &str, more: Parameters<'_>) -> WebSocket<TcpStream> {
    let address = server.query.strip_prefix("http://").unwrap();
    let parameters = [&[("query", query)][..], more].concat();
    let url = url(&format!("ws://{address}"), "tail", &parameters);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://elsewhere.example".parse().unwrap());
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    tungstenite::client(request, stream).unwrap().0
}

/// The texts of the next frame, each with its time.
fn next_lines(socket: &mut WebSocket<TcpStream>) -> Vec<(String, String)> {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => {
                let frame: Frame = serde_json::from_str(&text).unwrap();
                assert!(frame.streams.iter().all(|one| one.stream.contains_key("service_name")));
                let mut lines: Vec<(String, String)> =
                    frame.streams.into_iter().flat_map(|stream| stream.values).collect();
                lines.sort();
                return lines;
            }
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_tail_begins_with_what_was_there_and_goes_on_with_what_comes() {
    let server = Home::new().start();
    let send = |messages: &[&str]| {
        let lines: Vec<String> = messages
            .iter()
            .map(|message| {
                json!({"service": "orders", "level": "info", "msg": message}).to_string()
            })
            .collect();
        let sent = server.ingest("/ingest/jsonl", &[], lines.join("\n"));
        assert_eq!(sent.accepted(), messages.len() as u64);
    };
    send(&["first", "second", "third"]);
    let query = r#"{service_name="orders"} != "hidden""#;
    let mut socket = tail(&server, query, &[("limit", "2")]);
    let texts = |lines: Vec<(String, String)>| -> Vec<String> {
        assert!(lines.iter().all(|(time, _)| time.len() == 19), "{lines:?}");
        lines.into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(texts(next_lines(&mut socket)).len(), 2);
    send(&["hidden", "fourth"]);
    assert_eq!(texts(next_lines(&mut socket)), ["fourth"]);
    // A ping is answered.
    socket.send(Message::Ping("here".into())).unwrap();
    loop {
        match socket.read().unwrap() {
            Message::Pong(payload) => break assert_eq!(payload.as_ref(), b"here"),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    send(&["fifth"]);
    assert_eq!(texts(next_lines(&mut socket)), ["fifth"]);

    // Of a server that is gone a client learns by the connection alone; then it connects again.
    server.kill();
    let lost = loop {
        match socket.read() {
            Ok(Message::Ping(_)) => {}
            other => break other,
        }
    };
    assert!(lost.is_err(), "{lost:?}");
    assert!(!matches!(lost, Err(tungstenite::Error::ConnectionClosed)), "{lost:?}");
}

#[test]
fn a_tail_of_something_else_than_lines_is_refused() {
    let server = Home::new().start();
    let metric = r#"rate({service_name="orders"}[1m])"#;
    let mut socket = tail(&server, metric, &[]);
    match socket.read().unwrap() {
        Message::Close(Some(frame)) => {
            assert_eq!(frame.code, CloseCode::Error);
            assert_eq!(frame.reason.as_str(), "only log selector is supported");
        }
        other => panic!("{other:?}"),
    }
    let address = server.query.strip_prefix("http://").unwrap();
    let url = url(&format!("ws://{address}"), "tail", &[("query", "{nonsense")]);
    let refused = tungstenite::client(url, TcpStream::connect(address).unwrap()).unwrap_err();
    let tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(answer.status(), 400);
}

#[test]
fn a_server_that_stops_ends_a_tail_without_a_close_frame() {
    let server = Home::new().start();
    let mut socket = tail(&server, r#"{service_name="orders"}"#, &[]);
    server.stop();
    let lost = loop {
        match socket.read() {
            Ok(Message::Ping(_)) => {}
            other => break other,
        }
    };
    assert!(lost.is_err(), "{lost:?}");
}

#[test]
fn a_client_that_closes_is_answered() {
    let server = Home::new().start();
    let mut socket = tail(&server, r#"{service_name="orders"}"#, &[]);
    socket.close(None).unwrap();
    let ended = loop {
        match socket.read() {
            Ok(Message::Ping(_)) => {}
            other => break other,
        }
    };
    // The answer to the close frame, and not the end of the connection alone.
    assert!(
        matches!(ended, Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed)),
        "{ended:?}"
    );
}
