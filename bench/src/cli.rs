//! `bench cli`: what people type, and what they would type without logq: `logq`, `rg` and `jq` in one run.
//!
//! The same corpus is in the store and in a file of JSON lines. Each question is a whole command, run by `sh`, its
//! output thrown away; the rows that logq and rg find are counted beforehand and must be the same. A peer that is not
//! installed is left out, and that is said.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::corpus::{self, COMMON_WORD, CorpusOptions, DAY_END, DAY_START, Generator};
use crate::home::Home;
use crate::load::{Batches, LoadOptions};
use crate::process::Usage;
use crate::queries;
use crate::report;
use crate::samples::Samples;
use crate::server::{Installation, Server};
use crate::table::Table;

const RUNS: usize = 5;
/// How often the memory of a running command is read.
const READ_EVERY: Duration = Duration::from_millis(5);
/// The bound of the design on either side of an export.
const EXPORT_BYTES_MAX: u64 = 150_000_000;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CliOptions {
    #[command(flatten)]
    pub(crate) corpus: CorpusOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// Peers to run beside logq
    #[arg(long, value_delimiter = ',', default_value = "rg,jq")]
    pub(crate) peers: Vec<String>,
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    pub(crate) logq: Option<PathBuf>,
    /// Folder for the data and the file, kept afterwards, and used again when it holds this corpus
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
    /// Folder for the report
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
}

/// A question, as commands; `FILE` is the corpus, `ID` a correlation id, `LOGQ` the binary and its times.
struct Question {
    name: &'static str,
    logq: &'static str,
    rg: Option<&'static str>,
    jq: &'static str,
    /// Whether the lines that come out are the same number.
    same: bool,
}

const QUESTIONS: [Question; 6] = [
    Question {
        name: "one record of level error",
        logq: "LOGQ 'level:error' | head -1",
        rg: Some("rg -m 1 '\"level\":\"error\"' FILE"),
        jq: "jq -c 'select(.level == \"error\")' FILE | head -1",
        same: true,
    },
    Question {
        name: "all records of one correlation",
        logq: "LOGQ 'correlation:ID' -n all",
        rg: Some("rg -F '\"ID\"' FILE"),
        jq: "jq -c 'select(.correlation_id == \"ID\")' FILE",
        same: true,
    },
    Question {
        name: "how many have a common word",
        logq: "LOGQ 'WORD | stats count()'",
        rg: Some("rg -c '\"message\":\"[^\"]*\\bWORD\\b' FILE"),
        jq: "jq -n 'reduce (inputs | select(.message | test(\"\\\\bWORD\\\\b\"))) as $x (0; . + 1)' FILE",
        same: true,
    },
    Question {
        name: "errors by service",
        logq: "LOGQ 'level:error | stats count() by service' -o csv | tail -n +2",
        rg: Some("rg '\"level\":\"error\"' FILE | rg -o '\"service\":\"[^\"]*\"' | sort | uniq -c"),
        jq: "jq -r 'select(.level == \"error\") | .service' FILE | sort | uniq -c",
        same: true,
    },
    Question {
        name: "p95 of a number by service",
        logq: "LOGQ '* | stats p95(duration_ms) by service' -o csv",
        rg: None,
        jq: "jq -r '[.service, .duration_ms] | @tsv' FILE | sort -k1,1 -k2,2n | awk '$1 != s { if (n) print s, v[int(n * 0.95 + 0.5)]; s = $1; n = 0 } { v[++n] = $2 } END { print s, v[int(n * 0.95 + 0.5)] }'",
        same: false,
    },
    Question {
        name: "all records as JSON",
        logq: "LOGQ '*' -n all -o json",
        rg: Some("rg -e '' FILE"),
        jq: "jq -c . FILE",
        same: true,
    },
];

/// What was measured.
#[derive(Debug)]
pub(crate) struct CliResults {
    corpus: CorpusOptions,
    file_bytes: u64,
    rows: Vec<Row>,
    /// Most memory of the client and of the server during an export.
    export_memory_bytes: (u64, u64),
    remarks: Vec<String>,
    wrong: Vec<String>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    command: String,
    logq: Samples,
    /// Beside the names of the peers that ran.
    peers: Vec<(String, Samples)>,
}

/// Measures.
///
/// # Errors
/// When the server cannot be run or loaded, or a command fails. Different answers are told by [`CliResults::check`].
pub(crate) async fn run(options: &CliOptions) -> anyhow::Result<CliResults> {
    let home = Home::open(options.keep.as_deref())?;
    let installation = Installation::new(options.logq.as_deref(), home.path())?;
    let file = home.path().join("corpus.jsonl");
    let server = if home.holds(&options.corpus)? {
        installation.start()?
    } else {
        corpus::write_corpus(&options.corpus, Some(&file))?;
        let batches = Batches::generate(&options.corpus, &options.load, |_| {})?;
        queries::load_all(&installation, batches, &options.load, &home, &options.corpus).await?
    };
    let middle = usize::try_from(options.corpus.records / 2)?;
    let id = Generator::new(&options.corpus).nth(middle).context("an empty corpus")?.correlation_id;
    let shell = Shell { server: &server, installation: &installation, file: &file, id: &id };
    let mut results = CliResults {
        corpus: options.corpus,
        file_bytes: std::fs::metadata(&file)?.len(),
        rows: Vec::new(),
        export_memory_bytes: (0, 0),
        remarks: Vec::new(),
        wrong: Vec::new(),
    };
    let peers = installed(&options.peers, &mut results.remarks);
    for question in &QUESTIONS {
        results.rows.push(measure(&shell, question, &peers, &mut results.wrong)?);
    }
    // The server anew, so that its peak is that of the export.
    server.stop()?;
    let server = installation.start()?;
    let shell = Shell { server: &server, installation: &installation, file: &file, id: &id };
    let client = shell.peak_bytes("LOGQ '*' -n all -o json")?;
    results.export_memory_bytes = (client, server.usage()?.memory_peak_bytes);
    server.stop()?;
    Ok(results)
}

/// The peers that can be run.
fn installed(peers: &[String], remarks: &mut Vec<String>) -> Vec<String> {
    let runs = |name: &&String| {
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        let runs = version.is_ok_and(|status| status.success());
        if !runs {
            remarks.push(format!("{name} is not installed and was left out"));
        }
        runs
    };
    peers.iter().filter(runs).cloned().collect()
}

fn measure(
    shell: &Shell<'_>,
    question: &Question,
    peers: &[String],
    wrong: &mut Vec<String>,
) -> anyhow::Result<Row> {
    let of_peer = |peer: &str| match peer {
        "rg" => question.rg,
        "jq" => Some(question.jq),
        _ => None,
    };
    if let (true, Some(rg)) = (question.same && peers.iter().any(|peer| peer == "rg"), question.rg)
    {
        // A count is its number; all else is as many lines.
        let count = |command: &str| match question.name.starts_with("how many") {
            true => {
                shell.output(&command.replace("stats count()'", "stats count()' -o csv | tail -1"))
            }
            false => shell.output(&format!("{{ {command}; }} | wc -l")),
        };
        let (ours, theirs) = (count(question.logq)?, count(rg)?);
        if ours != theirs {
            wrong.push(format!("{}: logq finds {ours}, rg finds {theirs}", question.name));
        }
    }
    let peers: Vec<(&String, &str)> =
        peers.iter().filter_map(|peer| Some((peer, of_peer(peer)?))).collect();
    let mut ours = Vec::new();
    let mut theirs: Vec<Vec<Duration>> = vec![Vec::new(); peers.len()];
    for round in 0..RUNS {
        ours.push(shell.time(question.logq)?);
        for ((peer, command), times) in peers.iter().zip(&mut theirs) {
            if round == 0 || *peer != "jq" {
                times.push(shell.time(command)?);
            }
        }
    }
    let peers = peers.iter().zip(theirs);
    Ok(Row {
        name: question.name,
        command: question.logq.replace("LOGQ", "logq").replace("WORD", COMMON_WORD),
        logq: Samples::new(ours),
        peers: peers.map(|((peer, _), times)| ((*peer).clone(), Samples::new(times))).collect(),
    })
}

/// Runs commands over the corpus.
struct Shell<'a> {
    server: &'a Server,
    installation: &'a Installation,
    file: &'a Path,
    id: &'a str,
}

impl Shell<'_> {
    fn command(&self, command: &str) -> Command {
        let logq = self.installation.binary().display();
        // Behind the query, which is the first argument: flags may stand anywhere.
        let times = format!("'{logq}' --since {DAY_START} --until {DAY_END}");
        let text = command
            .replace("LOGQ", &times)
            .replace("FILE", &format!("'{}'", self.file.display()))
            .replace("ID", self.id)
            .replace("WORD", COMMON_WORD);
        let mut shell = Command::new("sh");
        shell.args(["-c", &text]).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOGQ_") {
                shell.env_remove(name);
            }
        }
        shell.env("LOGQ_ADDR", &self.server.query).env("LOGQ_CONTEXTS", "/dev/null");
        shell
    }

    fn time(&self, command: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let status = self.command(command).stdout(Stdio::null()).status()?;
        let elapsed = begun.elapsed();
        if !status.success() {
            bail!("`{command}` ended with {status}");
        }
        Ok(elapsed)
    }

    fn output(&self, command: &str) -> anyhow::Result<String> {
        let output = self.command(command).stderr(Stdio::inherit()).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The most memory that a command has resident.
    fn peak_bytes(&self, command: &str) -> anyhow::Result<u64> {
        // The shell gives its process to the command.
        let mut child = self.command(&format!("exec {command}")).stdout(Stdio::null()).spawn()?;
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            // A process that ends has no memory to be read any more.
            peak = Usage::of(child.id()).map_or(peak, |usage| usage.memory_peak_bytes.max(peak));
            std::thread::sleep(READ_EVERY);
        };
        if !status.success() {
            bail!("`{command}` ended with {status}");
        }
        Ok(peak)
    }
}

impl CliResults {
    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let mut out = format!(
            "{} records, {} MB of JSON lines, on {}; medians of {RUNS} runs (jq: one), the page cache warm\n\n",
            self.corpus.records,
            self.file_bytes / 1_000_000,
            report::cores()
        );
        let mut table = Table::new(["what", "command", "logq", "rg", "jq"]);
        for row in &self.rows {
            let peer = |name: &str| {
                let found = row.peers.iter().find(|(peer, _)| peer == name);
                found.map_or_else(
                    || "-".to_owned(),
                    |(_, samples)| {
                        let times = samples.median_ms() / row.logq.median_ms();
                        format!("{:.0} ms, {times:.1} x", samples.median_ms())
                    },
                )
            };
            table.add([
                row.name.to_owned(),
                format!("`{}`", row.command.replace('|', "\\|")),
                format!("{:.1} ms", row.logq.median_ms()),
                peer("rg"),
                peer("jq"),
            ]);
        }
        let (client, server) = self.export_memory_bytes;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        writeln!(
            out,
            "{table}\nthe export of all records, after a start: the client had {:.0} MB at most, the server {:.0} MB",
            megabytes(client),
            megabytes(server)
        )
        .expect("writing to memory does not fail");
        for remark in self.remarks.iter().chain(&self.wrong) {
            writeln!(out, "{remark}").expect("writing to memory does not fail");
        }
        out
    }

    /// Writes the page and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let path = folder.join(format!("{date}-cli-{}.md", self.corpus.records));
        let page = format!(
            "# The command line, {date}\n\nMade with `cargo run --release -p bench -- cli --records {}`.\n\n{}",
            self.corpus.records,
            self.text()
        );
        report::write(&path, &page)?;
        Ok(path)
    }

    /// # Errors
    /// When answers differ, or an export takes more memory than it may.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.wrong.is_empty() {
            bail!("different answers: {}", self.wrong.join("; "));
        }
        let (client, server) = self.export_memory_bytes;
        if client.max(server) > EXPORT_BYTES_MAX {
            bail!("the export took {client} bytes in the client and {server} in the server");
        }
        Ok(())
    }
}
