//! Draws how many records there are by time; a bin has the colour of its worst level.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Sparkline, SparklineBar};

use super::event::{Bin, Chart, Level};
use super::range::{clock, minute};
use super::state::State;

pub(super) fn draw(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let [bars, axis] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(area);
    let dim = Style::new().add_modifier(Modifier::DIM);
    let chart = state.chart.as_ref().filter(|chart| !chart.bins.is_empty());
    let (Some(chart), true) = (chart, bars.width > 0) else {
        let said = if state.charting { "" } else { "no records in this time range" };
        frame.render_widget(Line::styled(said, dim), axis);
        return;
    };
    let columns = columns(chart, usize::from(bars.width));
    let most = columns.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    let data = columns.iter().map(|bin| {
        // What is there at all can be seen.
        let least = most.div_ceil(8 * u64::from(bars.height.max(1)));
        let shown = if bin.count > 0 { bin.count.max(least) } else { 0 };
        SparklineBar::from(Some(shown)).style(Some(level_style(bin.worst)))
    });
    frame.render_widget(Sparkline::default().data(data).max(most), bars);

    let total: u64 = chart.bins.iter().map(|bin| bin.count).sum();
    let time = |nanos: i64| match state.search.range.has_days() {
        true => minute(nanos),
        false => clock(nanos)[..8].to_owned(),
    };
    let (first, last) = (&chart.bins[0], &chart.bins[chart.bins.len() - 1]);
    let from = time(first.time);
    let until = format!("{} UTC", time(last.time));
    let middle = format!("{total} records, at most {most} a bar");
    let width = usize::from(axis.width);
    let gap = width.saturating_sub(from.len() + middle.len() + until.len());
    let text = match gap {
        0..4 => format!("{from} {middle}"),
        _ => format!(
            "{from}{:left$}{middle}{:right$}{until}",
            "",
            "",
            left = gap / 2,
            right = gap - gap / 2
        ),
    };
    frame.render_widget(Line::styled(text, dim), axis);
}

/// The bins as columns of the screen: wider where there is room, some together where there is none.
fn columns(chart: &Chart, width: usize) -> Vec<Bin> {
    let bins = &chart.bins;
    let together = bins.len().div_ceil(width.max(1)).max(1);
    let merged = bins.chunks(together).map(|bins| Bin {
        time: bins[0].time,
        count: bins.iter().map(|bin| bin.count).sum(),
        worst: bins.iter().map(|bin| bin.worst).max().unwrap_or_default(),
    });
    let merged: Vec<Bin> = merged.collect();
    (0..width)
        .filter_map(|column| merged.get(column * merged.len() / width.max(1)))
        .copied()
        .collect()
}

pub(super) fn level_style(level: Level) -> Style {
    match level {
        Level::Fatal => Style::new().fg(Color::Magenta).add_modifier(Modifier::BOLD),
        Level::Error => Style::new().fg(Color::Red),
        Level::Warn => Style::new().fg(Color::Yellow),
        Level::Info => Style::new().fg(Color::Green),
        Level::Debug | Level::Trace => Style::new().fg(Color::Blue),
        Level::Unknown => Style::new().fg(Color::Gray),
    }
}
