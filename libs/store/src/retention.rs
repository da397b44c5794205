//! Which segments retention lets go: too old by their tenant's own age or by that of all, then the oldest of a tenant
//! that has more than its own size, then the oldest while all together are larger than the size of all.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::options::StoreOptions;
use crate::segment::SegmentMeta;

/// What is kept of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Instead of the age of all.
    pub age: Option<Duration>,
    /// Beside the size of all.
    pub bytes: Option<u64>,
}

/// What counts of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    tenant: &'a str,
    /// When its newest record is from, ns.
    last: i64,
    bytes: u64,
}

impl<'a> From<&'a SegmentMeta> for Candidate<'a> {
    fn from(meta: &'a SegmentMeta) -> Self {
        // The future does not keep a record for ever: the time of receipt counts if it is earlier.
        let last = meta.time_range.1.min(meta.received_at_max);
        Self { tenant: &meta.tenant, last, bytes: meta.bytes() }
    }
}

/// Of each segment, in the order given, whether it goes.
pub(crate) fn expired(segments: &[Candidate<'_>], options: &StoreOptions, now: i64) -> Vec<bool> {
    let own = |tenant: &str| options.retention_by_tenant.get(tenant).copied().unwrap_or_default();
    let mut expired: Vec<bool> = segments
        .iter()
        .map(|segment| {
            let age = own(segment.tenant).age.or(options.retention_age);
            age.is_some_and(|age| {
                let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
                segment.last < now.saturating_sub(age)
            })
        })
        .collect();
    let mut oldest_first: Vec<usize> = (0..segments.len()).collect();
    oldest_first.sort_by_key(|at| segments[*at].last);
    let by_tenant: BTreeMap<&str, u64> = options
        .retention_by_tenant
        .iter()
        .filter_map(|(tenant, retention)| Some((tenant.as_str(), retention.bytes?)))
        .collect();
    let mut held: HashMap<&str, u64> = HashMap::new();
    for (segment, _) in segments.iter().zip(&expired).filter(|(_, expired)| !**expired) {
        *held.entry(segment.tenant).or_default() += segment.bytes;
    }
    let mut all: u64 = held.values().sum();
    let over = |held: &HashMap<&str, u64>, tenant: &str| {
        by_tenant.get(tenant).is_some_and(|max| held.get(tenant).is_some_and(|held| held > max))
    };
    // Each tenant's own bound first, so that one that has too much does not cost others theirs.
    for at in &oldest_first {
        let segment = segments[*at];
        if !expired[*at] && over(&held, segment.tenant) {
            expired[*at] = true;
            all = all.saturating_sub(segment.bytes);
            if let Some(held) = held.get_mut(segment.tenant) {
                *held = held.saturating_sub(segment.bytes);
            }
        }
    }
    for at in oldest_first {
        if options.retention_bytes.is_none_or(|max| all <= max) {
            break;
        }
        if !expired[at] {
            expired[at] = true;
            all = all.saturating_sub(segments[at].bytes);
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(tenant: &str, last: i64, bytes: u64) -> Candidate<'_> {
        Candidate { tenant, last, bytes }
    }

    /// Tenants and times of what goes, at time 100.
    fn gone(segments: &[Candidate<'_>], options: &StoreOptions) -> Vec<String> {
        let expired = expired(segments, options, 100);
        let gone = segments.iter().zip(expired).filter(|(_, expired)| *expired);
        gone.map(|(segment, _)| format!("{}{}", segment.tenant, segment.last)).collect()
    }

    fn options(age: Option<u64>, bytes: Option<u64>, own: Retention) -> StoreOptions {
        StoreOptions {
            retention_age: age.map(Duration::from_nanos),
            retention_bytes: bytes,
            retention_by_tenant: [("b".to_owned(), own)].into(),
            ..StoreOptions::default()
        }
    }

    #[test]
    fn a_tenants_own_bounds_are_its_own_and_those_of_all_hold_for_the_rest() {
        let age = |nanos| Some(Duration::from_nanos(nanos));
        let segments =
            [segment("a", 10, 5), segment("b", 20, 5), segment("a", 60, 5), segment("b", 70, 5)];
        let none = Retention::default();
        for (options, expected) in [
            (options(None, None, none), &[][..]),
            (options(Some(50), None, none), &["a10", "b20"]),
            (options(Some(50), None, Retention { age: age(90), ..none }), &["a10"]),
            (options(None, None, Retention { age: age(90), ..none }), &[]),
            (options(None, None, Retention { age: age(50), ..none }), &["b20"]),
            (options(Some(1_000), None, Retention { age: age(10), ..none }), &["b20", "b70"]),
            (options(None, None, Retention { bytes: Some(9), ..none }), &["b20"]),
            (options(None, Some(15), Retention { bytes: Some(10), ..none }), &["a10"]),
            (options(None, Some(15), Retention { bytes: Some(5), ..none }), &["b20"]),
            (options(None, Some(1), none), &["a10", "b20", "a60", "b70"]),
            (options(Some(50), Some(10), none), &["a10", "b20"]),
        ] {
            assert_eq!(gone(&segments, &options), expected, "{options:?}");
        }
    }
}
