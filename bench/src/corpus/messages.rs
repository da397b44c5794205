//! What the records say: sixty templates with variable parts, weighted within their level.
//!
//! A part in braces is filled anew for each record. The weights make the shares that the queries are measured with:
//! see the tests of the generator.

use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;

use super::entry::Level;
use super::shop::{TABLES, TOPICS};

/// The message that holds the rare word; its level is error.
pub(crate) const RARE: &str = "worker {n} died of a segfault at address 0x{hex}, restarting";

const DEBUG: [(u32, &str); 12] = [
    (16, "request headers parsed: {n} names, {kb} bytes"),
    (12, "cache lookup {key} hit after {n} us"),
    (10, "cache lookup {key} miss, reading table {table}"),
    (10, "sql select from {table} where id = {big} took {ms} ms"),
    (8, "request body validated against schema version {n}"),
    (8, "feature flag new-checkout is off for {user}"),
    (8, "acquired lock {key} after {n} us"),
    (7, "connection {n} taken from the pool, {n} idle"),
    (6, "serialized {n} rows to {kb} bytes"),
    (6, "retry budget is {n} of 1000"),
    (5, "request signature verified with key {hex}"),
    (4, "gc pause {n} us, heap {n} MiB of 2048 MiB"),
];

const INFO: [(u32, &str); 30] = [
    (145, "request completed with status {status} in {ms} ms, {kb} bytes sent"),
    (95, "request received from {ip} for {path}"),
    (60, "forwarding request {hex} to {service} at {ip}:8080"),
    (50, "request {hex} authorized for {user} with scope checkout"),
    (40, "order {order} moved from state pending to confirmed"),
    (40, "published event {big} to topic {topic} partition {n}"),
    (40, "consumed event {big} from topic {topic} with lag {n}"),
    (38, "inserted {n} rows into {table} in {ms} ms"),
    (36, "updated {n} rows of {table} in {ms} ms, version {n}"),
    (34, "cache refreshed for key {key}, {n} entries, {kb} bytes"),
    (32, "payment of {n}.{n2} EUR authorized by provider, reference {hex}"),
    (30, "reserved {n} units of article {big} in warehouse {n2}"),
    (28, "cart {hex} now holds {n2} items worth {n}.{n2} EUR"),
    (28, "user {user} signed in from {ip}"),
    (26, "shipment {hex} handed over to carrier, weight {n} g"),
    (26, "mail to {user} queued with template order-confirmation"),
    (24, "search for article {big} returned {n} hits in {ms} ms"),
    (24, "request handled by worker {n} after waiting {ms} ms"),
    (22, "session {hex} refreshed for {user}"),
    (22, "price of article {big} computed: {n}.{n2} EUR, discount {n2} percent"),
    (22, "saga step {n2} of order {order} completed in {ms} ms"),
    (20, "outbox relay sent {n} messages to topic {topic}"),
    (20, "transaction {big} committed on {table} after {ms} ms"),
    (20, "connection to {service} at {ip}:8080 established in {ms} ms"),
    (18, "stock of article {big} is now {n}, threshold {n2}"),
    (16, "invoice {big} rendered as \"{hex}.pdf\", {kb} bytes"),
    (14, "scheduled job reconcile-{table} finished, {n} rows checked"),
    (12, "address of {user} normalized in {ms} ms"),
    (10, "health of {service} changed from starting to ready"),
    (8, "configuration reloaded, {n2} keys changed, revision {big}"),
];

const WARN: [(u32, &str); 10] = [
    (20, "slow query on {table}: {ms} ms, {n} rows read"),
    (18, "request {hex} to {service} was retried {n2} times"),
    (14, "connection refused by {service} at {ip}:8080, trying the next address"),
    (12, "lag of topic {topic} is {big} events"),
    (10, "rate limit for {user} reached: {n} calls a minute"),
    (8, "refused the connection from {ip}, {n} are open"),
    (6, "stock of article {big} fell below {n2}"),
    (5, "certificate of {service} expires in {n2} days"),
    (4, "deprecated path {path} called by {ip}"),
    (3, "clock of host differs by {ms} ms"),
];

const ERROR: [(u32, &str); 7] = [
    (22, "request {hex} failed with status {status} after {ms} ms"),
    (18, "connection refused: {ip}:5432, giving up after {n2} attempts"),
    (16, "payment for order {order} declined by provider, code {n}"),
    (14, "timeout after {ms} ms waiting for {service}"),
    (12, "deadlock on {table}, transaction {big} rolled back"),
    (10, "compensating order {order}: stock could not be reserved"),
    (8, "could not parse event {big} of topic {topic}: unexpected byte at {n}"),
];

/// What the parts of a message are filled with, besides chance.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) user: &'a str,
    pub(crate) order: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) other_service: &'a str,
}

/// The templates of all levels, made ready for drawing.
#[derive(Debug)]
pub(crate) struct Messages {
    by_level: Vec<(WeightedIndex<u32>, Vec<Template>)>,
    rare: Template,
}

impl Messages {
    pub(crate) fn new() -> Self {
        let by_level = Level::ALL.map(|level| {
            let templates: &[(u32, &'static str)] = match level {
                Level::Debug => &DEBUG,
                Level::Info => &INFO,
                Level::Warn => &WARN,
                Level::Error => &ERROR,
            };
            let weights = WeightedIndex::new(templates.iter().map(|(weight, _)| *weight))
                .expect("the tables have positive weights");
            (weights, templates.iter().map(|(_, text)| Template::compile(text)).collect())
        });
        Self { by_level: by_level.into(), rare: Template::compile(RARE) }
    }

    /// A message of the level.
    pub(crate) fn draw(
        &self,
        level: Level,
        context: &Context<'_>,
        random: &mut impl Rng,
    ) -> String {
        let (weights, templates) = &self.by_level[level as usize];
        templates[weights.sample(random)].fill(context, random)
    }

    /// The message with the rare word.
    pub(crate) fn rare(&self, context: &Context<'_>, random: &mut impl Rng) -> String {
        self.rare.fill(context, random)
    }
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Text(&'static str),
    /// 1 to 1,000.
    Number,
    /// 1 to 99.
    SmallNumber,
    /// Up to 10,000,000.
    BigNumber,
    /// 1 to 2,000, mostly small.
    Milliseconds,
    /// 100 to 60,000.
    Bytes,
    Hex,
    Ip,
    Key,
    Table,
    Topic,
    User,
    Order,
    Path,
    Status,
    Service,
}

#[derive(Debug)]
struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    fn compile(text: &'static str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('{') {
            let (name, after) = from.split_once('}').expect("each brace of the tables is closed");
            pieces.extend([Piece::Text(before), Piece::of(name)]);
            rest = after;
        }
        pieces.push(Piece::Text(rest));
        Self { pieces }
    }

    fn fill(&self, context: &Context<'_>, random: &mut impl Rng) -> String {
        let mut out = String::with_capacity(96);
        for piece in &self.pieces {
            piece.fill(context, random, &mut out);
        }
        out
    }
}

impl Piece {
    fn of(name: &str) -> Self {
        match name {
            "n" => Self::Number,
            "n2" => Self::SmallNumber,
            "big" => Self::BigNumber,
            "ms" => Self::Milliseconds,
            "kb" => Self::Bytes,
            "hex" => Self::Hex,
            "ip" => Self::Ip,
            "key" => Self::Key,
            "table" => Self::Table,
            "topic" => Self::Topic,
            "user" => Self::User,
            "order" => Self::Order,
            "path" => Self::Path,
            "status" => Self::Status,
            "service" => Self::Service,
            other => unreachable!("the tables have no part {other}"),
        }
    }

    fn fill(self, context: &Context<'_>, random: &mut impl Rng, out: &mut String) {
        use std::fmt::Write;
        let written = match self {
            Self::Text(text) => out.write_str(text),
            Self::Number => write!(out, "{}", random.random_range(1..=1_000)),
            Self::SmallNumber => write!(out, "{}", random.random_range(10..=99)),
            Self::BigNumber => write!(out, "{}", random.random_range(1_000..10_000_000)),
            Self::Milliseconds => {
                let share: f64 = random.random();
                write!(out, "{}", 1 + (share.powi(4) * 2_000.0) as u32)
            }
            Self::Bytes => write!(out, "{}", random.random_range(100..60_000)),
            Self::Hex => write!(out, "{:012x}", random.random::<u64>() >> 16),
            Self::Ip => {
                let [a, b] = random.random::<u16>().to_be_bytes();
                write!(out, "10.{}.{a}.{b}", random.random_range(0..4))
            }
            Self::Key => write!(out, "cart:{:06}", random.random_range(0..50_000)),
            Self::Table => out.write_str(TABLES[random.random_range(0..TABLES.len())]),
            Self::Topic => out.write_str(TOPICS[random.random_range(0..TOPICS.len())]),
            Self::User => out.write_str(context.user),
            Self::Order => out.write_str(context.order),
            Self::Path => out.write_str(context.path),
            Self::Status => write!(out, "{}", context.status),
            Self::Service => out.write_str(context.other_service),
        };
        written.expect("writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sixty_templates_and_all_of_them_compile() {
        Messages::new();
        assert_eq!(DEBUG.len() + INFO.len() + WARN.len() + ERROR.len() + 1, 60);
    }
}
