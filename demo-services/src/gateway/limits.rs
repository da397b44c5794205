//! How often one may ask: a number of requests a second for each user, or for each address where nobody is logged in;
//! and a smaller one for each address where the work is expensive. None may have so many requests under way that others
//! could not even wait. Who asks more often is told when to come again.
//!
//! Clients are counted in a fixed number of places, by a hash that nobody outside can know. Two of them may have one
//! place; somebody with very many addresses takes a little of each, and shuts nobody out.
//!
//! The address is the connection's. Nothing that a request says of where it comes from is believed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use service::http::ErrorResponse;

use super::refusal::Refused;
use super::settings::Settings;

/// Paths whose POST hashes a password.
const EXPENSIVE: [&str; 2] = ["/api/v1/sessions", "/api/v1/users"];

/// Where a client's requests are counted.
type Place = u64;

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client<'a> {
    User(&'a str),
    /// None where the connection has none.
    Address(Option<IpAddr>),
}

pub(super) struct Limits {
    all: DefaultKeyedRateLimiter<Place>,
    expensive: DefaultKeyedRateLimiter<Place>,
    under_way: Arc<Mutex<HashMap<Place, usize>>>,
    at_once_max: usize,
    places: u64,
    hasher: RandomState,
    clock: DefaultClock,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    place: Place,
    under_way: Arc<Mutex<HashMap<Place, usize>>>,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        let limiter = |per_second: NonZeroU32, burst: NonZeroU32| {
            RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst))
        };
        Self {
            all: limiter(settings.per_second, settings.burst),
            expensive: limiter(settings.expensive_per_second, settings.expensive_burst),
            under_way: Arc::default(),
            at_once_max: settings.at_once_max,
            places: settings.clients_max.max(1),
            hasher: RandomState::new(),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request, or says when to come again.
    pub(super) fn admit(
        &self,
        method: &Method,
        path: &str,
        user: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Admitted, Refused> {
        let address = Client::Address(address.map(network));
        let place = self.place(user.map_or(address, Client::User));
        self.count(&self.all, place)?;
        // By address also for who is logged in: with many accounts one could guess many passwords.
        if method == Method::POST && EXPENSIVE.contains(&path) {
            self.count(&self.expensive, self.place(address))?;
        }
        self.begin(place)
    }

    fn place(&self, client: Client<'_>) -> Place {
        self.hasher.hash_one(client) % self.places
    }

    fn begin(&self, place: Place) -> Result<Admitted, Refused> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(place).or_default();
        if *count >= self.at_once_max {
            let message =
                format!("{count} requests are under way; come again when they are answered");
            return Err(too_many(message, Duration::from_secs(1)));
        }
        *count += 1;
        drop(under_way);
        Ok(Admitted { place, under_way: Arc::clone(&self.under_way) })
    }

    fn count(&self, limit: &DefaultKeyedRateLimiter<Place>, place: Place) -> Result<(), Refused> {
        let Err(until) = limit.check_key(&place) else { return Ok(()) };
        // Whole seconds is what the header knows.
        let seconds = until.wait_time_from(self.clock.now()).as_secs() + 1;
        let message = format!("too many requests; come again in {seconds} s");
        Err(too_many(message, Duration::from_secs(seconds)))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.place);
            }
        }
    }
}

fn too_many(message: String, come_again: Duration) -> Refused {
    ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
        .retry_after(come_again)
        .into()
}

/// The address, or the /64 network of one of IPv6: whoever has one of these has all of its addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many that no two of a test's clients have one place.
    const PLENTY: u64 = 1 << 60;

    fn limits(clients_max: u64) -> Limits {
        let [one, two] = [1, 2].map(|number| NonZeroU32::new(number).unwrap());
        Limits::new(&Settings {
            per_second: one,
            burst: two,
            expensive_per_second: one,
            expensive_burst: one,
            clients_max,
            ..Settings::default()
        })
    }

    /// Asks by a method, for a path, as a user, from an address; gives how many of three come through.
    fn through(limits: &Limits, post: bool, path: &str, user: &str, address: &str) -> usize {
        let method = if post { Method::POST } else { Method::GET };
        let user = Some(user).filter(|user| !user.is_empty());
        let address = address.parse().ok();
        (0..3).filter(|_| limits.admit(&method, path, user, address).is_ok()).count()
    }

    #[test]
    fn each_user_and_each_address_without_one_has_a_count() {
        let limits = limits(PLENTY);
        for (user, address, expected) in [
            ("u-1", "10.0.0.1", 2),
            ("u-1", "10.0.0.2", 0),
            ("u-2", "10.0.0.1", 2),
            ("", "10.0.0.1", 2),
            ("", "::ffff:10.0.0.1", 0),
            ("", "2001:db8::1", 2),
            ("", "2001:db8::2", 0),
            ("", "2001:db8:0:1::1", 2),
        ] {
            assert_eq!(through(&limits, false, "/", user, address), expected, "{user} {address}");
        }
    }

    #[test]
    fn logins_of_an_address_have_a_count_of_their_own_whoever_asks() {
        let limits = limits(PLENTY);
        for (post, path, user, expected) in [
            (true, "/api/v1/sessions", "u-1", 1),
            (true, "/api/v1/users", "u-2", 0),
            (false, "/api/v1/sessions", "u-3", 2),
            (true, "/checkout", "u-4", 2),
        ] {
            assert_eq!(through(&limits, post, path, user, "10.0.0.1"), expected, "{path} {user}");
        }
    }

    #[test]
    fn whoever_comes_from_very_many_addresses_fills_no_table_and_shuts_nobody_out() {
        let settings = Settings { clients_max: 1_000, ..Settings::default() };
        let limits = Limits::new(&settings);
        // As many networks as somebody has who was given a /48.
        for network in 0..65_536 {
            let address = format!("2001:db8:0:{network:x}::1").parse().ok();
            assert!(limits.admit(&Method::GET, "/", None, address).is_ok());
        }
        assert!(limits.all.len() <= 1_000, "{} places", limits.all.len());
        for user in 0..100 {
            assert_eq!(through(&limits, false, "/", &format!("u-{user}"), ""), 3);
        }
    }

    #[test]
    fn a_client_has_only_so_many_requests_under_way() {
        let limits = Limits::new(&Settings { at_once_max: 2, ..Settings::default() });
        let ask = |user| limits.admit(&Method::GET, "/", Some(user), None);
        let first = (ask("u-1").unwrap(), ask("u-1").unwrap());
        assert_eq!(ask("u-1").unwrap_err().error().code, "too_many_requests");
        assert!(ask("u-2").is_ok());
        drop(first);
        assert!(ask("u-1").is_ok());
        assert!(limits.under_way.lock().unwrap().is_empty());
    }

    #[test]
    fn who_is_refused_is_told_when_to_come_again() {
        let limits = limits(PLENTY);
        through(&limits, false, "/", "u-1", "");
        let refused = limits.admit(&Method::GET, "/", Some("u-1"), None).unwrap_err();
        assert_eq!(refused.error().code, "too_many_requests");
        assert_eq!(refused.error().retry_after, Some(Duration::from_secs(1)));
    }
}
