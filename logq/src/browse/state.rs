//! What browse knows and shows. Nothing here waits, prints or asks: [`State::apply`] takes what happened and gives back
//! what to ask for.
//!
//! What must hold: answers to a search that is left change nothing; a search that was left can be gone back to.

use query::Cursor;

use super::complete::Offer;
use super::condition;
use super::event::{Chart, Event, Page, Place, Question, Request};
use super::line::Line;
use super::list::{List, PAGE_ROWS};
use super::range::{Range, SECOND};
use super::row::Row;

/// Rows that are asked for when stages make them, which cannot be loaded page by page.
const STAGED_ROWS: usize = 5_000;
/// Stages that let a search be loaded page by page.
const PAGED_STAGES: [&str; 6] = ["where", "eval", "rename", "extract", "parse", "fields"];
/// Searches that can be gone back to.
const BACK_MAX: usize = 100;
/// While new records come, the histogram is made again this often.
const CHART_EVERY: i64 = 5 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    List,
    Detail,
    Query,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) query: String,
    pub(super) range: Range,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Said(String),
    Failed(String),
}

#[derive(Debug)]
pub(super) struct State {
    /// The clock, ns; whoever applies events sets it.
    pub(super) now: i64,
    pub(super) line: Line,
    /// What is wrong with the query in the line, with carets.
    pub(super) fault: Option<String>,
    pub(super) focus: Focus,
    pub(super) detail: bool,
    /// The selected field of the detail.
    pub(super) field: usize,
    pub(super) keys: bool,
    pub(super) search: Search,
    pub(super) list: List,
    pub(super) chart: Option<Chart>,
    pub(super) following: bool,
    pub(super) status: Status,
    pub(super) offer: Option<Offer>,
    pub(super) loading: bool,
    pub(super) charting: bool,
    /// Rows of the list that the screen shows.
    pub(super) rows_shown: usize,
    pub(super) ticks: usize,
    pub(super) number: u64,
    question: Question,
    back: Vec<(Search, Option<Cursor>)>,
    /// To be selected when the answer comes.
    select: Option<Cursor>,
    charted_at: i64,
    pub(super) fields: Option<(i64, Vec<String>)>,
    pub(super) values: Option<(i64, String, Vec<String>)>,
    /// The text before the cursor for which candidates are asked.
    pub(super) completing: Option<String>,
}

impl State {
    pub(super) fn new(query: &str, range: Range, now: i64) -> Self {
        let mut line = Line::default();
        line.set(query);
        let search = Search { query: String::new(), range };
        let question = Question { query: String::new(), since: String::new(), until: None };
        Self {
            now,
            line,
            fault: None,
            focus: Focus::List,
            detail: false,
            field: 0,
            keys: false,
            search,
            list: List::default(),
            chart: None,
            following: false,
            status: Status::Said(String::new()),
            offer: None,
            loading: false,
            charting: false,
            rows_shown: 1,
            ticks: 0,
            number: 0,
            question,
            back: Vec::new(),
            select: None,
            charted_at: now,
            fields: None,
            values: None,
            completing: None,
        }
    }

    /// Runs what stands in the query line.
    pub(super) fn begin(&mut self) -> Vec<Request> {
        let query = self.line.text().trim().to_owned();
        let query = if query.is_empty() { "*".to_owned() } else { query };
        self.go_to(Search { query, range: self.search.range })
    }

    pub(super) fn apply(&mut self, event: Event) -> Vec<Request> {
        match event {
            Event::Key(key) => return self.key(key),
            Event::Pasted(text) if self.focus == Focus::Query => {
                self.line.insert(&text);
                self.check();
            }
            Event::Pasted(_) => {}
            Event::Tick => return self.tick(),
            Event::Page { number, place, answer } if number == self.number => {
                self.loading = false;
                match answer {
                    Ok(page) => return self.page(place, page),
                    Err(error) => self.fail(error),
                }
            }
            Event::Chart { number, answer } if number == self.number => {
                self.charting = false;
                match answer {
                    Ok(chart) => self.chart = Some(chart),
                    Err(error) => self.fail(error),
                }
            }
            Event::Following { number } if number == self.number && self.following => {
                return self.load(Place::Top).into_iter().collect();
            }
            Event::Followed { number, rows, skipped }
                if number == self.number && self.following =>
            {
                self.list.push(rows);
                let said = match skipped {
                    0 => "following".to_owned(),
                    _ => format!("following; {skipped} records are left out: too many at once"),
                };
                self.status = Status::Said(said);
            }
            Event::FollowLost { number, reason, refused }
                if number == self.number && self.following =>
            {
                self.following = !refused;
                let again = if refused { "" } else { "; connecting again" };
                self.fail(format!("{reason}{again}"));
            }
            Event::Fields(answer) => match answer {
                Ok(names) => {
                    self.fields = Some((self.now, names));
                    return self.offer_again();
                }
                Err(error) => self.fail(error),
            },
            Event::Values { field, answer } => match answer {
                Ok(values) => {
                    self.values = Some((self.now, field, values));
                    return self.offer_again();
                }
                Err(error) => self.fail(error),
            },
            // Of a search that is left.
            _ => {}
        }
        Vec::new()
    }

    /// Searches, so that one can go back to where one is.
    pub(super) fn go_to(&mut self, search: Search) -> Vec<Request> {
        if !self.check_of(&search.query) {
            return Vec::new();
        }
        if self.number > 0 && search != self.search {
            let selected = self.list.selected().and_then(Row::cursor);
            self.back.push((self.search.clone(), selected));
            if self.back.len() > BACK_MAX {
                self.back.remove(0);
            }
        }
        self.run(search)
    }

    pub(super) fn go_back(&mut self) -> Vec<Request> {
        let Some((search, selected)) = self.back.pop() else {
            self.status = Status::Said("there is no search before this one".into());
            return Vec::new();
        };
        self.select = selected;
        self.fault = None;
        self.run(search)
    }

    /// From the top again.
    pub(super) fn run_again(&mut self) -> Vec<Request> {
        self.run(self.search.clone())
    }

    fn run(&mut self, search: Search) -> Vec<Request> {
        self.number += 1;
        self.line.set(&search.query);
        self.line.remember(&search.query);
        self.search = search;
        self.list.close();
        self.status = Status::Said(String::new());
        self.question = self.question(self.search.query.clone());
        let mut requests = Vec::new();
        if std::mem::take(&mut self.following) {
            requests.push(Request::Unfollow);
        }
        self.loading = false;
        requests.extend(self.load(Place::Top));
        self.charting = false;
        requests.extend(self.load_chart());
        requests
    }

    pub(super) fn question(&self, query: String) -> Question {
        let (since, until) = self.search.range.resolved(self.now);
        Question { query, since, until }
    }

    /// The records of the same interaction as the selected one: all that have the same value of this field.
    pub(super) fn go_to_story(&mut self, field: &str, name: &str) -> Vec<Request> {
        let Some(row) = self.list.selected() else { return Vec::new() };
        let id = row.text(field).to_owned();
        if id.is_empty() {
            self.status = Status::Said(format!("this record has no {name}"));
            return Vec::new();
        }
        let (cursor, time) = (row.cursor(), row.time().unwrap_or(self.now));
        let search = Search { query: condition::story(name, &id), range: Range::around(time) };
        let requests = self.go_to(search);
        self.select = cursor.filter(|_| !requests.is_empty());
        requests
    }

    pub(super) fn add(&mut self, added: &str) -> Vec<Request> {
        let query = condition::with(&self.search.query, added);
        self.go_to(Search { query, ..self.search.clone() })
    }

    pub(super) fn toggle_follow(&mut self) -> Vec<Request> {
        if std::mem::take(&mut self.following) {
            self.status = Status::Said("not following any more".into());
            return vec![Request::Unfollow];
        }
        self.following = true;
        self.status = Status::Said("following".into());
        vec![Request::Follow { number: self.number, query: self.search.query.clone() }]
    }

    /// Asks for more rows where the screen comes near to the end of those that are held.
    pub(super) fn want_rows(&mut self) -> Vec<Request> {
        let near = self.rows_shown.max(1) * 2;
        let held = self.list.rows().len();
        let place = if self.list.next().is_some() && self.list.selected + near >= held {
            Place::Below
        } else if !self.list.at_the_top() && self.list.selected < near {
            Place::Above
        } else {
            return Vec::new();
        };
        if self.loading { Vec::new() } else { self.load(place).into_iter().collect() }
    }

    fn load(&mut self, place: Place) -> Option<Request> {
        let (below, limit) = match place {
            Place::Top if is_paged(&self.search.query) => (None, PAGE_ROWS),
            Place::Top => (None, STAGED_ROWS),
            Place::Below => (Some(self.list.next()?.to_owned()), PAGE_ROWS),
            Place::Above => {
                let (below, rows) = self.list.before()?;
                (Some(below), rows)
            }
        };
        self.loading = true;
        let (number, question) = (self.number, self.question.clone());
        Some(Request::Page { number, place, question, below, limit })
    }

    fn load_chart(&mut self) -> Option<Request> {
        let filter = condition::filter_part(&self.search.query).trim();
        let filter = if filter.is_empty() { "*" } else { filter };
        let question = self.question(format!("{filter} | timechart count() by level"));
        self.charting = true;
        self.charted_at = self.now;
        Some(Request::Chart { number: self.number, question })
    }

    fn page(&mut self, place: Place, page: Page) -> Vec<Request> {
        let count = page.rows.len();
        let mut said = page.remarks;
        match place {
            Place::Top => self.replace(page.rows, page.next),
            Place::Above => self.list.prepend(page.rows),
            Place::Below => {
                if !self.list.append(page.rows, page.next) {
                    said.push(
                        "no more rows can be held; narrow the time range or the filter".into(),
                    );
                }
                if self.following && !self.list.at_the_top() {
                    self.following = false;
                    self.status = Status::Said("not following any more".into());
                    return vec![Request::Unfollow];
                }
            }
        }
        if place == Place::Top && count == STAGED_ROWS && self.list.next().is_none() {
            said.push(format!("only the first {STAGED_ROWS} rows are shown"));
        }
        if said.is_empty() {
            said.push(format!("{:.1} ms", page.took_ms));
        }
        self.status = Status::Said(said.join("; "));
        Vec::new()
    }

    /// Takes the first page. What was followed while it was on its way stays.
    fn replace(&mut self, rows: Vec<Row>, next: Option<String>) {
        let newest = rows.first().and_then(Row::cursor);
        let is_newer = |row: &&Row| row.cursor() > newest;
        let followed: Vec<Row> = match self.following {
            true => self.list.rows().iter().filter(is_newer).cloned().collect(),
            false => Vec::new(),
        };
        self.list.replace(rows, next);
        self.list.push(followed.into_iter().rev().collect());
        self.field = 0;
        if let Some(cursor) = self.select.take() {
            self.list.select(cursor);
        }
    }

    fn tick(&mut self) -> Vec<Request> {
        self.ticks = self.ticks.wrapping_add(1);
        let due = self.now.saturating_sub(self.charted_at) >= CHART_EVERY;
        if self.following && due && !self.charting {
            return self.load_chart().into_iter().collect();
        }
        Vec::new()
    }

    pub(super) fn busy(&self) -> bool {
        self.loading || self.charting
    }

    /// Checks the query in the line; says whether it can run.
    pub(super) fn check(&mut self) -> bool {
        let text = self.line.text().to_owned();
        self.check_of(&text)
    }

    fn check_of(&mut self, query: &str) -> bool {
        let query = if query.trim().is_empty() { "*" } else { query };
        self.fault = query::Plan::new(query).err().map(|error| error.to_string());
        self.fault.is_none()
    }

    pub(super) fn fail(&mut self, error: String) {
        self.status = Status::Failed(error);
    }
}

fn is_paged(query: &str) -> bool {
    ql::parse(query).is_ok_and(|parsed| {
        parsed.stages.iter().all(|stage| PAGED_STAGES.contains(&stage.name.node.as_str()))
    })
}
