//! Draws the state on a screen of any size.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};
use unicode_width::UnicodeWidthStr;

use super::event::Level;
use super::histogram::{self, level_style};
use super::keys::HELP;
use super::range::{clock, minute};
use super::row::{Row, plain};
use super::state::{Focus, State, Status};
use super::{complete, fields};
use crate::output;

const PROMPT: &str = "› ";
const SPINNER: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];
const FAULT_ROWS_MAX: usize = 6;
const HISTOGRAM_ROWS: u16 = 5;
/// Lower screens have no histogram.
const HEIGHT_WITH_HISTOGRAM: u16 = 14;
/// On wider screens the detail stands beside the list.
const WIDTH_WITH_DETAIL: u16 = 100;
/// Narrower lists leave out what can be missed.
const NARROW: u16 = 60;
const VERY_NARROW: u16 = 32;
const SERVICE_WIDTH_MAX: usize = 14;
const COLUMN_WIDTH_MAX: usize = 40;
const OFFERS_SHOWN: usize = 10;
/// Characters of a message that are looked at for one row.
const ROW_CHARACTERS_MAX: usize = 1_000;

pub(super) fn draw(state: &mut State, frame: &mut Frame<'_>) {
    let area = frame.area();
    let fault: Vec<&str> = state.fault.iter().flat_map(|fault| fault.lines()).collect();
    let fault_rows = fault.len().min(FAULT_ROWS_MAX) as u16;
    let with_histogram = area.height >= HEIGHT_WITH_HISTOGRAM;
    let [line, below_line, chart, body, status] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(fault_rows.min(area.height.saturating_sub(3))),
        Constraint::Length(if with_histogram { HISTOGRAM_ROWS } else { 0 }),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    for (text, row) in fault.iter().zip(below_line.rows()) {
        let text = printable(text).into_owned();
        frame.render_widget(Line::styled(text, Style::new().fg(Color::Red)), row);
    }
    if with_histogram {
        histogram::draw(state, frame, chart);
    }
    draw_body(state, frame, body);
    draw_status(state, frame, status);
    draw_line(state, frame, line);
    draw_offer(state, frame, area);
    if state.keys {
        draw_keys(frame, area);
    }
}

fn draw_line(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let spinner = if state.busy() { SPINNER[state.ticks % SPINNER.len()] } else { " " };
    let range = format!("{} {spinner}", state.search.range.text());
    let range_width = if area.width >= NARROW { range.width() as u16 + 1 } else { 0 };
    let [prompt, text, right] = Layout::horizontal([
        Constraint::Length(PROMPT.width() as u16),
        Constraint::Min(1),
        Constraint::Length(range_width),
    ])
    .areas(area);
    let editing = state.focus == Focus::Query;
    let mut style = Style::new().fg(Color::Cyan);
    if editing {
        style = style.add_modifier(Modifier::BOLD);
    }
    frame.render_widget(Line::styled(PROMPT, style), prompt);
    // The cursor is always on the screen, also where the text is longer than the line.
    let cursor = state.line.before().width();
    let skipped = (cursor + 1).saturating_sub(usize::from(text.width));
    let skipped = u16::try_from(skipped).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(state.line.text()).scroll((0, skipped)), text);
    frame.render_widget(Line::from(range).right_aligned().dim(), right);
    if editing && text.width > 0 {
        let x = u16::try_from(cursor).unwrap_or(u16::MAX) - skipped;
        frame.set_cursor_position((text.x + x.min(text.width - 1), text.y));
    }
}

fn draw_body(state: &mut State, frame: &mut Frame<'_>, area: Rect) {
    if !state.detail || state.list.selected().is_none() {
        return draw_list(state, frame, area);
    }
    let (list, detail, border) = if area.width >= WIDTH_WITH_DETAIL {
        let parts = [Constraint::Percentage(55), Constraint::Percentage(45)];
        let [list, detail] = Layout::horizontal(parts).areas(area);
        (list, detail, Borders::LEFT)
    } else {
        let parts = [Constraint::Percentage(40), Constraint::Percentage(60)];
        let [list, detail] = Layout::vertical(parts).areas(area);
        (list, detail, Borders::TOP)
    };
    draw_list(state, frame, list);
    let mut style = Style::new();
    if state.focus != Focus::Detail {
        style = style.add_modifier(Modifier::DIM);
    }
    let block = Block::new().borders(border).border_style(style);
    let inner = block.inner(detail);
    frame.render_widget(block, detail);
    fields::draw(state, frame, inner);
}

fn draw_list(state: &mut State, frame: &mut Frame<'_>, area: Rect) {
    if state.list.rows().is_empty() {
        state.rows_shown = usize::from(area.height);
        let said = if state.loading { "" } else { "nothing found" };
        frame.render_widget(Line::from(said).dim(), area);
        return;
    }
    let of_stages = state.list.selected().is_some_and(|row| !row.is_record());
    let [header, area] =
        Layout::vertical([Constraint::Length(u16::from(of_stages)), Constraint::Min(0)])
            .areas(area);
    let height = usize::from(area.height);
    state.rows_shown = height;
    // The selected row is on the screen.
    let selected = state.list.selected;
    let lowest = (selected + 1).saturating_sub(height);
    let last = state.list.rows().len().saturating_sub(height);
    state.list.top = state.list.top.clamp(lowest, selected.max(lowest)).min(last.max(lowest));
    let shown: Vec<&Row> = state.list.rows().iter().skip(state.list.top).take(height).collect();
    let lines: Vec<Line<'_>> = if of_stages {
        let (names, lines) = table(&shown);
        frame.render_widget(Line::styled(names, Style::new().fg(Color::Cyan)), header);
        lines
    } else {
        let service = shown.iter().map(|row| row.text("service").width()).max().unwrap_or(0);
        let service = service.min(SERVICE_WIDTH_MAX);
        let days = state.search.range.has_days();
        shown.iter().map(|row| record(row, area.width, service, days)).collect()
    };
    for (index, (line, row)) in lines.into_iter().zip(area.rows()).enumerate() {
        frame.render_widget(line, row);
        if state.list.top + index == selected {
            let shown =
                if state.focus == Focus::List { Modifier::REVERSED } else { Modifier::BOLD };
            frame.buffer_mut().set_style(row, Style::new().add_modifier(shown));
        }
    }
}

/// A record in one row; what a narrow screen has no room for is left out.
fn record(row: &Row, width: u16, service_width: usize, days: bool) -> Line<'static> {
    let time = match row.time() {
        Some(time) if width < NARROW => clock(time)[..8].to_owned(),
        Some(time) if days => format!("{}{}", &minute(time)[..6], clock(time)),
        Some(time) => clock(time),
        None => String::new(),
    };
    let severity = row.text("severity");
    let level = severity.to_uppercase();
    let level =
        if width < NARROW { level.chars().take(1).collect() } else { format!("{level:<5}") };
    let mut spans = vec![
        Span::styled(format!("{time} "), Style::new().add_modifier(Modifier::DIM)),
        Span::styled(format!("{level} "), level_style(Level::of(severity))),
    ];
    if width >= VERY_NARROW && service_width > 0 {
        let service = fitted(row.text("service"), service_width);
        spans.push(Span::styled(format!("{service} "), Style::new().fg(Color::Cyan)));
    }
    let message = row.text("message").lines().next().unwrap_or_default();
    let shown: String = message.chars().take(ROW_CHARACTERS_MAX).collect();
    spans.push(Span::raw(printable(&shown).into_owned()));
    Line::from(spans)
}

/// Rows of stages with their columns aligned.
fn table(rows: &[&Row]) -> (String, Vec<Line<'static>>) {
    let names: Vec<&str> = rows
        .first()
        .map_or_else(Vec::new, |row| row.members().iter().map(|(name, _)| name.as_str()).collect());
    let cell = |row: &Row, name: &str| {
        let text: String =
            row.get(name).map(plain).unwrap_or_default().chars().take(ROW_CHARACTERS_MAX).collect();
        printable(&text).into_owned()
    };
    let widths: Vec<usize> = names
        .iter()
        .map(|name| {
            let widest = rows.iter().map(|row| cell(row, name).width()).max().unwrap_or(0);
            widest.max(name.width()).min(COLUMN_WIDTH_MAX)
        })
        .collect();
    let header: Vec<String> =
        names.iter().zip(&widths).map(|(name, width)| fitted(name, *width)).collect();
    let lines = rows.iter().map(|row| {
        let cells = names.iter().zip(&widths).map(|(name, width)| {
            let text = fitted(&cell(row, name), *width);
            match row.get(name).is_some_and(serde_json::Value::is_number) {
                true => format!("{:>width$}", text.trim_end()),
                false => text,
            }
        });
        Line::from(cells.collect::<Vec<_>>().join("  "))
    });
    (header.join("  "), lines.collect())
}

fn draw_status(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let rows = state.list.rows().len();
    let place = match rows {
        0 => String::new(),
        _ => {
            let dropped = state.list.dropped();
            let more = if state.list.next().is_some() { "+" } else { "" };
            format!("{}/{}{more}", dropped + state.list.selected + 1, dropped + rows)
        }
    };
    let follow = if state.following { "FOLLOW  " } else { "" };
    let right = format!("{follow}{place}  ? keys");
    let right_width = if area.width >= VERY_NARROW { right.width() as u16 + 1 } else { 0 };
    let [left, place] =
        Layout::horizontal([Constraint::Min(1), Constraint::Length(right_width)]).areas(area);
    let (text, style) = match &state.status {
        Status::Said(text) => (text, Style::new().add_modifier(Modifier::DIM)),
        Status::Failed(text) => (text, Style::new().fg(Color::Red)),
    };
    let text = text.lines().next().unwrap_or_default();
    frame.render_widget(Line::styled(printable(text).into_owned(), style), left);
    frame.render_widget(Line::from(right).right_aligned().dim(), place);
}

/// What can be put in, below the place where it would stand.
fn draw_offer(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let Some(complete::Offer { start, candidates, chosen }) = &state.offer else { return };
    let chosen = chosen.unwrap_or(0);
    let first = (chosen + 1).saturating_sub(OFFERS_SHOWN);
    let shown: Vec<&String> = candidates.iter().skip(first).take(OFFERS_SHOWN).collect();
    let widest = shown.iter().map(|text| text.width()).max().unwrap_or(0) as u16 + 2;
    let before = state.line.text().get(..*start).unwrap_or_default().width() as u16;
    let x = (before + PROMPT.width() as u16).min(area.width.saturating_sub(widest));
    let popup = Rect::new(area.x + x, area.y + 1, widest, shown.len() as u16).intersection(area);
    frame.render_widget(Clear, popup);
    for (index, (text, row)) in shown.into_iter().zip(popup.rows()).enumerate() {
        let mut style = Style::new().bg(Color::DarkGray).fg(Color::White);
        if state.offer.as_ref().is_some_and(|offer| offer.chosen == Some(first + index)) {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let text = printable(text);
        let text = fitted(&text, usize::from(widest.saturating_sub(2)));
        frame.render_widget(Line::styled(format!(" {text} "), style), row);
    }
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect) {
    let keys = HELP.iter().map(|(key, _)| key.width()).max().unwrap_or(0);
    let width = HELP.iter().map(|(_, what)| keys + 2 + what.width()).max().unwrap_or(0) + 4;
    let (width, height) = (width.min(usize::from(area.width)) as u16, HELP.len() as u16 + 2);
    let height = height.min(area.height);
    let page = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    frame.render_widget(Clear, page);
    let block = Block::bordered().title(" keys ");
    let inner = block.inner(page);
    frame.render_widget(block, page);
    for ((key, what), row) in HELP.iter().zip(inner.rows()) {
        let key = Span::styled(format!(" {} ", fitted(key, keys)), Style::new().fg(Color::Cyan));
        frame.render_widget(Line::from(vec![key, Span::raw(*what)]), row);
    }
}

/// A text as it can be put on a screen: what would move the cursor or turn the direction of writing is shown as a dot.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|character| match character {
        '\t' => ' ',
        other if harmful(other) => '·',
        other => other,
    });
    Cow::Owned(shown.collect())
}

/// A text of exactly this width: shortened with `…`, or padded.
fn fitted(text: &str, width: usize) -> String {
    output::fitted(&printable(text), width)
}
