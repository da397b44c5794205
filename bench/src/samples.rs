//! Durations of one thing, done many times.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Durations, sorted. Serialized as milliseconds, all of them, so that raw results can be judged later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Samples {
    sorted: Vec<Duration>,
}

impl Samples {
    /// # Panics
    /// On an empty list.
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        assert!(!durations.is_empty(), "nothing was measured");
        durations.sort_unstable();
        Self { sorted: durations }
    }

    pub(crate) fn runs(&self) -> usize {
        self.sorted.len()
    }

    pub(crate) fn median_ms(&self) -> f64 {
        self.nearest_rank_ms(0.5)
    }

    pub(crate) fn p90_ms(&self) -> f64 {
        self.nearest_rank_ms(0.9)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.nearest_rank_ms(0.99)
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.nearest_rank_ms(1.0)
    }

    /// The smallest sample that at least `share` of all samples do not exceed.
    fn nearest_rank_ms(&self, share: f64) -> f64 {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        milliseconds(self.sorted[rank.saturating_sub(1)])
    }
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.sorted.iter().map(|duration| milliseconds(*duration)))
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    // Whole microseconds: what lies below is noise and would only lengthen the raw output.
    duration.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_samples() {
        let samples = Samples::new((1..=21).rev().map(Duration::from_millis).collect());
        assert_eq!((samples.median_ms(), samples.p90_ms()), (11.0, 19.0));
        assert_eq!((samples.p99_ms(), samples.max_ms()), (21.0, 21.0));
        let one = Samples::new(vec![Duration::from_micros(1_500)]);
        assert_eq!((one.median_ms(), one.p90_ms()), (1.5, 1.5));
    }
}
