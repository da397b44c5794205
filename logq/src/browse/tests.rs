//! The state as keys and answers change it, and the screen as it shows it.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use record::Timestamp;

use super::event::{Chart, Event, Page, Place, Request};
use super::range::{Range, SECOND};
use super::row::Row;
use super::state::{Focus, State, Status};

/// 2026-11-02T09:00:00Z.
const NOW: i64 = 1_793_610_000 * SECOND;

fn state() -> State {
    let mut state = State::new("service:orders", Range::Last(900 * SECOND), NOW);
    state.begin();
    state
}

fn row(number: u64, level: &str, service: &str, message: &str) -> Row {
    let time = Timestamp(NOW - 60 * SECOND + number as i64 * 250_000_000);
    let line = serde_json::json!({
        "timestamp": time.to_string(), "severity": level, "severity_number": 9,
        "service": service, "correlation_id": "ord-1", "message": message,
        "record_seq": number, "attributes": { "order id": "o 7", "span": "left", "attempt": 2 },
    });
    Row::read(line.to_string().as_bytes()).unwrap()
}

fn records() -> Vec<Row> {
    vec![
        row(5, "error", "payments", "card declined\n  at charge (card.rs:7)\n  at main"),
        row(4, "warn", "payments", "timed out"),
        row(3, "info", "orders", "商品を予約しました teapot 🫖 reserved"),
        row(2, "debug", "orders", "a\u{1b}[31mb\u{202e}c"),
        row(1, "info", "gateway", "checkout received"),
    ]
}

fn chart() -> Chart {
    let rows = [
        (0, "info", 4),
        (30, "info", 9),
        (30, "error", 1),
        (60, "warn", 2),
        (90, "", 0),
        (120, "info", 6),
    ];
    let rows = rows.map(|(second, level, count)| {
        let time = Timestamp(NOW - 600 * SECOND + second * SECOND);
        let line =
            serde_json::json!({ "timestamp": time.to_string(), "severity": level, "count": count });
        Row::read(line.to_string().as_bytes()).unwrap()
    });
    Chart::of(&rows)
}

fn answered(state: &mut State, rows: Vec<Row>) {
    let number = state.number;
    let page = Page { rows, took_ms: 1.5, ..Page::default() };
    state.apply(Event::Page { number, place: Place::Top, answer: Ok(page) });
    state.apply(Event::Chart { number, answer: Ok(chart()) });
}

fn loaded() -> State {
    let mut state = state();
    answered(&mut state, records());
    state
}

fn press(state: &mut State, code: KeyCode) -> Vec<Request> {
    state.apply(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn write(state: &mut State, text: &str) {
    text.chars().for_each(|character| drop(press(state, KeyCode::Char(character))));
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| super::draw::draw(state, frame)).unwrap();
    terminal.backend().to_string()
}

/// Queries whose first page is asked for.
fn queries(requests: &[Request]) -> Vec<&str> {
    let pages = requests.iter().filter_map(|request| match request {
        Request::Page { place: Place::Top, question, .. } => Some(question.query.as_str()),
        _ => None,
    });
    pages.collect()
}

#[test]
fn the_list_shows_records_below_their_histogram() {
    insta::assert_snapshot!(screen(&mut loaded(), 90, 18));
}

#[test]
fn the_detail_shows_all_fields_with_all_lines_beside_the_list_or_below() {
    let mut state = loaded();
    press(&mut state, KeyCode::Enter);
    insta::assert_snapshot!(screen(&mut state, 110, 22));
    insta::assert_snapshot!(screen(&mut state, 50, 24));
}

#[test]
fn a_fault_of_the_query_is_shown_below_it() {
    let mut state = loaded();
    press(&mut state, KeyCode::Char('/'));
    write(&mut state, " level:>=wran");
    insta::assert_snapshot!(screen(&mut state, 90, 14));
    assert!(press(&mut state, KeyCode::Enter).is_empty());
    assert_eq!(state.focus, Focus::Query);
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.line.text(), "service:orders");
    assert_eq!(state.fault, None);
}

#[test]
fn the_page_of_keys_lies_over_the_rest_until_a_key() {
    let mut state = loaded();
    press(&mut state, KeyCode::Char('?'));
    insta::assert_snapshot!(screen(&mut state, 80, 24));
    press(&mut state, KeyCode::Char('q'));
    assert!(!state.keys);
}

#[test]
fn narrow_screens_show_what_fits() {
    let mut state = loaded();
    insta::assert_snapshot!(screen(&mut state, 40, 8));
    insta::assert_snapshot!(screen(&mut state, 20, 6));
}

#[test]
fn rows_of_stages_are_a_table() {
    let mut state = State::new("* | stats count() by service", Range::Last(SECOND), NOW);
    state.begin();
    let rows = [r#"{"service":"orders","count":12}"#, r#"{"service":null,"count":3}"#];
    answered(&mut state, rows.map(|row| Row::read(row.as_bytes()).unwrap()).to_vec());
    insta::assert_snapshot!(screen(&mut state, 60, 8));
}

#[test]
fn a_server_that_cannot_be_reached_is_told_of_and_browse_goes_on() {
    let mut state = loaded();
    let number = state.number;
    let answer = Err("cannot reach http://127.0.0.1:3100: connection refused".to_owned());
    state.apply(Event::Page { number, place: Place::Below, answer });
    assert!(matches!(&state.status, Status::Failed(error) if error.contains("cannot reach")));
    assert_eq!(state.list.rows().len(), 5);
    assert_eq!(queries(&press(&mut state, KeyCode::Char('r'))), ["service:orders"]);
}

#[test]
fn an_interaction_is_told_from_its_beginning_and_one_can_go_back() {
    let mut state = loaded();
    press(&mut state, KeyCode::Down);
    let selected = state.list.selected().and_then(Row::cursor);
    let requests = press(&mut state, KeyCode::Char('c'));
    assert_eq!(queries(&requests), ["correlation:ord-1 | sort timestamp"]);
    let mut story = records();
    story.reverse();
    answered(&mut state, story);
    assert_eq!(state.list.selected().and_then(Row::cursor), selected);
    let requests = press(&mut state, KeyCode::Backspace);
    assert_eq!(queries(&requests), ["service:orders"]);
    answered(&mut state, records());
    assert_eq!(state.list.selected, 1);
    assert!(press(&mut state, KeyCode::Backspace).is_empty());
    assert!(press(&mut state, KeyCode::Char('t')).is_empty());
    assert_eq!(state.status, Status::Said("this record has no trace".into()));
}

#[test]
fn answers_to_a_search_that_was_left_change_nothing() {
    let mut state = loaded();
    let number = state.number;
    press(&mut state, KeyCode::Char('e'));
    assert_eq!(state.search.query, "service:orders level:error");
    let page = Page { rows: vec![row(9, "info", "late", "late")], ..Page::default() };
    state.apply(Event::Page { number, place: Place::Top, answer: Ok(page) });
    assert_eq!(state.list.rows().len(), 5);
    assert!(state.loading);
}

#[test]
fn a_field_becomes_a_condition() {
    for (name, sign, expected) in [
        ("order id", '+', "service:orders \"order id\":\"o 7\""),
        ("span", '-', "service:orders -\"span\":left"),
        ("severity", '+', "service:orders severity:error"),
        ("attempt", '+', "service:orders attempt:2"),
    ] {
        let mut state = loaded();
        press(&mut state, KeyCode::Enter);
        press(&mut state, KeyCode::Tab);
        let shown = state.list.selected().map(Row::shown).unwrap_or_default();
        state.field = shown.iter().position(|field| field.name == name).unwrap();
        let requests = press(&mut state, KeyCode::Char(sign));
        assert_eq!(queries(&requests), [expected]);
    }
}

#[test]
fn the_next_page_is_asked_for_once_near_the_end() {
    let mut state = state();
    let number = state.number;
    let page = Page { rows: records(), next: Some("5,1".into()), ..Page::default() };
    state.apply(Event::Page { number, place: Place::Top, answer: Ok(page) });
    screen(&mut state, 80, 10);
    let requests = press(&mut state, KeyCode::Down);
    assert!(matches!(
        &requests[..],
        [Request::Page { place: Place::Below, below: Some(below), .. }] if below == "5,1"
    ));
    assert!(press(&mut state, KeyCode::Down).is_empty());
}

#[test]
fn the_range_is_halved_and_doubled() {
    let mut state = loaded();
    press(&mut state, KeyCode::Char(']'));
    assert_eq!(state.search.range, Range::Last(1_800 * SECOND));
    press(&mut state, KeyCode::Char('['));
    press(&mut state, KeyCode::Char('['));
    assert_eq!(state.search.range, Range::Last(450 * SECOND));
}

#[test]
fn what_is_followed_comes_on_top() {
    let mut state = loaded();
    let number = state.number;
    let requests = press(&mut state, KeyCode::Char('f'));
    assert!(matches!(&requests[..], [Request::Follow { query, .. }] if query == "service:orders"));
    // What came between the last page and the position is looked for again.
    assert_eq!(queries(&state.apply(Event::Following { number })), ["service:orders"]);
    let rows = vec![row(6, "info", "orders", "six"), row(7, "info", "orders", "seven")];
    state.apply(Event::Followed { number, rows, skipped: 0 });
    answered(&mut state, records());
    assert_eq!(state.list.rows().len(), 7);
    assert_eq!(state.list.selected().map(|row| row.text("message")), Some("seven"));
    let requests = press(&mut state, KeyCode::Char('e'));
    assert_eq!(requests[0], Request::Unfollow);
    press(&mut state, KeyCode::Char('f'));
    let (number, reason) = (state.number, "no".to_owned());
    state.apply(Event::FollowLost { number, reason, refused: true });
    assert!(!state.following);
}

#[test]
fn names_and_values_are_completed_when_they_are_known() {
    let mut state = loaded();
    press(&mut state, KeyCode::Char('/'));
    write(&mut state, " se");
    assert!(matches!(&press(&mut state, KeyCode::Tab)[..], [Request::Fields(_)]));
    let names = ["service", "severity", "host"].map(str::to_owned).to_vec();
    state.apply(Event::Fields(Ok(names)));
    assert_eq!(state.offer.as_ref().map(|offer| offer.candidates.len()), Some(2));
    insta::assert_snapshot!(screen(&mut state, 60, 8));
    press(&mut state, KeyCode::Tab);
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.line.text(), "service:orders severity:");
    write(&mut state, "e");
    let requests = press(&mut state, KeyCode::Tab);
    assert!(
        matches!(&requests[..], [Request::Values { question, .. }] if question.query == "* | top 20 severity")
    );
    let answer = Ok(vec!["info".to_owned(), "error".to_owned()]);
    state.apply(Event::Values { field: "severity".into(), answer });
    assert_eq!(state.line.text(), "service:orders severity:error ");
    write(&mut state, "| timec");
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.line.text(), "service:orders severity:error | timechart ");
}

fn any_event() -> impl Strategy<Value = Option<KeyEvent>> {
    let keys = prop::sample::select(vec![
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::Backspace,
        KeyCode::Delete,
    ]);
    let characters =
        prop::sample::select("/?jkgGctfe[]+-qr :|\"(*日e\u{301}".chars().collect::<Vec<_>>());
    let code = prop_oneof![keys, characters.prop_map(KeyCode::Char)];
    let modifiers = prop_oneof![5 => Just(KeyModifiers::NONE), 1 => Just(KeyModifiers::CONTROL)];
    // `None` is the answer to what was asked last.
    prop_oneof![
        1 => Just(None),
        6 => (code, modifiers).prop_map(|(code, modifiers)| Some(KeyEvent::new(code, modifiers))),
    ]
}

fn answer(request: Request) -> Option<Event> {
    Some(match request {
        Request::Page { number, place, .. } => {
            let page = Page { rows: records(), next: Some("5,1".into()), ..Page::default() };
            Event::Page { number, place, answer: Ok(page) }
        }
        Request::Chart { number, .. } => Event::Chart { number, answer: Ok(chart()) },
        Request::Follow { number, .. } => Event::Followed { number, rows: records(), skipped: 1 },
        Request::Fields(_) => Event::Fields(Ok(vec!["service".into(), "日本".into()])),
        Request::Values { field, .. } => {
            Event::Values { field, answer: Ok(vec!["error".into(), "\"e 日\"".into()]) }
        }
        Request::Unfollow | Request::Leave => return None,
    })
}

proptest! {
    #[test]
    fn no_keys_on_no_screen_make_it_panic(
        events in prop::collection::vec((any_event(), 1..130_u16, 1..40_u16), 1..60),
    ) {
        let mut state = State::new("*", Range::Last(900 * SECOND), NOW);
        let mut asked = state.begin();
        for (event, width, height) in events {
            state.now += SECOND / 3;
            match event {
                Some(key) => asked.extend(state.apply(Event::Key(key))),
                None => {
                    for event in std::mem::take(&mut asked).into_iter().filter_map(answer) {
                        asked.extend(state.apply(event));
                    }
                }
            }
            asked.extend(state.apply(Event::Tick));
            screen(&mut state, width, height);
            let rows = state.list.rows().len();
            prop_assert!(state.list.selected < rows.max(1));
            prop_assert!(state.number > 0);
        }
    }
}
