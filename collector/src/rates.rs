//! How fast single tenants may send, in bytes of bodies as they are sent.
//!
//! Each has a balance that grows at its rate, up to one second of it. A request is let in while the balance is above
//! zero and is charged its whole length, so that a body longer than a second's worth is taken too, and the ones after it
//! wait for longer. What a request turns out to be longer than it said is charged when it was read. Tenants without a
//! rate are not counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The tenants that have a rate.
#[derive(Debug)]
pub(crate) struct Rates {
    by_tenant: HashMap<String, Mutex<Balance>>,
}

#[derive(Debug)]
struct Balance {
    per_second: f64,
    bytes: f64,
    at: Instant,
}

impl Rates {
    pub(crate) fn new(per_second: &BTreeMap<String, u64>) -> Self {
        let balance = |(tenant, rate): (&String, &u64)| {
            let per_second = *rate as f64;
            (
                tenant.clone(),
                Mutex::new(Balance { per_second, bytes: per_second, at: Instant::now() }),
            )
        };
        Self { by_tenant: per_second.iter().map(balance).collect() }
    }

    /// Lets a request of so many bytes in, or says after which time it is worth trying again.
    pub(crate) fn admit(&self, tenant: &str, bytes: usize, now: Instant) -> Result<(), Duration> {
        let Some(balance) = self.by_tenant.get(tenant) else { return Ok(()) };
        let mut balance = balance.lock().unwrap_or_else(PoisonError::into_inner);
        balance.grow(now);
        if balance.bytes <= 0.0 {
            return Err(Duration::from_secs_f64(-balance.bytes / balance.per_second));
        }
        balance.bytes -= bytes as f64;
        Ok(())
    }

    /// Charges what was read beyond what was said.
    pub(crate) fn charge(&self, tenant: &str, bytes: usize) {
        if let Some(balance) = self.by_tenant.get(tenant) {
            balance.lock().unwrap_or_else(PoisonError::into_inner).bytes -= bytes as f64;
        }
    }
}

impl Balance {
    fn grow(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.bytes = (self.bytes + passed * self.per_second).min(self.per_second);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_held_to_its_rate_and_others_are_not() {
        let rates = Rates::new(&[("a".to_owned(), 1_000)].into());
        let now = Instant::now();
        let after = |seconds: f64| now + Duration::from_secs_f64(seconds);
        assert!(rates.admit("a", 400, now).is_ok() && rates.admit("a", 400, now).is_ok());
        assert!(rates.admit("a", 2_200, now).is_ok(), "one that is longer than a second's worth");
        let wait = rates.admit("a", 1, now).unwrap_err();
        assert!((1.9..2.1).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(rates.admit("b", 1 << 30, now).is_ok());
        assert!(rates.admit("a", 1, after(1.9)).is_err());
        assert!(rates.admit("a", 1, after(2.1)).is_ok());
        rates.charge("a", 500);
        assert!(rates.admit("a", 1, after(2.3)).is_err());
        assert!(rates.admit("a", 900, after(100.0)).is_ok(), "what is not used is not kept");
        assert!(rates.admit("a", 900, after(100.0)).is_ok());
        assert!(rates.admit("a", 1, after(100.0)).is_err());
    }
}
