//! `logq rules`: alert rules checked, tested, and tried over stored history before they page anybody.

mod over_http;
mod over_queries;
mod over_records;

use std::path::{Path, PathBuf};
use std::time::Duration;

use alerting::{Backtest, Cases, Fired, Lab, QueryFault, RuleHistory, Rules};
use anyhow::{Context, Result};
use query::{Plan, QueryError};
use record::{Timestamp, time_parameter};
use serde_json::{Map, Value, json};

use self::over_http::OverHttp;
pub(crate) use self::over_queries::OverQueries;
use self::over_records::OverRecords;
use crate::arguments::{
    BacktestRules, CheckRules, DiffRules, OutputForm, Past, RulesCommand, TestRules,
};
use crate::client;
use crate::exit::Exit;
use crate::output::{ColorChoice, Printer, Style, milliseconds, print_lines, row};

/// Times at which a rule would have fired that are listed.
const LISTED_MAX: usize = 10;

pub(crate) async fn run(command: RulesCommand) -> Result<Exit> {
    match command {
        RulesCommand::Check(CheckRules { files }) => Ok(check(&files)),
        RulesCommand::Test(test) => tokio::task::spawn_blocking(move || run_tests(&test)).await?,
        RulesCommand::Backtest(backtest) => backtest_of(&backtest).await,
        RulesCommand::Diff(diff) => difference(&diff).await,
    }
}

/// What is wrong with a query, by the whole language.
pub(crate) fn faults_of(query: &str) -> Vec<QueryFault> {
    match Plan::new(query) {
        Ok(_) => Vec::new(),
        Err(QueryError::Query { diagnostics, .. }) => diagnostics
            .0
            .into_iter()
            .map(|fault| {
                let help = fault.help.map_or_else(String::new, |help| format!("; {help}"));
                (fault.span.start..fault.span.end, format!("{}{help}", fault.message))
            })
            .collect(),
        Err(other) => vec![(0..query.len(), other.to_string())],
    }
}

/// The rules of a file; what is wrong with them is printed.
fn read(file: &Path) -> Result<Rules, Exit> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        eprintln!("logq: {}: {error}", file.display());
        Exit::Usage
    })?;
    alerting::read(&text, &faults_of).map_err(|faults| {
        eprintln!("{}:\n{faults}", file.display());
        Exit::Usage
    })
}

fn counted(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

fn check(files: &[PathBuf]) -> Exit {
    let mut exit = Exit::Success;
    for file in files {
        match read(file) {
            Ok(rules) => {
                let count: usize = rules.groups.iter().map(|group| group.rules.len()).sum();
                println!("{}: fine, {}", file.display(), counted(count, "rule"));
            }
            Err(wrong) => exit = wrong,
        }
    }
    exit
}

fn run_tests(test: &TestRules) -> Result<Exit> {
    let (mut passed, mut failed) = (0, 0);
    for file in &test.files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let cases = match Cases::read(&text) {
            Ok(cases) => cases,
            Err(error) => {
                eprintln!("logq: {}: {error}", file.display());
                return Ok(Exit::Usage);
            }
        };
        let rules = match read(&file.parent().unwrap_or(Path::new(".")).join(&cases.rules)) {
            Ok(rules) => rules,
            Err(exit) => return Ok(exit),
        };
        for case in &cases.tests {
            let wrong = case.lines().and_then(|lines| {
                let records = OverRecords::new(&lines).map_err(|error| format!("{error:#}"))?;
                case.run(&rules, &records)
            });
            match wrong {
                Ok(wrong) if wrong.is_empty() => {
                    passed += 1;
                    println!("ok      {}", case.name);
                }
                Ok(wrong) => {
                    failed += 1;
                    println!("FAILED  {}", case.name);
                    wrong.iter().for_each(|line| println!("          {line}"));
                }
                Err(error) => {
                    eprintln!("logq: {}: {}: {error}", file.display(), case.name);
                    return Ok(Exit::Usage);
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
}

/// Tries rules over the history that a server has.
async fn try_over(rules: Rules, past: &Past) -> Result<Result<Backtest, Exit>> {
    let now = Timestamp::now();
    let time = |name: &str, text: &str| {
        time_parameter::parse(text, now).map_err(|error| {
            eprintln!("logq: --{name} {error}");
            Exit::Usage
        })
    };
    let (from, until) = match (time("since", &past.since), time("until", &past.until)) {
        (Ok(from), Ok(until)) => (from.0, until.0),
        (Err(exit), _) | (_, Err(exit)) => return Ok(Err(exit)),
    };
    let server = &past.asking.server;
    let client = match server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(Err(exit)),
    };
    // A server that is not there is told once, not by every evaluation.
    if let Err(error) = client.get(format!("{}/health/live", server.addr)).send().await {
        return Ok(Err(client::unreachable(&server.addr, &error)));
    }
    let runner = OverHttp::new(client, &server.addr, tokio::runtime::Handle::current());
    let step = past.step;
    let backtest =
        tokio::task::spawn_blocking(move || Lab::backtest(&rules, from, until, step, &runner));
    Ok(Ok(backtest.await?))
}

async fn backtest_of(asked: &BacktestRules) -> Result<Exit> {
    let rules = match read(&asked.file) {
        Ok(rules) => rules,
        Err(exit) => return Ok(exit),
    };
    let backtest = match try_over(rules, &asked.past).await? {
        Ok(backtest) => backtest,
        Err(exit) => return Ok(exit),
    };
    if asked.past.asking.output == OutputForm::Json {
        println!("{}", json_of(&backtest));
        return Ok(exit_of(&[&backtest]));
    }
    let rows = backtest.rules.iter().map(|rule| {
        row(&[
            ("alert", rule.alert.clone().into()),
            ("fired", rule.fired.len().into()),
            ("fired for", milliseconds(rule.firing_nanos as f64 / 1e6).into()),
            ("evaluations", rule.evaluations.into()),
            ("failed", rule.failures.0.into()),
        ])
    });
    print_lines(&rows.collect::<Vec<_>>(), asked.past.asking.output)?;
    if asked.past.asking.output == OutputForm::Text {
        list_fired(&backtest)?;
    }
    say_failures(&backtest);
    Ok(exit_of(&[&backtest]))
}

/// Of each rule, when it would have fired, for how long, and the newest record behind it.
fn list_fired(backtest: &Backtest) -> Result<()> {
    for rule in backtest.rules.iter().filter(|rule| !rule.fired.is_empty()) {
        println!("\n{}", rule.alert);
        for Fired { alert, samples } in rule.fired.iter().take(LISTED_MAX) {
            let from = Timestamp(alert.fired_at.unwrap_or(alert.active_at));
            let took = match alert.resolved_at {
                Some(over) => milliseconds(over.saturating_sub(from.0) as f64 / 1e6),
                None => "until the end".to_owned(),
            };
            let labels = alert.labels.iter().filter(|(name, _)| *name != "alertname");
            let labels: Vec<String> =
                labels.map(|(name, value)| format!("{name}={value}")).collect();
            let values = alert.values.iter().map(|(name, value)| format!("{name}={value}"));
            println!(
                "  {from}  {took:<13}  {}  {}",
                labels.join(" "),
                values.collect::<Vec<_>>().join(" ")
            );
            if let Some(newest) = samples.first() {
                print!("    {}", record_line(newest)?);
            }
        }
        if rule.fired.len() > LISTED_MAX {
            println!("  and {} times more", rule.fired.len() - LISTED_MAX);
        }
    }
    Ok(())
}

/// A record as a search shows it, with its end of line.
fn record_line(record: &Map<String, Value>) -> Result<String> {
    let style = Style::of_stdout(ColorChoice::Auto);
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, OutputForm::Text, style, "*");
    printer.line(serde_json::to_string(record)?.as_bytes())?;
    printer.finish()?;
    drop(printer);
    Ok(String::from_utf8(out)?)
}

async fn difference(asked: &DiffRules) -> Result<Exit> {
    let mut both = Vec::new();
    for file in [&asked.old, &asked.new] {
        let rules = match read(file) {
            Ok(rules) => rules,
            Err(exit) => return Ok(exit),
        };
        match try_over(rules, &asked.past).await? {
            Ok(backtest) => both.push(backtest),
            Err(exit) => return Ok(exit),
        }
    }
    let [old, new] = &both[..] else { return Ok(Exit::Failure) };
    let mut names: Vec<&str> = old.rules.iter().map(|rule| &*rule.alert).collect();
    names.extend(
        new.rules
            .iter()
            .map(|rule| &*rule.alert)
            .filter(|name| !old.rules.iter().any(|rule| rule.alert == **name)),
    );
    let of = |backtest: &Backtest, name: &str| {
        let all: Vec<&RuleHistory> =
            backtest.rules.iter().filter(|rule| rule.alert == name).collect();
        match all.is_empty() {
            true => Value::Null,
            false => all.iter().map(|rule| rule.fired.len()).sum::<usize>().into(),
        }
    };
    let rows = names.iter().map(|name| {
        row(&[("alert", (*name).into()), ("old", of(old, name)), ("new", of(new, name))])
    });
    print_lines(&rows.collect::<Vec<_>>(), asked.past.asking.output)?;
    let total =
        |backtest: &Backtest| backtest.rules.iter().map(|rule| rule.fired.len()).sum::<usize>();
    if asked.past.asking.output == OutputForm::Text {
        println!("\nit would have fired {} times, not {}", total(new), total(old));
    }
    say_failures(old);
    say_failures(new);
    Ok(exit_of(&[old, new]))
}

fn say_failures(backtest: &Backtest) {
    for rule in &backtest.rules {
        if let (failures, Some(first)) = &rule.failures {
            eprintln!(
                "logq: {}: {failures} evaluations failed, the first of them: {first}",
                rule.alert
            );
        }
    }
}

/// Partial where an evaluation failed.
fn exit_of(backtests: &[&Backtest]) -> Exit {
    let mut rules = backtests.iter().flat_map(|backtest| &backtest.rules);
    if rules.any(|rule| rule.failures.0 > 0) { Exit::Partial } else { Exit::Success }
}

fn json_of(backtest: &Backtest) -> Value {
    let rules = backtest.rules.iter().map(|rule| {
        json!({
            "alert": rule.alert, "evaluations": rule.evaluations, "failed": rule.failures.0,
            "firing_ms": rule.firing_nanos as f64 / 1e6, "fired": rule.fired,
        })
    });
    json!({
        "from": Timestamp(backtest.from).to_string(), "until": Timestamp(backtest.until).to_string(),
        "rules": rules.collect::<Vec<_>>(),
    })
}

/// A length of time, for the command line.
pub(crate) fn step(text: &str) -> Result<Duration, String> {
    service::config::parse_duration(text).and_then(|step| match step.as_secs() {
        0 => Err("give a second or more".to_owned()),
        _ => Ok(step),
    })
}
