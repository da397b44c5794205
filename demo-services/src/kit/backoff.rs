//! How long to wait after something failed: pauses that double with each failure up to a bound, and are drawn from their
//! upper half, so that those who failed together do not come back together.

use std::time::Duration;

/// The pause after failure number `failures`, from 1, before anything is drawn.
pub(crate) fn doubled(min: Duration, max: Duration, failures: u32) -> Duration {
    let times = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    min.saturating_mul(times).min(max)
}

/// Between the half and the whole of it.
pub(crate) fn pause(min: Duration, max: Duration, failures: u32) -> Duration {
    doubled(min, max, failures).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_bound_and_is_drawn_from_its_upper_half() {
        let (min, max) = (Duration::from_millis(50), Duration::from_secs(2));
        for (failures, most) in [(0, 50), (1, 50), (2, 100), (6, 1_600), (7, 2_000), (99, 2_000)] {
            let most = Duration::from_millis(most);
            assert_eq!(doubled(min, max, failures), most);
            let drawn: Vec<_> = (0..100).map(|_| pause(min, max, failures)).collect();
            assert!(drawn.iter().all(|drawn| (most / 2..=most).contains(drawn)), "{drawn:?}");
            assert!(drawn.iter().any(|other| *other != drawn[0]), "{drawn:?}");
        }
    }
}
