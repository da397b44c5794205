//! Draws all fields of the selected record, one below the other; long values and those of several lines are shown whole.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::draw::printable;
use super::row::Row;
use super::state::{Focus, State};

const NAME_WIDTH_MAX: usize = 24;
/// Narrower values go below their names.
const VALUE_WIDTH_MIN: usize = 12;
/// Lines of one value that are shown.
const LINES_MAX: usize = 1_000;

pub(super) fn draw(state: &mut State, frame: &mut Frame<'_>, area: Rect) {
    let shown = state.list.selected().map(Row::shown).unwrap_or_default();
    state.field = state.field.min(shown.len().saturating_sub(1));
    let width = usize::from(area.width);
    let names = shown.iter().map(|field| printable(&field.name).width()).max().unwrap_or(0);
    let names = names.min(NAME_WIDTH_MAX);
    let beside = width >= names + 2 + VALUE_WIDTH_MIN;
    let indent = if beside { names + 2 } else { 2 };
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut selected_at = 0..0;
    for (index, field) in shown.iter().enumerate() {
        let begin = lines.len();
        let mut name = Style::new().fg(Color::Cyan);
        if state.focus == Focus::Detail && index == state.field {
            name = name.add_modifier(Modifier::REVERSED);
        }
        let written = printable(&field.name);
        let padding = " ".repeat(indent.saturating_sub(written.width()).max(1));
        let mut values = wrapped(&field.value, width.saturating_sub(indent)).into_iter();
        let mut first = vec![Span::styled(written.clone(), name)];
        if beside && written.width() <= names {
            first.extend([Span::raw(padding), Span::raw(values.next().unwrap_or_default())]);
        }
        lines.push(Line::from(first));
        let indented = |value: String| Line::from(format!("{:indent$}{value}", ""));
        lines.extend(values.map(indented));
        if index == state.field {
            selected_at = begin..lines.len();
        }
    }
    let height = usize::from(area.height);
    // The selected field is on the screen, its beginning before its end.
    let skipped = selected_at.end.saturating_sub(height).min(selected_at.start);
    let skipped = if state.focus == Focus::Detail { skipped } else { 0 };
    for (line, y) in lines.into_iter().skip(skipped).zip(area.rows()) {
        frame.render_widget(line, y);
    }
}

/// A value in lines that fit; its own lines stay lines.
fn wrapped(value: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in value.lines() {
        let line = printable(line);
        let (mut text, mut used) = (String::new(), 0);
        for grapheme in line.graphemes(true) {
            let wide = grapheme.width();
            if used + wide > width && !text.is_empty() {
                lines.push(std::mem::take(&mut text));
                used = 0;
            }
            if lines.len() >= LINES_MAX {
                lines.push("…".into());
                return lines;
            }
            text.push_str(grapheme);
            used += wide;
        }
        lines.push(text);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_wrapped_by_their_width_on_the_screen() {
        assert_eq!(wrapped("abcdef\ng", 4), ["abcd", "ef", "g"]);
        assert_eq!(wrapped("日本語", 5), ["日本", "語"]);
        assert_eq!(wrapped("日本", 1), ["日", "本"]);
        assert!(wrapped("", 5).is_empty());
        assert_eq!(wrapped(&"a".repeat(5_000), 0).len(), LINES_MAX + 1);
    }
}
