//! Compares what the store has with what it must have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::collector::Collector;
use super::server::eventually;
use super::timeline::Timeline;
use super::truth::{Content, Files};
use super::writer::{Log, Written};

/// So many of one kind of fault are told in full.
const TOLD_MAX: usize = 10;
/// How much of what was done around a fault is told.
const AROUND: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) written: &'a BTreeMap<u64, Written>,
    pub(crate) files: &'a Files,
    pub(crate) deleted: &'a Content,
    pub(crate) logs: &'a [Log],
    pub(crate) collector: &'a Collector<'a>,
    pub(crate) timeline: &'a Timeline,
}

impl Verdict<'_> {
    /// Everything that is not as it has to be; `status` is what the agent says in the end.
    pub(crate) fn faults(&self, status: &Value) -> Vec<String> {
        let stored = self.collector.ids(self.written.len() as u64);
        let mut faults = self.faults_of_lines(&stored);
        let stored = stored.into_iter().collect();
        self.check_fragments(&stored, status, &mut faults);
        self.check_truncations(&stored, &mut faults);
        self.check_accounts(status, &mut faults);
        faults
    }

    fn faults_of_lines(&self, stored: &[u64]) -> Vec<String> {
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        stored.iter().for_each(|id| *times.entry(*id).or_default() += 1);
        let (mut missing, mut doubled) = (Vec::new(), Vec::new());
        for (id, written) in self.written {
            let on_disk = self.files.ids.contains_key(id) || self.deleted.ids.contains(id);
            assert!(on_disk || written.window.is_some(), "line {id} is in no file: {written:?}");
            match times.get(id).copied().unwrap_or(0) {
                0 if on_disk => missing.push(*id),
                0 | 1 => {}
                _ => doubled.push(*id),
            }
        }
        let mut faults = Vec::new();
        self.tell("MISSING", &missing, &mut faults);
        self.tell("DOUBLED", &doubled, &mut faults);
        faults
    }

    /// The first of each run of ids of a log, with what was done around it.
    fn tell(&self, what: &str, ids: &[u64], faults: &mut Vec<String>) {
        if ids.is_empty() {
            return;
        }
        faults.push(format!("{what}: {} lines", ids.len()));
        let mut runs: BTreeMap<(usize, String), Vec<u64>> = BTreeMap::new();
        for id in ids {
            let place = match self.files.ids.get(id) {
                Some(path) => path.display().to_string(),
                None => "a file that was deleted, or truncated".to_owned(),
            };
            runs.entry((self.written[id].log, place)).or_default().push(*id);
        }
        for ((log, place), ids) in runs.iter().take(TOLD_MAX) {
            let (first, last) = (ids[0], ids[ids.len() - 1]);
            let (from, to) = (self.written[&first].at, self.written[&last].at);
            faults.push(format!(
                "{what} {} lines of {}, ids {first} to {last}, written from {:.3} s to {:.3} s, in {place}\n{}",
                ids.len(),
                self.logs[*log].path.display(),
                from.as_secs_f64(),
                to.as_secs_f64(),
                self.timeline.around(from.saturating_sub(AROUND), to + AROUND, &[self.logs[*log].actor()])
            ));
        }
    }

    /// Records that are no line can only be halves of lines that a truncation tore. The first half, at the end of a
    /// copy, is not stored where the agent had read the whole line before it was truncated away, nor where it has only
    /// ever seen the copy: that may be a log, whose last line it waits for and says so.
    fn check_fragments(&self, stored: &BTreeSet<u64>, status: &Value, faults: &mut Vec<String>) {
        let of_deleted = self.deleted.fragments.iter().map(|text| (text, Path::new("gone")));
        let of_files = self.files.fragments.iter().map(|(text, path)| (text, path.as_path()));
        let mut pieces = self.collector.fragments().unwrap();
        for (fragment, path) in of_deleted.chain(of_files) {
            let at = pieces.iter().position(|text| text == fragment);
            let found = at.map(|at| pieces.swap_remove(at)).is_some();
            let whole = id_of_first_half(fragment).is_some_and(|id| stored.contains(&id));
            let what = match (found, whole) {
                (true, false) | (false, true) => continue,
                (false, false) if is_waited_for(status, path) => continue,
                (true, true) => "DOUBLED, in pieces too",
                (false, false) => "MISSING a piece",
            };
            faults.push(format!("{what}: of {}: {}", path.display(), cut(fragment)));
        }
        let unknown = pieces.iter().map(|text| format!("UNKNOWN piece of a line: {}", cut(text)));
        faults.extend(unknown);
    }

    /// What truncations took away was told of.
    fn check_truncations(&self, stored: &BTreeSet<u64>, faults: &mut Vec<String>) {
        let lost = self.written.iter().filter(|(id, _)| !stored.contains(id));
        let windows: BTreeSet<(usize, u64)> =
            lost.filter_map(|(_, written)| Some((written.log, written.window?))).collect();
        let query = "service:logq-agent event_name:logq.agent.file_truncated";
        let events = self.collector.rows(query).unwrap();
        for (log, number) in windows {
            let (log, window) = (&self.logs[log], self.logs[log].window(number));
            // It may have another name since.
            let stem = log.path.with_extension("").display().to_string();
            let told = events.iter().any(|event| {
                let at: Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
                let path = event["attributes"]["logq.path"].as_str().unwrap();
                at >= window.from && path.starts_with(&stem)
            });
            if window.is_known && !told {
                faults.push(format!(
                    "UNTOLD: lines of {} were lost when it was truncated after {}",
                    log.path.display(),
                    window.from
                ));
            }
        }
    }

    /// Both halves of the account add up, and say that nothing was dropped or refused.
    fn check_accounts(&self, status: &Value, faults: &mut Vec<String>) {
        let ledger = &status["ledger"];
        for (name, none) in [
            ("filtered", 0.into()),
            ("dropped", serde_json::json!({})),
            ("dead_lettered", 0.into()),
        ] {
            if ledger[name] != none {
                faults.push(format!("the agent's account says {name}: {}", ledger[name]));
            }
        }
        let of_agent = ledger["acknowledged"].as_u64().unwrap_or(0);
        // The last heartbeat may be a second old.
        let audit = eventually("a heartbeat with the last figures", || {
            let audit = self.collector.audit();
            let answer = audit.json_lines().swap_remove(0);
            let heard = answer["agents_sum"]["acknowledged"].as_u64() >= Some(of_agent);
            heard.then_some((audit.code, answer))
        });
        let (code, answer) = audit;
        let accepted = answer["ledger"]["accepted"].as_u64();
        let agents = answer["agents"].as_array().map(Vec::len);
        if code != 0 || accepted != Some(of_agent) || agents != Some(1) {
            faults.push(format!("logq audit ends with {code}, agent: {ledger}\n{answer:#}"));
        }
    }
}

/// Whether the agent says that it waits for the end of the last line of a file.
fn is_waited_for(status: &Value, path: &Path) -> bool {
    let sources = status["sources"].as_array().into_iter().flatten();
    let mut files = sources.filter_map(|source| source["files"].as_array()).flatten();
    files.any(|file| file["path"].as_str() == path.to_str() && file["incomplete_line_bytes"] != 0)
}

/// The id of the line that a fragment begins, if it goes so far.
fn id_of_first_half(fragment: &str) -> Option<u64> {
    let (_, id) = fragment.strip_prefix("{\"ts\":")?.split_once("\"id\":")?;
    id.split_once(',')?.0.parse().ok()
}

fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}
