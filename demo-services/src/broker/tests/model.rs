//! A random history of the store against a model of it: each copy is in exactly one place, and none is lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::broker::deliveries::{self, lend};
use crate::broker::message::{Delivery, Written};
use crate::broker::store::{self, StoreError};
use crate::broker::tables::MIGRATIONS;

const LIMITS: Limits =
    Limits { held_max: 12, queues_max: 2, published_max: 10_000, unrouted_max: 4 };
const QUEUES: [&str; 2] = ["a", "b"];
const DELIVERIES_MAX: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Ids, and whether the second queue is bound for them too.
    Publish(Vec<(u8, bool)>),
    Lend(usize, usize),
    /// Which of all deliveries ever, and what of it.
    Settle(prop::sample::Index, u8),
    Wait(i64),
    Restart,
    Redrive(usize, prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((any::<u8>(), any::<bool>()), 1..4).prop_map(Step::Publish),
        4 => (0..2_usize, 1..4_usize).prop_map(|(queue, max)| Step::Lend(queue, max)),
        6 => (any::<prop::sample::Index>(), 0..3_u8).prop_map(|(which, what)| Step::Settle(which, what)),
        3 => (0..150_i64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => (0..2_usize, any::<prop::sample::Index>()).prop_map(|(queue, which)| Step::Redrive(queue, which)),
    ]
}

/// What is known of a copy from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    Waiting,
    /// Tag, and end of the lease.
    Lent(u64, i64),
    /// It was refused, or its last delivery failed.
    Dead,
}

struct Model {
    connection: Connection,
    now_ms: i64,
    published: BTreeSet<String>,
    /// Copies that are not done, by queue and id.
    copies: BTreeMap<(String, String), Copy>,
    /// All deliveries ever.
    deliveries: Vec<(String, Delivery)>,
}

impl Model {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        let mut model = Self {
            connection,
            now_ms: 1_000,
            published: BTreeSet::new(),
            copies: BTreeMap::new(),
            deliveries: Vec::new(),
        };
        for (name, pattern) in QUEUES.into_iter().zip(["#", "both"]) {
            let lease = Duration::from_millis(100);
            let bindings = vec![binding(pattern)];
            let queue = Queue { bindings, lease, deliveries_max: DELIVERIES_MAX, ..queue(name) };
            model.work(|tx| store::declare(tx, &queue, LIMITS)).unwrap();
        }
        model
    }

    /// As the database does it: all of it or nothing.
    fn work<T, E>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.connection.transaction().unwrap();
        let done = work(&tx)?;
        tx.commit().unwrap();
        Ok(done)
    }

    fn apply(&mut self, step: Step) {
        let now_ms = self.now_ms;
        match step {
            Step::Publish(messages) => self.publish(&messages),
            Step::Lend(queue, max) => self.lend(QUEUES[queue], max),
            Step::Settle(which, what) if !self.deliveries.is_empty() => {
                let (queue, delivery) = which.get(&self.deliveries).clone();
                self.settle(&queue, &delivery, what);
            }
            Step::Settle(..) => {}
            Step::Wait(more_ms) => self.now_ms += more_ms,
            Step::Restart => {
                self.work(|tx| deliveries::release(tx, now_ms)).unwrap();
                for copy in self.copies.values_mut() {
                    if let Copy::Lent(_, end_ms) = copy {
                        *end_ms = now_ms;
                    }
                }
            }
            Step::Redrive(queue, which) => {
                let is_dead = |((name, id), copy): (&(String, String), &Copy)| {
                    (name == QUEUES[queue] && *copy == Copy::Dead).then(|| id.clone())
                };
                let dead: Vec<_> = self.copies.iter().filter_map(is_dead).collect();
                if !dead.is_empty() {
                    let id = which.get(&dead).clone();
                    let redriven =
                        self.work(|tx| deliveries::redrive(tx, QUEUES[queue], &id, now_ms));
                    assert_eq!(redriven.unwrap(), 1);
                    self.copies.insert((QUEUES[queue].to_owned(), id), Copy::Waiting);
                }
            }
        }
    }

    fn publish(&mut self, messages: &[(u8, bool)]) {
        let now_ms = self.now_ms;
        let message =
            |&(id, both): &(u8, bool)| keyed(&id.to_string(), if both { "both" } else { "one" });
        let messages: Vec<_> = messages.iter().map(message).collect();
        let written: Vec<_> = messages.iter().cloned().map(|m| Written::from(m).unwrap()).collect();
        match self.work(|tx| store::publish(tx, &written, LIMITS, now_ms)) {
            Ok(_) => {
                for message in messages {
                    if self.published.insert(message.id.clone()) {
                        let queues =
                            if message.routing_key == "both" { &QUEUES[..] } else { &QUEUES[..1] };
                        for queue in queues {
                            let copy = ((*queue).to_owned(), message.id.clone());
                            assert_eq!(self.copies.insert(copy, Copy::Waiting), None);
                        }
                    }
                }
            }
            Err(error) => assert!(matches!(error, StoreError::QueueFull { .. }), "{error}"),
        }
    }

    fn lend(&mut self, queue: &str, max: usize) {
        let now_ms = self.now_ms;
        let lent = self.work(|tx| lend(tx, queue, "test", max, now_ms)).unwrap();
        for lapsed in lent.lapsed {
            let copy = self.copies.insert((lapsed.queue, lapsed.id), Copy::Dead).unwrap();
            assert!(matches!(copy, Copy::Lent(_, end_ms) if end_ms <= now_ms), "{copy:?}");
        }
        assert!(lent.deliveries.len() <= max);
        assert!(lent.deliveries.is_sorted_by_key(|delivery| delivery.tag));
        for delivery in lent.deliveries {
            let copy = (queue.to_owned(), delivery.message.id.clone());
            let lent = Copy::Lent(delivery.tag, now_ms + 100);
            match self.copies.insert(copy, lent) {
                Some(Copy::Waiting) => {}
                Some(Copy::Lent(tag, end_ms)) => assert!(tag != delivery.tag && end_ms <= now_ms),
                other => panic!("{other:?} was lent"),
            }
            self.deliveries.push((queue.to_owned(), delivery));
        }
    }

    fn settle(&mut self, queue: &str, delivery: &Delivery, what: u8) {
        let now_ms = self.now_ms;
        let reason = "later".to_owned();
        let verdict =
            [Verdict::Done, Verdict::Again { reason: reason.clone() }, Verdict::Refused { reason }];
        let verdict = verdict[usize::from(what)].clone();
        let settlements = [settlement(delivery.tag, verdict.clone())];
        let settled = self.work(|tx| deliveries::settle(tx, queue, &settlements, now_ms)).unwrap();
        let copy = (queue.to_owned(), delivery.message.id.clone());
        let counts =
            matches!(self.copies.get(&copy), Some(Copy::Lent(tag, _)) if *tag == delivery.tag);
        let all = settled.done + settled.scheduled + settled.dead;
        assert_eq!(all, u64::from(counts), "{verdict:?} {:?}", self.copies.get(&copy));
        if counts {
            match verdict {
                Verdict::Done => self.copies.remove(&copy),
                _ if settled.dead == 1 => self.copies.insert(copy, Copy::Dead),
                _ => self.copies.insert(copy, Copy::Waiting),
            };
        }
    }

    /// The tables hold the copies of the model, each once, and count them right.
    fn check(&self) {
        let mut rows = self.connection.prepare("SELECT queue, id, state FROM messages").unwrap();
        let rows =
            rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, String>(2)?)));
        let rows: Vec<((String, String), String)> = rows.unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), self.copies.len());
        for (copy, state) in &rows {
            let fits = match self.copies[copy] {
                Copy::Waiting => matches!(state.as_str(), "ready" | "scheduled"),
                Copy::Lent(..) => matches!(state.as_str(), "leased" | "ready"),
                Copy::Dead => state == "dead",
            };
            assert!(fits, "{copy:?} is {state}, {:?}", self.copies[copy]);
        }
        for queue in QUEUES {
            let held = "SELECT held FROM queues WHERE name = ?";
            let held: usize = self.connection.query_row(held, [queue], |row| row.get(0)).unwrap();
            assert_eq!(held, rows.iter().filter(|((name, _), _)| name == queue).count());
            assert!(held as u64 <= LIMITS.held_max);
        }
    }

    /// Whatever is not dead can be consumed in the end.
    fn drain(&mut self) {
        for queue in QUEUES {
            for _ in 0..100 {
                self.now_ms += 50_000;
                let before = self.deliveries.len();
                self.lend(queue, 5);
                for (_, delivery) in self.deliveries.split_off(before) {
                    self.settle(queue, &delivery, 0);
                }
            }
        }
        assert!(self.copies.values().all(|copy| *copy == Copy::Dead), "{:?}", self.copies);
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_is_neither_consumed_nor_waiting_nor_put_aside(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
            model.check();
        }
        model.drain();
    }
}
