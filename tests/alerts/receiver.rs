//! A receiver of webhooks that keeps what came and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A receiver of webhooks: keeps what came, and answers as it is told.
pub(crate) struct Receiver {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) is_taken: bool,
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
pub(crate) const BUSY: &str = "HTTP/1.1 500 Busy\r\ncontent-length: 4\r\n\r\nbusy";

impl Receiver {
    /// `answer` gets how many came before; an empty one closes the connection.
    pub(crate) fn start(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Vec::new()));
        let (all, how) = (Arc::clone(&came), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, how) = (Arc::clone(&all), Arc::clone(&how));
                std::thread::spawn(move || take(stream, &all, &*how));
            }
        });
        Self { url, came }
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// What it took, each notification once.
    pub(crate) fn taken(&self) -> BTreeMap<String, Value> {
        let taken = self.came().into_iter().filter(|came| came.is_taken);
        let keyed = taken.map(|came| {
            let key = came.headers["idempotency-key"].clone();
            (key, serde_json::from_str(&came.body).unwrap())
        });
        keyed.collect()
    }

    /// (service, startsAt, status) of all alerts that it was told of, as often as it was in notifications of their own.
    pub(crate) fn alerts(&self) -> BTreeMap<(String, String, String), usize> {
        let mut alerts = BTreeMap::new();
        for notification in self.taken().values() {
            for alert in notification["alerts"].as_array().unwrap() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let key = (
                    text(&alert["labels"]["service"]),
                    text(&alert["startsAt"]),
                    text(&alert["status"]),
                );
                *alerts.entry(key).or_default() += 1;
            }
        }
        alerts
    }
}

fn take(mut stream: TcpStream, all: &Mutex<Vec<Came>>, answer: &dyn Fn(usize) -> String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            let (name, value) = line.trim_end().split_once(": ").unwrap();
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).unwrap();
        let mut all = all.lock().unwrap();
        let answer = answer(all.len());
        let is_taken = answer.starts_with("HTTP/1.1 2");
        all.push(Came { headers, body, is_taken });
        drop(all);
        if stream.write_all(answer.as_bytes()).is_err() || answer.is_empty() {
            return;
        }
    }
}
