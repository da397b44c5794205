//! The windows of all steps, cut into panes: no pane is partly in a window.
//!
//! ```text
//! windows   (────────────]             A line belongs to one pane, whatever the number of windows it is in; a window is
//!               (────────────]         the sum of its panes. There are twice as many panes as steps at most.
//! panes     └─0─┴──1─────┴─2─┘
//! ```

use super::Steps;

/// Panes by their borders: pane i reaches from border i, which is not in it, to border i + 1, which is.
#[derive(Debug)]
pub(super) struct Panes {
    borders: Vec<i64>,
    /// First pane and the one behind the last, of each step's window.
    windows: Vec<(usize, usize)>,
}

impl Panes {
    pub(super) fn new(steps: &Steps, range_ns: i64, offset_ns: i64) -> Self {
        let end = |time_ns: i64| time_ns.saturating_sub(offset_ns);
        let start = |time_ns: i64| end(time_ns).saturating_sub(range_ns);
        let mut borders: Vec<i64> =
            steps.times().flat_map(|time_ns| [start(time_ns), end(time_ns)]).collect();
        borders.sort_unstable();
        borders.dedup();
        let place = |border: i64| borders.partition_point(|one| *one < border);
        let windows = steps.times().map(|time_ns| (place(start(time_ns)), place(end(time_ns))));
        let windows = windows.collect();
        Self { borders, windows }
    }

    /// After which time the first window begins.
    pub(super) fn after_ns(&self) -> i64 {
        self.borders.first().copied().unwrap_or_default()
    }

    /// At which time the last window ends.
    pub(super) fn until_ns(&self) -> i64 {
        self.borders.last().copied().unwrap_or_default()
    }

    /// The pane of a time; `None` before the first and after the last.
    pub(super) fn of(&self, time_ns: i64) -> Option<usize> {
        let behind = self.borders.partition_point(|border| *border < time_ns);
        (behind > 0 && behind < self.borders.len()).then(|| behind - 1)
    }

    pub(super) fn windows(&self) -> &[(usize, usize)] {
        &self.windows
    }

    /// The sum of each window's panes, in time that does not grow with the length of windows. `panes` are those that have
    /// something, in order.
    ///
    /// Older panes are kept as sums from each up to the newest of the older ones, newer panes as one sum; when the older ones
    /// have all left the window, the newer ones become the older ones.
    pub(super) fn sums<T: Copy>(
        &self,
        panes: &[(usize, T)],
        add: impl Fn(T, T) -> T,
    ) -> Vec<Option<T>> {
        let mut older: Vec<(usize, T)> = Vec::new();
        let (mut newer, mut newer_from, mut next) = (None, 0, 0);
        let mut sums = Vec::with_capacity(self.windows.len());
        for (first, behind) in &self.windows {
            while let Some((_, value)) = panes.get(next).filter(|(pane, _)| pane < behind) {
                newer = Some(newer.map_or(*value, |sum| add(sum, *value)));
                next += 1;
            }
            while older.last().is_some_and(|(pane, _)| pane < first) {
                older.pop();
            }
            if older.is_empty() {
                let mut sum = None;
                for (pane, value) in
                    panes[newer_from..next].iter().rev().take_while(|(pane, _)| pane >= first)
                {
                    let with = sum.map_or(*value, |sum| add(*value, sum));
                    older.push((*pane, with));
                    sum = Some(with);
                }
                (newer, newer_from) = (None, next);
            }
            sums.push(match (older.last(), newer) {
                (Some((_, older)), Some(newer)) => Some(add(*older, newer)),
                (Some((_, older)), None) => Some(*older),
                (None, newer) => newer,
            });
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_begins_behind_its_start_and_has_its_end() {
        let steps = Steps::range(100, 120, 10).unwrap();
        let panes = Panes::new(&steps, 15, 0);
        assert_eq!((panes.after_ns(), panes.until_ns()), (85, 120));
        assert_eq!(panes.of(85), None);
        assert_eq!(panes.of(121), None);
        let (first, behind) = panes.windows()[0];
        let is_in = |time| (first..behind).contains(&panes.of(time).unwrap());
        assert!(is_in(86) && is_in(95) && is_in(96) && is_in(100) && !is_in(101));
    }

    proptest! {
        #[test]
        fn sums_of_panes_are_sums_of_windows(
            times in prop::collection::vec(0i64..300, 0..60),
            range in 1i64..120,
            step in 1i64..50,
            offset in -50i64..50,
        ) {
            let steps = Steps::range(40, 260, step).unwrap();
            let panes = Panes::new(&steps, range, offset);
            let mut counts = std::collections::BTreeMap::new();
            for time in &times {
                if let Some(pane) = panes.of(*time) {
                    *counts.entry(pane).or_insert(0) += 1;
                }
            }
            let counts: Vec<_> = counts.into_iter().collect();
            let sums = panes.sums(&counts, |left, right| left + right);
            for (time, sum) in steps.times().zip(sums) {
                let end = time - offset;
                let expected = times.iter().filter(|one| **one > end - range && **one <= end).count();
                prop_assert_eq!(sum.unwrap_or(0), expected);
            }
        }
    }
}
