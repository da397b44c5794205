//! Which groups are told of now.
//!
//! A group is told of `group_wait` after it had news for the first time, then `group_interval` after the last time if
//! there is news, or `repeat_interval` after it if an alert still fires. A clock that was set back makes it due at once.

use std::collections::BTreeMap;

use super::webhook;
use crate::find::nanos;
use crate::options::Grouping;
use crate::state::{Book, GroupState, StateError, Tellable};

/// Alerts in one notification; further ones are told by the next.
const ALERTS_MAX: usize = 500;

/// Puts what a receiver is to be told into its notifications; says how many were made, and when to look again.
pub(crate) fn tell_news(
    book: &Book,
    receiver: &str,
    grouping: &Grouping,
    link: &str,
    now: i64,
) -> Result<(usize, i64), StateError> {
    let mut groups: BTreeMap<BTreeMap<String, String>, Vec<Tellable>> = BTreeMap::new();
    for one in book.tellable(receiver)? {
        let labels = grouping.by.iter().filter_map(|name| {
            one.incident.labels.get(name).map(|value| (name.clone(), value.clone()))
        });
        groups.entry(labels.collect()).or_default().push(one);
    }
    let (mut made, mut again) = (0, i64::MAX);
    for (labels, members) in groups {
        let key = webhook::group_key(&labels);
        let known = book.group(receiver, &key)?;
        let group = known.clone().unwrap_or(GroupState { key, opened_at: now, told_at: None });
        let has_news = members.iter().any(is_news);
        if has_news && known.is_none() {
            book.open_group(receiver, &group)?;
        }
        let Some(due) = due_at(&group, has_news, &members, grouping) else { continue };
        let since = group.told_at.unwrap_or(group.opened_at);
        if due > now && since <= now {
            again = again.min(due);
            continue;
        }
        let firing = members.iter().filter(|one| one.incident.resolved_at.is_none());
        let over = members.iter().filter(|one| one.incident.resolved_at.is_some());
        // What is new first, so that with too many each is told once.
        let mut told: Vec<&Tellable> = firing.chain(over).collect();
        told.sort_by_key(|one| !is_news(one));
        let left_out = told.len().saturating_sub(ALERTS_MAX);
        told.truncate(ALERTS_MAX);
        let is_over = left_out == 0 && members.iter().all(|one| one.incident.resolved_at.is_some());
        let incidents: Vec<_> = told.iter().map(|one| &one.incident).collect();
        let body = webhook::body(receiver, &labels, &incidents, left_out, link);
        book.tell(receiver, &group, &told, is_over, &body, now)?;
        made += 1;
        again = now;
    }
    Ok((made, again))
}

fn is_news(one: &Tellable) -> bool {
    match one.told {
        None => true,
        Some(resolved) => !resolved && one.incident.resolved_at.is_some(),
    }
}

fn due_at(
    group: &GroupState,
    has_news: bool,
    members: &[Tellable],
    grouping: &Grouping,
) -> Option<i64> {
    let fires = members.iter().any(|one| one.incident.resolved_at.is_none());
    match (group.told_at, has_news) {
        (None, true) => Some(group.opened_at.saturating_add(nanos(grouping.wait))),
        (Some(told), true) => Some(told.saturating_add(nanos(grouping.interval))),
        (Some(told), false) if fires => Some(told.saturating_add(nanos(grouping.repeat))),
        _ => None,
    }
}
