//! The network between agent and collector, which breaks on demand.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::timeline::Random;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Connections are closed at once.
    Refuses,
    /// Nothing passes; afterwards what was held up goes on.
    Hangs,
    /// A piece of a request arrives, then the connection is cut.
    CutsRequests,
    /// Requests arrive, and of an answer only a piece or nothing.
    CutsAnswers,
}

impl Weather {
    pub(crate) const BAD: [Self; 4] =
        [Self::Refuses, Self::Hangs, Self::CutsRequests, Self::CutsAnswers];
}

/// Passes connections on to where the collector is at the moment. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    upstream: Option<SocketAddr>,
    random: Random,
}

impl Proxy {
    pub(crate) fn start(random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { weather: Weather::Fair, upstream: None, random }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || connect(&client, &state));
            }
        });
        Self { addr, state }
    }

    /// Where the collector is; it has no address while it is down.
    pub(crate) fn lead_to(&self, upstream: Option<SocketAddr>) {
        self.state.lock().unwrap().upstream = upstream;
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.state.lock().unwrap().weather = weather;
    }
}

fn connect(client: &TcpStream, state: &Arc<Mutex<State>>) {
    let (weather, upstream) = {
        let state = state.lock().unwrap();
        (state.weather, state.upstream)
    };
    if weather == Weather::Refuses {
        return;
    }
    let Some(Ok(server)) = upstream.map(TcpStream::connect) else { return };
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let shared = Arc::clone(state);
    let requests = std::thread::spawn(move || pass(from, to, Weather::CutsRequests, &shared));
    if let Ok(client) = client.try_clone() {
        pass(server, client, Weather::CutsAnswers, state);
    }
    let _ = requests.join();
}

/// Passes bytes on in one direction, until the connection ends or `cut` is the weather.
fn pass(mut from: TcpStream, mut to: TcpStream, cut: Weather, state: &Mutex<State>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let passed = loop {
            let mut state = state.lock().unwrap();
            match state.weather {
                Weather::Hangs => {}
                Weather::Refuses => break 0,
                weather if weather == cut => break state.random.below(read as u64) as usize,
                _ => break read,
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(10));
        };
        if to.write_all(&buffer[..passed]).is_err() || passed < read {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
