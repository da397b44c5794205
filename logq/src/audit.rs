//! `logq audit`: both halves of the account of every record, the collector's and that of each agent.
//!
//! `logq ship` sends no heartbeats: what it shipped is in the collector's half only.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use collector::{AgentList, AgentStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::{Audit, ReportForm};
use crate::exit::Exit;

/// The collector's half.
#[derive(Debug, Deserialize)]
struct Collected {
    store_id: String,
    generation: u64,
    ledger: store::Ledger,
    #[serde(default)]
    troubles: BTreeMap<String, String>,
}

/// Both halves.
#[derive(Debug)]
struct Account {
    collected: Collected,
    agents: AgentList,
}

pub(crate) async fn run(audit: &Audit) -> Result<Exit> {
    let client = match crate::client::new(&audit.collector.addr, &audit.collector.access) {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let ledger = match ask(&client, &audit.collector.addr, "/api/v1/ledger").await? {
        Ok(ledger) => ledger,
        Err(exit) => return Ok(exit),
    };
    let agents = match ask(&client, &audit.collector.addr, "/api/v1/agents").await? {
        Ok(agents) => agents,
        Err(exit) => return Ok(exit),
    };
    let not_ours = || format!("{} is no collector of logq", audit.collector.addr);
    let account = Account {
        collected: Collected::deserialize(&ledger).with_context(not_ours)?,
        agents: AgentList::deserialize(&agents).with_context(not_ours)?,
    };
    let faults = account.faults();
    match audit.output {
        ReportForm::Json => println!("{}", account.to_json(ledger, &agents, &faults)),
        ReportForm::Text => print!("{}", account.report(&faults)),
    }
    Ok(if faults.is_empty() { Exit::Success } else { Exit::Failure })
}

/// The collector's answer, or how to end if it cannot be reached or does not let us in.
async fn ask(client: &reqwest::Client, addr: &str, path: &str) -> Result<Result<Value, Exit>> {
    let url = format!("{}{path}", addr.trim_end_matches('/'));
    let response = match client.get(&url).send().await {
        Ok(response) => response,
        Err(error) => return Ok(Err(crate::client::unreachable(addr, &error))),
    };
    let status = response.status();
    let body = response.bytes().await.context("the answer was cut off")?;
    if let Some(exit) = crate::client::not_let_in(addr, status, &body) {
        return Ok(Err(exit));
    }
    let text = String::from_utf8_lossy(&body);
    anyhow::ensure!(status.is_success(), "{url} answered {status}: {}", text.trim_end());
    let answer = serde_json::from_slice(&body);
    answer.map(Ok).with_context(|| format!("{url} is no account of logq"))
}

/// Reads a count of an agent.
type Count = fn(&AgentStatus) -> u64;

/// The counts of agents that the table shows, in its order.
const COLUMNS: [(&str, Count); 7] = [
    ("read", |agent| agent.heartbeat.ledger.read),
    ("filtered", |agent| agent.heartbeat.ledger.filtered),
    ("dropped", |agent| agent.heartbeat.ledger.dropped_total()),
    ("dead-lettered", |agent| agent.heartbeat.ledger.dead_lettered),
    ("spooled", |agent| agent.heartbeat.ledger.spooled),
    ("acknowledged", |agent| agent.heartbeat.ledger.acknowledged),
    ("store has", |agent| agent.store_all_epochs.records_accepted),
];

impl Account {
    /// What does not add up, a line each.
    fn faults(&self) -> Vec<String> {
        let ledger = &self.collected.ledger;
        let mut faults = Vec::new();
        match ledger.missing() {
            0 if ledger.adds_up() => {}
            0 => faults.push("received is not duplicate + rejected + accepted".to_owned()),
            missing if missing > 0 => faults.push(format!("{missing} records are missing")),
            missing => faults.push(format!("{} records are there too often", -missing)),
        }
        for agent in self.agents.agents.iter().filter(|agent| !agent.silent) {
            let of_agent = agent.faults.iter();
            faults.extend(of_agent.map(|fault| format!("agent {}: {fault}", name(agent))));
        }
        faults
    }

    /// The collector's answer with the agents', and the verdict over both.
    fn to_json(&self, mut ledger: Value, agents: &Value, faults: &[String]) -> Value {
        let sums = COLUMNS.map(|(column, _)| column.replace([' ', '-'], "_"));
        let sums: serde_json::Map<String, Value> =
            sums.into_iter().zip(self.sums().map(Value::from)).collect();
        ledger["agents"] = agents["agents"].clone();
        ledger["agents_sum"] = sums.into();
        ledger["watermark"] = agents["watermark"].clone();
        ledger["adds_up"] = json!(faults.is_empty());
        ledger["faults"] = json!(faults);
        ledger
    }

    fn report(&self, faults: &[String]) -> String {
        let mut lines = self.collector_lines();
        if !self.agents.agents.is_empty() {
            lines.push(String::new());
            lines.extend(self.agent_table());
            lines.push(format!("watermark {}", self.agents.watermark.0));
            for agent in &self.agents.agents {
                let troubles = agent.heartbeat.trouble.iter();
                lines.extend(
                    troubles
                        .map(|trouble| format!("trouble with agent {}: {trouble}", name(agent))),
                );
                if agent.epoch_retired {
                    lines.push(format!(
                        "agent {}: more than 64 newer epochs of it are known, so its count is not compared with \
                         the store's",
                        name(agent)
                    ));
                }
            }
        }
        match faults {
            [] => lines.push("adds up".to_owned()),
            faults => {
                lines.extend(faults.iter().map(|fault| format!("DOES NOT ADD UP: {fault}")));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn collector_lines(&self) -> Vec<String> {
        let Collected { store_id, generation, ledger, troubles } = &self.collected;
        let counters = &ledger.counters;
        let mut lines = vec![format!("store {store_id} generation {generation}")];
        let mut row = |name: &str, count: u64| lines.push(format!("{name:<24}{count:>16}"));
        row("received", ledger.received);
        row("  duplicate", counters.duplicate);
        row("  rejected", counters.rejected_total());
        for (reason, count) in &counters.rejected {
            row(&format!("    {reason}"), *count);
        }
        row("  accepted", counters.accepted);
        row("accepted", counters.accepted);
        row("  in parts", ledger.in_parts);
        row("  indexed", ledger.indexed);
        row("  expired", counters.expired);
        row("  quarantined", counters.quarantined);
        if counters.deleted > 0 {
            row("  deleted", counters.deleted);
        }
        row("batches given up", ledger.lost_batches);
        row("times replaced", counters.timestamps_replaced);
        row("senders", ledger.senders);
        if ledger.senders_forgotten > 0 {
            row("senders forgotten", ledger.senders_forgotten);
        }
        lines.extend(
            troubles.iter().map(|(subject, detail)| format!("trouble with {subject}: {detail}")),
        );
        lines
    }

    fn sums(&self) -> [u64; COLUMNS.len()] {
        COLUMNS.map(|(_, count)| self.agents.agents.iter().map(count).fold(0, u64::saturating_add))
    }

    /// A line an agent, names to the left and counts to the right; a sum if there is something to add.
    fn agent_table(&self) -> Vec<String> {
        let mut rows =
            vec![row("agent", "host", COLUMNS.map(|(column, _)| column.to_owned()), "heard")];
        for agent in &self.agents.agents {
            let counts = COLUMNS.map(|(_, count)| count(agent).to_string());
            let ago = ago(agent.heard_ago_ms);
            let heard = if agent.silent { format!("last heard {ago}") } else { ago };
            rows.push(row(&name(agent), &agent.heartbeat.host, counts, &heard));
        }
        if self.agents.agents.len() > 1 {
            rows.push(row("sum", "", self.sums().map(|sum| sum.to_string()), ""));
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> =
            (0..rows[0].len()).map(|column| width(column).unwrap_or(0)).collect();
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                match (2..2 + COLUMNS.len()).contains(&column) {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        rows.iter().map(line).collect()
    }
}

fn row(agent: &str, host: &str, counts: [String; COLUMNS.len()], heard: &str) -> Vec<String> {
    let mut cells = vec![agent.to_owned(), host.to_owned()];
    cells.extend(counts);
    cells.push(heard.to_owned());
    cells
}

/// Its id, with its tenant if that is not the usual one.
fn name(agent: &AgentStatus) -> String {
    match agent.tenant.as_str() {
        service::principal::TENANT_DEFAULT => agent.heartbeat.agent.clone(),
        tenant => format!("{tenant}/{}", agent.heartbeat.agent),
    }
}

fn ago(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..60 => format!("{seconds}s ago"),
        seconds @ 60..3_600 => format!("{}m ago", seconds / 60),
        seconds @ 3_600..172_800 => format!("{}h ago", seconds / 3_600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use store::{Counters, Ledger};

    use super::*;

    /// Counts in the order read, filtered, dropped, dead-lettered, held, spooled, acknowledged, reported.
    fn agent(name: &str, counts: [u64; 8], heard_ago_ms: u64, faults: &[&str]) -> Value {
        let [read, filtered, full, dead_lettered, held, spooled, acknowledged, reported] = counts;
        let stored =
            json!({"records_accepted": acknowledged, "batches_accepted": 3, "lost_batches": 0});
        json!({
            "tenant": "default", "agent": name, "epoch": "e1", "host": format!("{name}.example"),
            "version": "0.1.0", "started": null, "sent_at": "2026-01-02T03:04:05Z", "oldest_unshipped": null,
            "ledger": {
                "read": read, "filtered": filtered, "dropped": {"full": full}, "dead_lettered": dead_lettered,
                "spooled": spooled, "acknowledged": acknowledged, "held": held, "reported": reported,
            },
            "acknowledged_in_epoch": {"records": acknowledged, "batches": 3},
            "spool_bytes": 0, "sources": 1, "trouble": [], "heard_ago_ms": heard_ago_ms,
            "silent": heard_ago_ms > 30_000, "clock_ahead_ms": 0, "store": stored, "store_at_heartbeat": stored,
            "records_before_heartbeat": 0, "store_all_epochs": stored, "epoch_retired": false, "faults": faults,
        })
    }

    fn account(indexed: u64, agents: &[Value]) -> Account {
        let list = json!({"watermark": "2026-01-02T03:04:00Z", "agents": agents});
        Account {
            collected: Collected {
                store_id: "abc".into(),
                generation: 1,
                ledger: Ledger {
                    received: 12,
                    counters: Counters { duplicate: 2, accepted: 10, ..Counters::default() },
                    in_parts: 4,
                    indexed,
                    lost_batches: 0,
                    senders: 1,
                    senders_forgotten: 0,
                },
                troubles: BTreeMap::new(),
            },
            agents: serde_json::from_value(list).unwrap(),
        }
    }

    fn report(account: &Account) -> String {
        account.report(&account.faults())
    }

    #[test]
    fn the_collectors_account_says_whether_it_adds_up() {
        assert!(report(&account(6, &[])).ends_with("adds up\n"));
        assert!(report(&account(5, &[])).ends_with("DOES NOT ADD UP: 1 records are missing\n"));
        assert!(report(&account(7, &[])).contains("1 records are there too often"));
    }

    #[test]
    fn agents_are_a_table_with_a_sum_below_the_collectors_half() {
        let mut slow = agent("web-20", [123_456, 0, 3, 0, 0, 0, 123_453, 0], 1_999, &[]);
        slow["tenant"] = "shop".into();
        slow["trouble"] = json!(["/var/log/app.log cannot be read"]);
        let account = account(
            6,
            &[
                agent("web1", [100, 10, 5, 1, 6, 20, 60, 2], 2_100, &[]),
                slow,
                agent("web3", [7, 0, 0, 0, 0, 0, 9, 0], 4 * 60_000, &["not judged"]),
            ],
        );
        insta::assert_snapshot!(report(&account), @r"
        store abc generation 1
        received                              12
          duplicate                            2
          rejected                             0
          accepted                            10
        accepted                              10
          in parts                             4
          indexed                              6
          expired                              0
          quarantined                          0
        batches given up                       0
        times replaced                         0
        senders                                1

        agent        host              read  filtered  dropped  dead-lettered  spooled  acknowledged  store has  heard
        web1         web1.example       100        10        5              1       20            60         60  2s ago
        shop/web-20  web-20.example  123456         0        3              0        0        123453     123453  1s ago
        web3         web3.example         7         0        0              0        0             9          9  last heard 4m ago
        sum                          123563        10        8              1       20        123522     123522
        watermark 2026-01-02T03:04:00Z
        trouble with agent shop/web-20: /var/log/app.log cannot be read
        adds up
        ");
    }

    #[test]
    fn each_equation_that_fails_is_a_line_and_all_of_it_is_in_the_json() {
        let lost = "9 records of epoch e1 were acknowledged, the store has 7: 2 records are LOST";
        let account = account(5, &[agent("web1", [9, 0, 0, 0, 0, 0, 9, 0], 0, &["first", lost])]);
        let faults = account.faults();
        insta::assert_snapshot!(account.report(&faults), @r"
        store abc generation 1
        received                              12
          duplicate                            2
          rejected                             0
          accepted                            10
        accepted                              10
          in parts                             4
          indexed                              5
          expired                              0
          quarantined                          0
        batches given up                       0
        times replaced                         0
        senders                                1

        agent  host          read  filtered  dropped  dead-lettered  spooled  acknowledged  store has  heard
        web1   web1.example     9         0        0              0        0             9          9  0s ago
        watermark 2026-01-02T03:04:00Z
        DOES NOT ADD UP: 1 records are missing
        DOES NOT ADD UP: agent web1: first
        DOES NOT ADD UP: agent web1: 9 records of epoch e1 were acknowledged, the store has 7: 2 records are LOST
        ");
        let agents = serde_json::to_value(&account.agents).unwrap();
        let all = account.to_json(json!({"adds_up": true, "missing": 1}), &agents, &faults);
        assert_eq!((&all["adds_up"], &all["missing"]), (&json!(false), &json!(1)));
        assert_eq!(all["faults"].as_array().unwrap().len(), 3);
        assert_eq!(all["agents"][0]["agent"], "web1");
        assert_eq!(all["agents_sum"]["dead_lettered"], 0);
        assert_eq!(all["agents_sum"]["store_has"], 9);
    }

    #[test]
    fn how_long_ago_is_said_in_one_unit() {
        for (ms, says) in
            [(999, "0s ago"), (59_999, "59s ago"), (60_000, "1m ago"), (7_200_000, "2h ago")]
        {
            assert_eq!(ago(ms), says);
        }
        assert_eq!(ago(u64::MAX), "213503982334d ago");
    }
}
