//! Bars: of a `timechart`, and beside the shares of `top` and `rare`.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::row::{Row, cell_text, printable};
use super::style::{BOLD, DIM, Style};
use super::table::{BAR_COLUMN, Table, shorten};

/// Columns where there is no terminal.
const WIDTH_DEFAULT: usize = 80;
/// A bar behind a number of a table or of one of many series.
const SMALL_BAR_WIDTH: usize = 8;
const SHARE_BAR_WIDTH: usize = 20;
/// Series that are drawn beside each other; more are a table.
const SERIES_MAX: usize = 12;
const SERIES_NAME_WIDTH_MAX: usize = 16;
/// Rows that are kept to be drawn; more are a table.
const ROWS_MAX: usize = 100_000;

/// What the last stage of a query makes, which decides how its rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By so many fields, whose columns stand behind the time.
    Timechart {
        series: usize,
    },
    Shares,
    Plain,
}

impl Kind {
    pub(super) fn of(query: &str) -> Self {
        let parsed = ql::parse(query).ok();
        let Some(last) = parsed.as_ref().and_then(|query| query.stages.last()) else {
            return Self::Plain;
        };
        match last.name.node.as_str() {
            "timechart" => {
                let mut arguments = ql::Arguments::new(last);
                // Only what stands behind them is of interest.
                let _ = (arguments.duration(), arguments.aggregates());
                let by = arguments.keyword("by").and_then(|_| arguments.fields().ok());
                Self::Timechart { series: by.map_or(0, |fields| fields.len()) }
            }
            "top" | "rare" => Self::Shares,
            _ => Self::Plain,
        }
    }
}

/// The rows of a timechart, until the last one has come.
#[derive(Debug)]
pub(super) struct Chart {
    style: Style,
    rows: Vec<Row>,
    /// What too many rows for a chart become.
    table: Option<Table>,
}

/// The rows of each bin by the number of their series, as the bins came.
type Bins<'r> = Vec<(String, BTreeMap<usize, &'r Row>)>;

impl Chart {
    pub(super) fn new(style: Style) -> Self {
        Self { style, rows: Vec::new(), table: None }
    }

    pub(super) fn row(&mut self, row: Row, out: &mut impl Write) -> io::Result<()> {
        if let Some(table) = &mut self.table {
            return table.row(row, out);
        }
        self.rows.push(row);
        if self.rows.len() <= ROWS_MAX {
            return Ok(());
        }
        let table = self.table.insert(Table::new(self.style));
        std::mem::take(&mut self.rows).into_iter().try_for_each(|row| table.row(row, out))
    }

    pub(super) fn finish(&mut self, series: usize, out: &mut impl Write) -> io::Result<()> {
        if let Some(table) = &mut self.table {
            return table.finish(out);
        }
        let rows = std::mem::take(&mut self.rows);
        let columns = rows.first().and_then(|row| Columns::of(row, series));
        let Some(columns) = columns.filter(|columns| columns.fit(&rows)) else {
            return self.as_table(rows, out);
        };
        let mut names: Vec<String> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut bins: Bins<'_> = Vec::new();
        for row in &rows {
            let time = row.text("timestamp");
            let place = *places.entry(time).or_insert_with(|| {
                bins.push((time.to_owned(), BTreeMap::new()));
                bins.len() - 1
            });
            let name = columns.series_of(row);
            let number = *numbers.entry(name.clone()).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            });
            if bins[place].1.insert(number, row).is_some() {
                // No chart has two rows at one place, and none may be lost.
                return self.as_table(rows, out);
            }
        }
        let drawn = match names.len() {
            1 => self.one(&columns, &bins, out)?,
            2..=SERIES_MAX if columns.values.len() == 1 => {
                self.many(&columns, &names, &bins, out)?
            }
            _ => false,
        };
        if drawn { Ok(()) } else { self.as_table_with_bars(&columns, rows, out) }
    }

    fn as_table(&self, rows: Vec<Row>, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(self.style);
        rows.into_iter().try_for_each(|row| table.row(row, out))?;
        table.finish(out)
    }

    /// A row for each bin and series, with a bar behind what was computed first.
    fn as_table_with_bars(
        &self,
        columns: &Columns,
        mut rows: Vec<Row>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let most = rows.iter().map(|row| number(row, &columns.values[0])).fold(0.0, f64::max);
        for row in &mut rows {
            let bar = self.bar(number(row, &columns.values[0]), most, SMALL_BAR_WIDTH);
            let behind = (columns.series.len() + 2).min(row.0.len());
            row.0.insert(behind, (BAR_COLUMN.to_owned(), bar.into()));
        }
        self.as_table(rows, out)
    }

    /// A bar for each bin, and behind it what else was computed.
    fn one(&self, columns: &Columns, bins: &Bins<'_>, out: &mut impl Write) -> io::Result<bool> {
        let rows: Vec<(&String, &Row)> =
            bins.iter().filter_map(|(bin, rows)| Some((bin, *rows.values().next()?))).collect();
        let texts: Vec<Vec<String>> = rows
            .iter()
            .map(|(_, row)| columns.values.iter().map(|name| text(row, name)).collect())
            .collect();
        let widths: Vec<usize> = columns
            .values
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let widest = texts.iter().map(|row| row[index].width()).max().unwrap_or(0);
                widest.max(name.width())
            })
            .collect();
        let times = bin_labels(bins.iter().map(|(bin, _)| bin));
        let time_width = times.iter().map(|time| time.width()).max().unwrap_or(0);
        let used = time_width + 2 + widths.iter().map(|width| width + 2).sum::<usize>();
        let bar_width = self.style.width.unwrap_or(WIDTH_DEFAULT).saturating_sub(used + 1).max(4);
        let most = rows.iter().map(|(_, row)| number(row, &columns.values[0])).fold(0.0, f64::max);
        let mut header = " ".repeat(time_width);
        for (name, width) in columns.values.iter().zip(&widths) {
            header += &format!("  {:>width$}", printable(name));
        }
        writeln!(out, "{}", self.style.paint(BOLD, &header))?;
        for ((time, (_, row)), cells) in times.iter().zip(&rows).zip(&texts) {
            let mut line = self.style.paint(DIM, time).into_owned();
            line += &" ".repeat(time_width - time.width());
            for (cell, width) in cells.iter().zip(&widths) {
                line += &format!("  {}{cell}", " ".repeat(width.saturating_sub(cell.width())));
            }
            line += "  ";
            line += &match is_nothing(row.get(&columns.values[0])) {
                true => self.empty().to_owned(),
                false => self.bar(number(row, &columns.values[0]), most, bar_width),
            };
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(true)
    }

    /// A line a bin, with a number and a small bar for each series; `false` if the terminal is too narrow for them.
    fn many(
        &self,
        columns: &Columns,
        series: &[String],
        bins: &Bins<'_>,
        out: &mut impl Write,
    ) -> io::Result<bool> {
        let value = &columns.values[0];
        let times = bin_labels(bins.iter().map(|(bin, _)| bin));
        let time_width = times.iter().map(|time| time.width()).max().unwrap_or(0);
        let most: f64 = bins
            .iter()
            .flat_map(|(_, rows)| rows.values())
            .map(|row| number(row, value))
            .fold(0.0, f64::max);
        let names: Vec<String> = series
            .iter()
            .map(|name| match name.width() > SERIES_NAME_WIDTH_MAX {
                true => shorten(name, SERIES_NAME_WIDTH_MAX),
                false => name.clone(),
            })
            .collect();
        let widths: Vec<usize> = names
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let cells = bins.iter().filter_map(|(_, rows)| rows.get(&number));
                let widest = cells.map(|row| text(row, value).width()).max().unwrap_or(1);
                widest.max(name.width().saturating_sub(SMALL_BAR_WIDTH + 1))
            })
            .collect();
        let cells: usize = widths.iter().map(|width| width + 3 + SMALL_BAR_WIDTH).sum();
        if self.style.width.is_some_and(|width| time_width + cells > width) {
            return Ok(false);
        }
        let mut header = " ".repeat(time_width);
        for (name, width) in names.iter().zip(&widths) {
            let cell = width + 1 + SMALL_BAR_WIDTH;
            header += &format!("  {name}{}", " ".repeat(cell.saturating_sub(name.width())));
        }
        writeln!(out, "{}", self.style.paint(BOLD, header.trim_end()))?;
        for (time, rows) in times.iter().zip(bins.iter().map(|(_, rows)| rows)) {
            let mut line = self.style.paint(DIM, time).into_owned();
            line += &" ".repeat(time_width - time.width());
            for (number_of_series, width) in widths.iter().enumerate() {
                let row = rows.get(&number_of_series);
                let amount = row.map_or(0.0, |row| number(row, value));
                let cell = match row.filter(|row| !is_nothing(row.get(value))) {
                    Some(row) => text(row, value),
                    None => self.empty().to_owned(),
                };
                let bar = self.bar(amount, most, SMALL_BAR_WIDTH);
                let padding = " ".repeat(SMALL_BAR_WIDTH.saturating_sub(bar.width()));
                line += &format!(
                    "  {}{cell} {bar}{padding}",
                    " ".repeat(width.saturating_sub(cell.width()))
                );
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(true)
    }

    fn empty(&self) -> &'static str {
        if self.style.unicode { "·" } else { "." }
    }

    fn bar(&self, value: f64, most: f64, width: usize) -> String {
        bar(value, most, width, self.style.unicode)
    }
}

/// A row of `top` or `rare` with a bar behind it.
pub(super) fn with_share(mut row: Row, style: Style) -> Row {
    let percent = row.get("percent").and_then(Value::as_f64).unwrap_or_default();
    row.0.push((BAR_COLUMN.to_owned(), bar(percent, 100.0, SHARE_BAR_WIDTH, style.unicode).into()));
    row
}

/// The columns of a timechart: the time, what tells series apart, and what was computed.
struct Columns {
    series: Vec<String>,
    values: Vec<String>,
}

impl Columns {
    /// `None` for rows that are no timechart any more.
    fn of(row: &Row, series: usize) -> Option<Self> {
        let mut names = row.0.iter().map(|(name, _)| name.clone());
        if names.next()? != "timestamp" {
            return None;
        }
        let series = names.by_ref().take(series).collect();
        let values: Vec<String> = names.collect();
        (!values.is_empty()).then_some(Self { series, values })
    }

    /// Whether what was computed first can be drawn.
    fn fit(&self, rows: &[Row]) -> bool {
        rows.iter().all(|row| {
            let value = row.get(&self.values[0]);
            row.get("timestamp").is_some_and(Value::is_string)
                && value.is_none_or(|value| value.is_number() || value.is_null())
        })
    }

    fn series_of(&self, row: &Row) -> String {
        let values = self.series.iter().map(|name| text(row, name));
        values
            .map(|value| if value.is_empty() { "-".to_owned() } else { value })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn text(row: &Row, name: &str) -> String {
    row.get(name).map_or_else(String::new, cell_text)
}

/// Whether a bin has nothing to show.
fn is_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_f64() == Some(0.0))
}

fn number(row: &Row, name: &str) -> f64 {
    row.get(name).and_then(Value::as_f64).unwrap_or_default().max(0.0)
}

/// A bar of eighths of a character, or of `#`.
fn bar(value: f64, most: f64, width: usize, unicode: bool) -> String {
    if most <= 0.0 || value <= 0.0 {
        return String::new();
    }
    let share = (value / most).clamp(0.0, 1.0);
    if !unicode {
        return "#".repeat(((share * width as f64).round() as usize).max(1));
    }
    let eighths = ((share * width as f64 * 8.0).round() as usize).max(1);
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{rest}", "█".repeat(eighths / 8))
}

/// Times of bins without what all of them have in common behind: seconds, minutes, hours that are zero.
fn bin_labels<'a>(bins: impl Iterator<Item = &'a String> + Clone) -> Vec<String> {
    let all = |ending: &str| bins.clone().all(|bin| bin.ends_with(ending));
    let (cut, zone) = if all("T00:00:00Z") {
        ("T00:00:00Z".len(), "")
    } else if all(":00Z") {
        (":00Z".len(), "Z")
    } else {
        (0, "")
    };
    bins.map(|bin| format!("{}{zone}", printable(&bin[..bin.len() - cut]))).collect()
}
