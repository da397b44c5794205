//! Ids and small delays that a seed repeats.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;

/// Where a service takes its ids and its small delays from; the same seed draws the same.
#[derive(Debug)]
pub(crate) struct Ids {
    state: Mutex<(Rng, u32)>,
}

impl Ids {
    pub(crate) fn new(mut rng: Rng) -> Self {
        let first = rng.u32(..);
        Self { state: Mutex::new((rng, first)) }
    }

    /// `PREFIX-` and eight hex digits that do not come again within 2^32 calls: a counter behind a permutation, since
    /// 32 random bits would meet again after a day.
    pub(crate) fn short(&self, prefix: &str) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = state.1.wrapping_add(1);
        format!("{prefix}-{:08x}", permuted(state.1))
    }

    /// A time from `milliseconds`.
    pub(crate) fn delay(&self, milliseconds: Range<u64>) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(milliseconds)))
    }

    /// Any of the first `count` numbers, from 0; 0 if there are none.
    pub(crate) fn below(&self, count: usize) -> usize {
        self.draw(|rng| rng.usize(..count.max(1)))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// The last step of MurmurHash3 for 32 bits: each number has another one as its image.
fn permuted(mut number: u32) -> u32 {
    number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_do_not_come_again() {
        let ids = Ids::new(Rng::with_seed(7));
        let drawn: std::collections::HashSet<_> = (0..200_000).map(|_| ids.short("ord")).collect();
        assert_eq!(drawn.len(), 200_000);
    }
}
