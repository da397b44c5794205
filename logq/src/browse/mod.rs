//! `logq browse`: search, look and follow on the whole screen.
//!
//! ```text
//! terminal ─▶ Event ─▶ state ─▶ Request ─▶ load ─▶ server
//!                 ▲      └─▶ draw ─▶ terminal  │
//!                 └────────────────────────────┘
//! ```
//!
//! The state is plain data and never waits; the screen is drawn after each event. The terminal is given back as it was
//! however browse ends: by its keys, by a signal, by a panic.

mod complete;
mod condition;
mod draw;
mod event;
mod fields;
mod histogram;
mod keys;
mod line;
mod list;
mod load;
mod range;
mod row;
mod state;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event as terminal_event;
use ratatui::crossterm::event::Event as TerminalEvent;
use record::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::event::{Event, Request};
use self::load::Loader;
use self::range::Range;
use self::state::State;
use crate::arguments::Browse;
use crate::exit::Exit;

pub(crate) use self::complete::{Wanted, wanted};
pub(crate) use self::event::Question;
pub(crate) use self::load::{Server, values};

/// Events that wait; whoever makes more of them waits too.
const EVENTS_WAITING_MAX: usize = 64;
const TICK: Duration = Duration::from_millis(150);

pub(crate) async fn run(browse: &Browse) -> Result<Exit> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!("logq: browse needs a terminal; `logq search` prints to anything");
        return Ok(Exit::Usage);
    }
    let now = Timestamp::now().0;
    let range = match Range::since(&browse.since, now) {
        Ok(range) => range,
        Err(error) => {
            eprintln!("logq: --since: {error}");
            return Ok(Exit::Usage);
        }
    };
    if let Err(error) = query::Plan::new(&browse.query) {
        eprintln!("{error}");
        return Ok(Exit::Usage);
    }
    let client = match browse.server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let loader = Loader::new(client, &browse.server.addr, sender);
    let state = State::new(&browse.query, range, now);
    // From here on a panic gives back the terminal first.
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let ended = show(&mut terminal, state, loader, events).await;
    ratatui::restore();
    ended.context("cannot use the terminal")?;
    Ok(Exit::Success)
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut state: State,
    mut loader: Loader,
    mut events: mpsc::Receiver<Event>,
) -> std::io::Result<()> {
    let mut keys = keys_of_terminal();
    let mut ticks = tokio::time::interval(TICK);
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut requests = state.begin();
    loop {
        for request in requests.drain(..) {
            if request == Request::Leave {
                return Ok(());
            }
            loader.begin(request);
        }
        terminal.draw(|frame| draw::draw(&mut state, frame))?;
        let event = tokio::select! {
            key = keys.recv() => match key {
                Some(Ok(key)) => key,
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            Some(event) = events.recv() => Some(event),
            _ = ticks.tick() => Some(Event::Tick),
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        };
        state.now = Timestamp::now().0;
        if let Some(event) = event {
            requests = state.apply(event);
        }
    }
}

/// Keys as they are pressed; `None` is something else after which the screen is drawn again.
fn keys_of_terminal() -> mpsc::Receiver<std::io::Result<Option<Event>>> {
    let (sender, keys) = mpsc::channel(EVENTS_WAITING_MAX);
    // Reading waits; a thread of its own ends with the process.
    std::thread::spawn(move || {
        loop {
            let read = terminal_event::read().map(|event| match event {
                TerminalEvent::Key(key) => Some(Event::Key(key)),
                TerminalEvent::Paste(text) => Some(Event::Pasted(text)),
                _ => None,
            });
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    keys
}
