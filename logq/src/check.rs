//! `logq check`: reads everything in a data folder that no process uses, and says what is damaged.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;
use store::{CheckReport, StoreError};

use crate::arguments::{Check, ReportForm};
use crate::exit::Exit;

/// Checks the folder; 0 if all is well, 1 if something is damaged, 2 if it cannot be checked.
pub(crate) fn run(check: &Check) -> Result<Exit> {
    let report = match store::check(&check.data) {
        Ok(report) => report,
        Err(error @ StoreError::Locked { .. }) => {
            eprintln!("logq: {error}");
            eprintln!(
                "a running logq checks its segments by itself; /health/ready tells what it found"
            );
            return Ok(Exit::Usage);
        }
        Err(error) => {
            eprintln!("logq: {error}");
            return Ok(Exit::Usage);
        }
    };
    match check.output {
        ReportForm::Text => print!("{}", text(&report)),
        ReportForm::Json => println!("{}", to_json(&report)),
    }
    Ok(if report.faults.is_empty() { Exit::Success } else { Exit::Failure })
}

fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: u64| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name:<28}{value:>13}");
    };
    line("segments", report.segments);
    line("  bytes", report.segment_bytes);
    line("  records", report.rows);
    line("journal files", report.journal_files);
    line("  entries", report.journal_entries);
    line("  records not in segments", report.journal_records);
    line("files never published", report.unpublished_files);
    line("files in quarantine", report.quarantined_files);
    for fault in &report.faults {
        let _ = writeln!(text, "DAMAGED {}: {}", fault.path.display(), fault.detail);
    }
    if report.faults.is_empty() {
        text.push_str("nothing is damaged\n");
    }
    text
}

fn to_json(report: &CheckReport) -> serde_json::Value {
    let faults = report.faults.iter();
    let faults: Vec<_> =
        faults.map(|fault| json!({"path": fault.path, "detail": fault.detail})).collect();
    json!({
        "damaged": !report.faults.is_empty(),
        "segments": report.segments,
        "segment_bytes": report.segment_bytes,
        "records": report.rows,
        "journal_files": report.journal_files,
        "journal_entries": report.journal_entries,
        "journal_records": report.journal_records,
        "unpublished_files": report.unpublished_files,
        "quarantined_files": report.quarantined_files,
        "faults": faults,
    })
}

#[cfg(test)]
mod tests {
    use store::CheckFault;

    use super::*;

    #[test]
    fn what_is_damaged_is_a_line_each_below_what_was_looked_at() {
        let mut report = CheckReport { segments: 3, rows: 1_200, ..CheckReport::default() };
        assert!(text(&report).ends_with("nothing is damaged\n"));
        report.faults.push(CheckFault {
            path: "segments/0000000000000007.records.parquet".into(),
            detail: "its checksum is wrong".into(),
        });
        insta::assert_snapshot!(text(&report), @r"
        segments                                3
          bytes                                 0
          records                            1200
        journal files                           0
          entries                               0
          records not in segments               0
        files never published                   0
        files in quarantine                     0
        DAMAGED segments/0000000000000007.records.parquet: its checksum is wrong
        ");
        assert_eq!(to_json(&report)["damaged"], true);
    }
}
