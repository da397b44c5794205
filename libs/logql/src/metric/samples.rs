//! What is known of the samples of a pane or a window, in sums that can be added.

/// Sums of samples. Two can be added in any order; only [`Samples::growth`] means nothing then, which wants them in
/// the order of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) mean: f64,
    /// Sum of the squared distances from the mean.
    pub(super) squares: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Time and value.
    pub(super) first: (i64, f64),
    /// Time and value.
    pub(super) last: (i64, f64),
    /// How much a counter has grown, its restarts taken into account.
    growth: f64,
}

impl Samples {
    /// So many samples of one time and value.
    pub(super) fn alike(time_ns: i64, value: f64, count: u64) -> Self {
        let at = (time_ns, value);
        let count = count as f64;
        Self {
            count,
            sum: value * count,
            mean: value,
            squares: 0.0,
            min: value,
            max: value,
            first: at,
            last: at,
            growth: 0.0,
        }
    }

    pub(super) fn add(self, later: Self) -> Self {
        let count = self.count + later.count;
        let distance = later.mean - self.mean;
        let grown = match later.first.1 >= self.last.1 {
            true => later.first.1 - self.last.1,
            // It began again at 0.
            false => later.first.1,
        };
        Self {
            count,
            sum: self.sum + later.sum,
            mean: self.mean + distance * later.count / count,
            squares: self.squares
                + later.squares
                + distance * distance * self.count * later.count / count,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            first: if before(self.first, later.first) { self.first } else { later.first },
            last: if before(self.last, later.last) { later.last } else { self.last },
            growth: self.growth + later.growth + grown,
        }
    }

    /// The rate of a counter a second, as Prometheus extrapolates it to the borders of the window.
    pub(super) fn counter_rate(&self, end_ns: i64, range_ns: i64) -> Option<f64> {
        let seconds = |from_ns: i64, to_ns: i64| to_ns.saturating_sub(from_ns) as f64 / 1e9;
        let sampled = seconds(self.first.0, self.last.0);
        if self.count < 2.0 || sampled <= 0.0 {
            return None;
        }
        let mut before = seconds(end_ns.saturating_sub(range_ns), self.first.0);
        let behind = seconds(self.last.0, end_ns);
        if self.growth > 0.0 && self.first.1 >= 0.0 {
            // A counter does not come from below 0.
            before = before.min(sampled * (self.first.1 / self.growth));
        }
        let average = sampled / (self.count - 1.0);
        let reached = |gap: f64| if gap < average * 1.1 { gap } else { average / 2.0 };
        let extrapolated = sampled + reached(before) + reached(behind);
        Some(self.growth * (extrapolated / sampled) / (range_ns as f64 / 1e9))
    }
}

/// By time; of the same time the smaller value is the earlier one, so that it is always the same one.
fn before(left: (i64, f64), right: (i64, f64)) -> bool {
    left.0.cmp(&right.0).then_with(|| left.1.total_cmp(&right.1)).is_lt()
}
