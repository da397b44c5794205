//! Sorting that can be stopped: pieces are sorted, then merged, and the allowance is asked once a block.

use std::cmp::Ordering;
use std::sync::Arc;

use store::{Allowance, BLOCK_ROWS, Held, Stopped};

/// Sorts as `sort_by` does: equals keep their order.
pub(crate) fn sort_within<T>(
    mut items: Vec<T>,
    allowance: &Arc<dyn Allowance>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>, Stopped> {
    for piece in items.chunks_mut(BLOCK_ROWS) {
        allowance.check()?;
        piece.sort_by(&compare);
    }
    if items.len() <= BLOCK_ROWS {
        return Ok(items);
    }
    // Items are moved into runs, and runs into longer ones: for a moment there is room for all of them twice.
    let _second = Held::take(allowance, items.len() * size_of::<T>())?;
    let mut runs = Vec::with_capacity(items.len().div_ceil(BLOCK_ROWS));
    let mut items = items.into_iter();
    while items.len() > 0 {
        let mut run = Vec::with_capacity(BLOCK_ROWS.min(items.len()));
        run.extend(items.by_ref().take(BLOCK_ROWS));
        runs.push(run);
    }
    drop(items);
    while runs.len() > 1 {
        let mut longer = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(first) = pairs.next() {
            longer.push(match pairs.next() {
                Some(second) => merge(first, second, allowance, &compare)?,
                None => first,
            });
        }
        runs = longer;
    }
    Ok(runs.pop().unwrap_or_default())
}

fn merge<T>(
    mut first: Vec<T>,
    second: Vec<T>,
    allowance: &Arc<dyn Allowance>,
    compare: &impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>, Stopped> {
    if let (Some(last), Some(next)) = (first.last(), second.first())
        && compare(next, last).is_ge()
    {
        first.extend(second);
        return Ok(first);
    }
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(one), Some(other)) = (first.peek(), second.peek()) {
        if merged.len().is_multiple_of(BLOCK_ROWS) {
            allowance.check()?;
        }
        let next = if compare(other, one).is_lt() { second.next() } else { first.next() };
        merged.extend(next);
    }
    merged.extend(first);
    merged.extend(second);
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering as Atomic};

    use store::Unbounded;

    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_and_keeps_the_order_of_equals() {
        for count in [0, 1, BLOCK_ROWS, BLOCK_ROWS + 1, 5 * BLOCK_ROWS + 77] {
            let items: Vec<(usize, usize)> = (0..count).map(|n| (n * 7_919 % 101, n)).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            let sorted = sort_within(items, &Unbounded::allowance(), |a, b| a.0.cmp(&b.0)).unwrap();
            assert!(sorted == expected, "{count}");
        }
    }

    #[test]
    fn it_stops_wherever_the_allowance_ends() {
        #[derive(Debug)]
        struct Ends(AtomicUsize);
        impl Allowance for Ends {
            fn check(&self) -> Result<(), Stopped> {
                let left =
                    self.0.fetch_update(Atomic::Relaxed, Atomic::Relaxed, |n| n.checked_sub(1));
                left.map(|_| ()).map_err(|_| Stopped::Cancelled)
            }
            fn take(&self, _bytes: usize) -> Result<(), Stopped> {
                Ok(())
            }
            fn give_back(&self, _bytes: usize) {}
        }
        let items: Vec<usize> = (0..4 * BLOCK_ROWS).map(|n| n * 7_919 % 100_003).collect();
        for checks in 0..9 {
            let allowance: Arc<dyn Allowance> = Arc::new(Ends(AtomicUsize::new(checks)));
            let stopped = sort_within(items.clone(), &allowance, usize::cmp);
            assert_eq!(stopped, Err(Stopped::Cancelled), "{checks}");
        }
    }
}
