//! Which groups are told of now.
//!
//! A group is told of `group_wait` after it had news for the first time, then `group_interval` after the last time if
//! there is news, or `repeat_interval` after it if an alert still fires. A clock that was set back makes it due at once.

use std::collections::BTreeMap;

use super::{slack, webhook};
use crate::find::nanos;
use crate::mute::{Inhibition, Mutes, Verdict};
use crate::options::{Grouping, ReceiverKind, ReceiverOptions};
use crate::state::{Book, GroupState, StateError, Tellable};

/// Alerts in one notification; further ones are told by the next.
const ALERTS_MAX: usize = 500;

/// Notifications of one group that wait; further ones are made when there is room.
const WAITING_MAX: i64 = 10;

/// Puts what a receiver is to be told into its notifications; says how many were made, and when to look again.
pub(crate) fn tell_news(
    book: &Book,
    to: &ReceiverOptions,
    grouping: &Grouping,
    inhibitions: &[Inhibition],
    link: &str,
    now: i64,
) -> Result<(usize, i64), StateError> {
    let receiver = to.name.as_str();
    let all = book.tellable(receiver)?;
    let mutes = Mutes::now(book, inhibitions, &all, now)?;
    let mut groups: BTreeMap<BTreeMap<String, String>, Vec<Tellable>> = BTreeMap::new();
    for one in all {
        match mutes.verdict(&one) {
            Verdict::Tell => {}
            Verdict::Hold => continue,
            Verdict::PassOver => {
                book.mark_told(receiver, &[(one.id, true)])?;
                continue;
            }
        }
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
        // Who takes nothing gets no ever longer queue: what is new waits, and is told as it is then.
        if book.waiting_of(receiver, &group.key)? >= WAITING_MAX {
            continue;
        }
        // What is new first, so that with too many each is told once; then as they began, so that what fires again stands
        // behind what was over.
        let mut told: Vec<&Tellable> = members.iter().collect();
        told.sort_by_key(|one| !is_news(one));
        let left_out = told.len().saturating_sub(ALERTS_MAX);
        told.truncate(ALERTS_MAX);
        let is_over = left_out == 0 && members.iter().all(|one| one.incident.resolved_at.is_some());
        let incidents: Vec<_> = told.iter().map(|one| &one.incident).collect();
        let body = match to.kind {
            ReceiverKind::Slack => slack::body(&labels, &incidents, left_out),
            _ => webhook::body(receiver, &labels, &incidents, left_out, link),
        };
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::incident::{Incident, fingerprint};
    use crate::silence::Conditions;
    use crate::state::RuleState;

    const S: i64 = crate::SECOND;

    /// What is told at which second.
    struct Told {
        book: Book,
        grouping: Grouping,
        inhibitions: Vec<Inhibition>,
        _folder: tempfile::TempDir,
    }

    impl Told {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let book = Book::open(&folder.path().join("alerting.db")).unwrap();
            book.know_receivers(&["ops"]).unwrap();
            let grouping = Grouping {
                by: vec!["alertname".to_owned()],
                wait: Duration::from_secs(1),
                interval: Duration::from_secs(30),
                repeat: Duration::from_secs(3_600),
            };
            Self { book, grouping, inhibitions: Vec::new(), _folder: folder }
        }

        fn labels(service: &str) -> BTreeMap<String, String> {
            let labels = [("alertname", "A"), ("service", service)];
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        }

        fn fires(&self, service: &str, at: i64) {
            let labels = Self::labels(service);
            let incident = Incident {
                fingerprint: fingerprint(&labels),
                rule: String::new(),
                labels,
                annotations: BTreeMap::new(),
                values: BTreeMap::new(),
                correlations: Vec::new(),
                fired_at: at * S,
                resolved_at: None,
                records: Vec::new(),
            };
            self.book.judged("r", at * S, &RuleState::default(), &[incident], &[]).unwrap();
        }

        fn is_over(&self, service: &str, at: i64) {
            let ended = [(fingerprint(&Self::labels(service)), at * S)];
            self.book.judged("r", at * S, &RuleState::default(), &[], &ended).unwrap();
        }

        /// Services and whether they fire, if there is a notification then.
        fn at(&self, second: i64) -> Option<String> {
            let ops = ReceiverOptions {
                name: "ops".to_owned(),
                url: String::new(),
                kind: ReceiverKind::Webhook { secret_file: None },
                timeout: Duration::from_secs(1),
            };
            let (made, _) =
                tell_news(&self.book, &ops, &self.grouping, &self.inhibitions, "", second * S)
                    .unwrap();
            let newest = self.book.newest_notifications(1).unwrap();
            (made > 0).then(|| {
                let body: serde_json::Value =
                    serde_json::from_slice(&self.book.body(newest[0].id).unwrap()).unwrap();
                let alerts = body["alerts"].as_array().unwrap().iter().map(|alert| {
                    format!("{} {}", alert["labels"]["service"], alert["status"]).replace('"', "")
                });
                alerts.collect::<Vec<_>>().join(", ")
            })
        }
    }

    #[test]
    fn a_group_waits_for_others_then_for_its_interval_and_is_told_of_again() {
        let told = Told::new();
        told.fires("a", 10);
        assert_eq!(told.at(10), None, "it waits for others");
        told.fires("b", 10);
        assert_eq!(told.at(11).unwrap(), "a firing, b firing");
        told.fires("c", 12);
        told.is_over("a", 13);
        assert_eq!(told.at(40), None, "the interval");
        assert_eq!(told.at(41).unwrap(), "a resolved, c firing, b firing");
        assert_eq!(told.at(42), None, "told once");
        assert_eq!(told.at(41 + 3_599), None);
        assert_eq!(told.at(41 + 3_600).unwrap(), "b firing, c firing");
        told.is_over("b", 3_642);
        told.is_over("c", 3_642);
        assert_eq!(told.at(3_700).unwrap(), "b resolved, c resolved");
        assert_eq!(told.at(100_000), None, "the group is closed");
        told.fires("a", 100_001);
        assert_eq!(told.at(100_001), None);
        assert_eq!(told.at(100_002).unwrap(), "a firing", "with its wait again");
    }

    #[test]
    fn what_fires_again_stands_behind_what_was_over() {
        let told = Told::new();
        told.fires("a", 10);
        told.at(10);
        told.at(11).unwrap();
        told.is_over("a", 20);
        told.fires("a", 30);
        assert_eq!(told.at(41).unwrap(), "a resolved, a firing");
    }

    #[test]
    fn what_was_over_before_it_could_be_told_is_told_once() {
        let told = Told::new();
        told.fires("a", 10);
        told.is_over("a", 10);
        assert_eq!(told.at(10), None);
        assert_eq!(told.at(11).unwrap(), "a resolved");
        assert_eq!(told.at(100_000), None);
    }

    #[test]
    fn what_is_silenced_is_told_when_the_silence_ends_and_what_is_over_to_who_was_told_of_it() {
        let told = Told::new();
        let silence = |service: &str, ends_at: i64| {
            let matchers = serde_json::json!([{"name": "service", "value": service}]);
            let ends = record::Timestamp(ends_at * S).to_string();
            let silence = serde_json::json!({"matchers": matchers, "startsAt": "1970-01-01T00:00:00Z", "endsAt": ends});
            told.book.keep_silence(serde_json::from_value(silence).unwrap(), ends_at * S).unwrap();
        };
        silence("a", 100);
        silence("b", 100);
        for service in ["a", "b", "c"] {
            told.fires(service, 10);
        }
        assert_eq!(told.at(10), None);
        assert_eq!(told.at(11).unwrap(), "c firing");
        silence("c", 100);
        told.is_over("b", 20);
        told.is_over("c", 20);
        assert_eq!(told.at(41).unwrap(), "c resolved", "c was told of, b was not");
        assert_eq!(told.at(99), None);
        assert_eq!(told.at(100), None, "it waits for others");
        assert_eq!(told.at(101).unwrap(), "a firing");
    }

    #[test]
    fn who_takes_nothing_has_a_bounded_queue_and_is_told_the_rest_when_there_is_room() {
        let told = Told::new();
        for turn in 0..50 {
            told.fires("a", turn * 100);
            told.at(turn * 100);
            told.at(turn * 100 + 1);
            told.is_over("a", turn * 100 + 50);
            told.at(turn * 100 + 50);
        }
        assert_eq!(told.book.waiting_count().unwrap(), WAITING_MAX);
        for one in told.book.newest_notifications(5).unwrap() {
            told.book.ended(&one, None, 5_000 * S).unwrap();
        }
        let all = told.at(5_001).unwrap();
        assert_eq!(all.matches("a resolved").count(), 45, "{all}");
    }

    #[test]
    fn what_another_alert_explains_is_told_when_that_is_over() {
        let conditions = |text: &str| Conditions::new(&[text.parse().unwrap()]).unwrap();
        let inhibition = |equal: &[&str]| Inhibition {
            source: conditions("service=network"),
            target: conditions("service=~a|b|network"),
            equal: equal.iter().map(|name| (*name).to_owned()).collect(),
        };
        let told = Told { inhibitions: vec![inhibition(&["alertname"])], ..Told::new() };
        for service in ["a", "b", "c", "network"] {
            told.fires(service, 10);
        }
        told.is_over("b", 10);
        told.at(10);
        assert_eq!(told.at(11).unwrap(), "c firing, network firing", "the source itself is told");
        told.is_over("network", 20);
        assert_eq!(told.at(41).unwrap(), "a firing, network resolved, c firing");
        // Only those that have the same values.
        let told = Told { inhibitions: vec![inhibition(&["service"])], ..Told::new() };
        told.fires("a", 10);
        told.fires("network", 10);
        told.at(10);
        assert_eq!(told.at(11).unwrap(), "a firing, network firing");
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let told = Told::new();
        told.fires("a", 10_000);
        told.at(10_000);
        told.at(10_001).unwrap();
        told.fires("b", 6_400);
        assert_eq!(told.at(6_400).unwrap(), "b firing, a firing");
    }
}
