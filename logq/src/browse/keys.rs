//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::complete::{self, Wanted};
use super::event::Request;
use super::range::SECOND;
use super::row::Row;
use super::state::{Focus, Search, State, Status};

/// The keys as the page of `?` shows them.
pub(super) const HELP: [(&str, &str); 17] = [
    ("/", "write the query; Enter runs it, Esc leaves it as it was"),
    ("Tab", "in the query: complete fields, values and stages"),
    ("↑ ↓ in the query", "what was asked before"),
    ("↑ ↓ j k", "one record up or down; PageUp, PageDown, g, G"),
    ("Enter", "show or hide all fields of the record"),
    ("Tab", "between the list and the fields"),
    ("+ -", "on a field: only records with this value, or without"),
    ("c", "all records of the same correlation, as a story"),
    ("t", "all records of the same trace"),
    ("Backspace", "back to the search before"),
    ("[ ]", "half of the time range, or twice of it"),
    ("e", "errors only"),
    ("f", "follow: new records come on top"),
    ("r", "search again"),
    ("Esc", "one step out"),
    ("?", "these keys"),
    ("q Ctrl-C", "leave"),
];

/// Names and values that are known are asked for again after this.
const KNOWN_FOR: i64 = 60 * SECOND;
const VALUES: usize = 20;

impl State {
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Request> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return vec![Request::Leave];
        }
        if std::mem::take(&mut self.keys) {
            return Vec::new();
        }
        match self.focus {
            Focus::Query => self.key_of_query(key.code, control),
            _ if control || key.modifiers.contains(KeyModifiers::ALT) => Vec::new(),
            Focus::Detail => self.key_of_detail(key.code),
            Focus::List => self.key_of_list(key.code),
        }
    }

    fn key_of_list(&mut self, code: KeyCode) -> Vec<Request> {
        let page = self.rows_shown.saturating_sub(1).max(1) as isize;
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.go(page),
            KeyCode::Home | KeyCode::Char('g') if self.list.at_the_top() => self.go(isize::MIN),
            KeyCode::Home | KeyCode::Char('g') => self.run_again(),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Enter => {
                self.detail = !self.detail;
                Vec::new()
            }
            KeyCode::Tab if self.detail && self.list.selected().is_some() => {
                self.focus = Focus::Detail;
                Vec::new()
            }
            KeyCode::Esc => {
                self.detail = false;
                Vec::new()
            }
            other => self.key_of_both(other),
        }
    }

    fn key_of_detail(&mut self, code: KeyCode) -> Vec<Request> {
        let shown = self.list.selected().map(Row::shown).unwrap_or_default();
        let last = shown.len().saturating_sub(1);
        self.field = self.field.min(last);
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.field = self.field.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.field = (self.field + 1).min(last),
            KeyCode::Home | KeyCode::Char('g') => self.field = 0,
            KeyCode::End | KeyCode::Char('G') => self.field = last,
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Esc => self.focus = Focus::List,
            KeyCode::Enter => (self.detail, self.focus) = (false, Focus::List),
            KeyCode::Char(sign @ ('+' | '-')) => {
                let Some(field) = shown.get(self.field) else { return Vec::new() };
                let sign = if sign == '-' { "-" } else { "" };
                let value = super::condition::value(&field.value);
                return self.add(&format!("{sign}{}:{value}", field.written));
            }
            other => return self.key_of_both(other),
        }
        Vec::new()
    }

    fn key_of_both(&mut self, code: KeyCode) -> Vec<Request> {
        let range = self.search.range;
        let requests = match code {
            KeyCode::Char('q') => vec![Request::Leave],
            KeyCode::Char('/' | 'i') => {
                self.focus = Focus::Query;
                Vec::new()
            }
            KeyCode::Char('?') => {
                self.keys = true;
                Vec::new()
            }
            KeyCode::Char('c') => self.go_to_story("correlation_id", "correlation"),
            KeyCode::Char('t') => self.go_to_story("trace_id", "trace"),
            KeyCode::Backspace => self.go_back(),
            KeyCode::Char('[') => {
                self.go_to(Search { range: range.halved(), ..self.search.clone() })
            }
            KeyCode::Char(']') => {
                self.go_to(Search { range: range.doubled(), ..self.search.clone() })
            }
            KeyCode::Char('e') => self.add("level:error"),
            KeyCode::Char('f') => self.toggle_follow(),
            KeyCode::Char('r') => self.run_again(),
            _ => Vec::new(),
        };
        if self.list.selected().is_none() && self.focus == Focus::Detail {
            self.focus = Focus::List;
        }
        requests
    }

    fn go(&mut self, by: isize) -> Vec<Request> {
        self.list.go(by);
        self.want_rows()
    }

    fn key_of_query(&mut self, code: KeyCode, control: bool) -> Vec<Request> {
        if code == KeyCode::Tab && !control {
            return self.complete();
        }
        self.completing = None;
        let offered = self.offer.take().is_some();
        match (code, control) {
            (KeyCode::Enter, _) => {
                let requests = self.begin();
                if self.fault.is_none() {
                    self.focus = Focus::List;
                }
                return requests;
            }
            // The first one closes what is offered.
            (KeyCode::Esc, _) if offered => return Vec::new(),
            (KeyCode::Esc, _) => {
                self.focus = Focus::List;
                let query = self.search.query.clone();
                self.line.set(&query);
            }
            (KeyCode::Left, _) => self.line.left(),
            (KeyCode::Right, _) => self.line.right(),
            (KeyCode::Home, _) | (KeyCode::Char('a'), true) => self.line.home(),
            (KeyCode::End, _) | (KeyCode::Char('e'), true) => self.line.end(),
            (KeyCode::Up, _) => self.line.earlier(),
            (KeyCode::Down, _) => self.line.later(),
            (KeyCode::Backspace, _) => self.line.erase(),
            (KeyCode::Delete, _) => self.line.delete(),
            (KeyCode::Char('w'), true) => self.line.erase_word(),
            (KeyCode::Char('u'), true) => self.line.erase_to_start(),
            (KeyCode::Char(character), false) => {
                self.line.insert(character.encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
        self.check();
        Vec::new()
    }

    /// The next candidate; or what is there to choose from, which may have to be asked for first.
    fn complete(&mut self) -> Vec<Request> {
        if let Some(mut offer) = self.offer.take() {
            let next =
                offer.chosen.map_or(0, |chosen| (chosen + 1) % offer.candidates.len().max(1));
            if let Some(candidate) = offer.candidates.get(next) {
                self.line.complete(offer.start, candidate);
                self.check();
            }
            offer.chosen = Some(next);
            self.offer = Some(offer);
            return Vec::new();
        }
        let before = self.line.before().to_owned();
        let Some((start, wanted)) = complete::wanted(&before) else { return Vec::new() };
        let is_new = |at: i64| self.now.saturating_sub(at) < KNOWN_FOR;
        let candidates = match &wanted {
            Wanted::Stage => complete::stages(),
            Wanted::Field { filter } => match &self.fields {
                Some((at, names)) if is_new(*at) => {
                    let end = if *filter { ":" } else { "" };
                    names.iter().map(|name| format!("{name}{end}")).collect()
                }
                _ => {
                    self.completing = Some(before);
                    return vec![Request::Fields(self.question("*".into()))];
                }
            },
            Wanted::Value(name) => match &self.values {
                Some((at, field, values)) if is_new(*at) && field == name => {
                    values.iter().map(|value| format!("{value} ")).collect()
                }
                _ => return self.ask_for_values(name, before),
            },
        };
        let offer = complete::offer(start, &before[start..], &candidates);
        let beginning = complete::beginning(&offer.candidates);
        match offer.candidates.len() {
            0 => self.status = Status::Said("nothing is known that goes here".into()),
            _ => self.line.complete(start, beginning),
        }
        if offer.candidates.len() > 1 {
            self.offer = Some(offer);
        }
        self.check();
        Vec::new()
    }

    fn ask_for_values(&mut self, name: &str, before: String) -> Vec<Request> {
        let query = format!("* | top {VALUES} {name}");
        // What is written in front of the colon may be no name of a field.
        if query::Plan::new(&query).is_err() {
            return Vec::new();
        }
        self.completing = Some(before);
        vec![Request::Values { field: name.to_owned(), question: self.question(query) }]
    }

    /// Offers what was asked for, if nothing was written since.
    pub(super) fn offer_again(&mut self) -> Vec<Request> {
        let asked = self.completing.take();
        if self.focus == Focus::Query && asked.as_deref() == Some(self.line.before()) {
            return self.complete();
        }
        Vec::new()
    }
}
