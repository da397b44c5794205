//! The rows that are held of an answer: a window over it, of at most [`KEPT_MAX`] rows.
//!
//! ```text
//! above   cuts: where dropped blocks began, to load them again
//! rows    held, newest first; `selected` is one of them
//! next    where the answer goes on below
//! ```
//!
//! What must hold: `selected` is a row if there is any; no row is held twice; what was dropped can be loaded again.

use std::collections::{BTreeSet, VecDeque};

use query::Cursor;

use super::row::Row;

/// Rows that are held.
pub(super) const KEPT_MAX: usize = 20_000;
/// Rows of a page.
pub(super) const PAGE_ROWS: usize = 500;
/// What a dropped block may have got in between since; more of it than this is not shown when it is loaded again.
const LATE_ROWS: usize = 100;

/// A block that was dropped at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    below: Cursor,
    rows: usize,
}

#[derive(Debug, Default)]
pub(super) struct List {
    rows: VecDeque<Row>,
    pub(super) selected: usize,
    /// The first row that is on the screen.
    pub(super) top: usize,
    above: Vec<Cut>,
    next: Option<String>,
}

impl List {
    pub(super) fn rows(&self) -> &VecDeque<Row> {
        &self.rows
    }

    pub(super) fn selected(&self) -> Option<&Row> {
        self.rows.get(self.selected)
    }

    pub(super) fn at_the_top(&self) -> bool {
        self.above.is_empty()
    }

    /// Rows that were dropped at the top.
    pub(super) fn dropped(&self) -> usize {
        self.above.iter().map(|cut| cut.rows).sum()
    }

    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// What to ask for to get back the block above: `below` and how many.
    pub(super) fn before(&self) -> Option<(String, usize)> {
        self.above.last().map(|cut| (cut.below.to_string(), cut.rows + LATE_ROWS))
    }

    /// Nothing more can be loaded; what is there stays on the screen until something else comes.
    pub(super) fn close(&mut self) {
        self.next = None;
        self.above.clear();
    }

    pub(super) fn replace(&mut self, rows: Vec<Row>, next: Option<String>) {
        *self = Self { rows: rows.into(), next, ..Self::default() };
        self.rows.truncate(KEPT_MAX);
    }

    pub(super) fn select(&mut self, cursor: Cursor) {
        let found = self.rows.iter().position(|row| row.cursor() == Some(cursor));
        self.selected = found.unwrap_or(self.selected);
    }

    /// Moves the selection; says whether it moved.
    pub(super) fn go(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    /// Takes a page from below; false if rows without places would have to be dropped for it, which stay.
    pub(super) fn append(&mut self, rows: Vec<Row>, next: Option<String>) -> bool {
        self.rows.extend(rows);
        self.next = next;
        while self.rows.len() > KEPT_MAX {
            let count = PAGE_ROWS.min(self.rows.len() - 1);
            let Some(first) = self.rows.front().and_then(Row::cursor) else {
                self.rows.truncate(KEPT_MAX);
                self.next = None;
                self.go(0);
                return false;
            };
            let below = Cursor { seq: first.seq.saturating_add(1), ..first };
            self.above.push(Cut { below, rows: count });
            self.rows.drain(..count);
            self.selected = self.selected.saturating_sub(count);
            self.top = self.top.saturating_sub(count);
        }
        true
    }

    /// Takes back the block that was dropped last.
    pub(super) fn prepend(&mut self, rows: Vec<Row>) {
        self.above.pop();
        let front = self.rows.front().and_then(Row::cursor);
        let above = |row: &Row| front.is_none_or(|front| row.cursor() > Some(front));
        let rows: Vec<Row> = rows.into_iter().filter(above).collect();
        let count = rows.len();
        rows.into_iter().rev().for_each(|row| self.rows.push_front(row));
        self.selected += count;
        self.top += count;
        self.drop_last();
    }

    /// Takes rows that are new, oldest first, on top.
    pub(super) fn push(&mut self, rows: Vec<Row>) {
        let held: BTreeSet<Cursor> = self.rows.iter().filter_map(Row::cursor).collect();
        let new = |row: &Row| row.cursor().is_none_or(|cursor| !held.contains(&cursor));
        let rows: Vec<Row> = rows.into_iter().filter(new).collect();
        let count = rows.len();
        rows.into_iter().for_each(|row| self.rows.push_front(row));
        // Who looks at the newest one goes on to do so; who looks at another one keeps it.
        if self.selected > 0 {
            self.selected += count;
            self.top += count;
        }
        self.drop_last();
    }

    fn drop_last(&mut self) {
        if self.rows.len() > KEPT_MAX {
            self.rows.truncate(KEPT_MAX);
            let last = self.rows.back().and_then(Row::cursor);
            self.next = last.map(|cursor| cursor.to_string());
        }
        self.go(0);
    }
}

#[cfg(test)]
mod tests {
    use record::Timestamp;

    use super::*;

    fn row(number: u64) -> Row {
        let time = Timestamp(number as i64 * 1_000_000);
        let line = format!("{{\"timestamp\":\"{time}\",\"record_seq\":{number}}}");
        Row::read(line.as_bytes()).unwrap()
    }

    /// Rows below this number, newest first, and where they go on.
    fn page(below: u64, count: u64) -> (Vec<Row>, Option<String>) {
        let first = below.saturating_sub(count);
        let rows: Vec<Row> = (first..below).rev().map(row).collect();
        let next = rows.last().and_then(Row::cursor).map(|cursor| cursor.to_string());
        (rows, next.filter(|_| first > 0))
    }

    fn below(text: &str) -> u64 {
        text.parse::<Cursor>().unwrap().seq
    }

    fn is_whole(list: &List) -> bool {
        let seqs: Vec<u64> =
            list.rows.iter().filter_map(Row::cursor).map(|cursor| cursor.seq).collect();
        list.rows.len() <= KEPT_MAX && seqs.windows(2).all(|pair| pair[0] == pair[1] + 1)
    }

    #[test]
    fn all_of_a_long_answer_can_be_seen_down_and_up_again_within_the_bound() {
        let mut list = List::default();
        let (rows, next) = page(50_000, 500);
        list.replace(rows, next);
        while let Some(next) = list.next().map(below) {
            list.go(500);
            let (rows, next) = page(next, 500);
            assert!(list.append(rows, next));
            assert!(is_whole(&list));
        }
        list.go(500);
        assert_eq!(list.selected().and_then(Row::cursor).map(|cursor| cursor.seq), Some(0));
        assert_eq!(list.dropped(), 30_000);
        while let Some((text, count)) = list.before() {
            list.go(-(list.selected as isize));
            let selected = list.selected().cloned();
            let (rows, _) = page(below(&text), count as u64);
            list.prepend(rows);
            assert_eq!(list.selected().cloned(), selected);
            assert!(is_whole(&list));
        }
        assert_eq!(list.rows.front().and_then(Row::cursor).map(|cursor| cursor.seq), Some(49_999));
        assert_eq!(list.next().map(below), Some(30_000));
    }

    #[test]
    fn what_is_followed_comes_on_top_once_and_keeps_what_is_looked_at() {
        let mut list = List::default();
        list.replace(page(10, 10).0, None);
        list.push(vec![row(9), row(10)]);
        assert_eq!((list.rows.len(), list.selected), (11, 0));
        list.go(3);
        let looked_at = list.selected().cloned();
        list.push(vec![row(11), row(12)]);
        assert_eq!(list.selected().cloned(), looked_at);
        list.push((13..30_000).map(row).collect());
        assert!(is_whole(&list));
        assert!(list.next().is_some());
    }

    #[test]
    fn rows_that_have_no_place_are_not_dropped_at_the_top() {
        let mut list = List::default();
        let plain = || Row::read(b"{\"count\":1}").unwrap();
        list.replace((0..KEPT_MAX).map(|_| plain()).collect(), Some("1,1".into()));
        assert!(!list.append(vec![plain()], Some("1,1".into())));
        assert_eq!((list.rows.len(), list.next()), (KEPT_MAX, None));
    }
}
