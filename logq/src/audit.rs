//! `logq audit`: the collector's half of the ledger.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::arguments::{Audit, OutputForm};
use crate::exit::Exit;

#[derive(Debug, Deserialize)]
struct Answer {
    store_id: String,
    generation: u64,
    ledger: store::Ledger,
    #[serde(default)]
    troubles: BTreeMap<String, String>,
}

pub(crate) async fn run(audit: &Audit) -> Result<Exit> {
    let url = format!("{}/api/v1/ledger", audit.addr.trim_end_matches('/'));
    let response = match crate::client::new()?.get(&url).send().await {
        Ok(response) => response,
        Err(error) => return Ok(crate::client::unreachable(&audit.addr, &error)),
    };
    let status = response.status();
    let body = response.bytes().await.context("the answer was cut off")?;
    anyhow::ensure!(
        status.is_success(),
        "{url} answered {status}: {}",
        String::from_utf8_lossy(&body)
    );
    let answer: Answer =
        serde_json::from_slice(&body).with_context(|| format!("{url} is no ledger of logq"))?;
    match audit.output {
        OutputForm::Json => println!("{}", String::from_utf8_lossy(&body)),
        OutputForm::Text => print!("{}", report(&answer)),
    }
    Ok(if answer.ledger.adds_up() { Exit::Success } else { Exit::Failure })
}

fn report(answer: &Answer) -> String {
    let ledger = &answer.ledger;
    let counters = &ledger.counters;
    let mut lines = vec![format!("store {} generation {}", answer.store_id, answer.generation)];
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
    row("batches given up", ledger.lost_batches);
    row("times replaced", counters.timestamps_replaced);
    row("senders", ledger.senders);
    lines.extend(
        answer.troubles.iter().map(|(subject, detail)| format!("trouble with {subject}: {detail}")),
    );
    lines.push(match ledger.missing() {
        0 if ledger.adds_up() => "adds up".to_owned(),
        0 => "DOES NOT ADD UP: received is not duplicate + rejected + accepted".to_owned(),
        missing if missing > 0 => format!("DOES NOT ADD UP: {missing} records are missing"),
        missing => format!("DOES NOT ADD UP: {} records are there too often", -missing),
    });
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use store::{Counters, Ledger};

    use super::*;

    fn answer(indexed: u64) -> Answer {
        Answer {
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
        }
    }

    #[test]
    fn the_account_says_whether_it_adds_up() {
        assert!(report(&answer(6)).ends_with("adds up\n"));
        assert!(report(&answer(5)).ends_with("DOES NOT ADD UP: 1 records are missing\n"));
        assert!(report(&answer(7)).contains("1 records are there too often"));
    }
}
