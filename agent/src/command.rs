//! The command line of the agent, for `logq-agent` and for `logq run agent`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use file_system::RealFileSystem;
use record::{Signal, Timestamp};
use service::credentials::Credentials;
use service::shutdown::Shutdown;
use tokio::sync::oneshot;

use crate::access::AccessArguments;
use crate::daemon::{self, AgentError, AgentOptions, AgentStatus, DeadLetter, DeadLetters, TABLE};

/// Bad usage or configuration; a state folder in use.
const USAGE: u8 = 2;
/// The agent does not answer.
const UNREACHABLE: u8 = 3;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the agent (what happens if no command is given)
    Run,
    /// Show sources, offsets, lag, spool and the last error of the running agent
    Status {
        /// The agent's address; that of the configuration if not said
        #[arg(long, env = "LOGQ_AGENT_ADDR")]
        addr: Option<String>,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = OutputForm::Text)]
        output: OutputForm,
        /// Who asks
        #[command(flatten)]
        access: AccessArguments,
    },
    /// Check a configuration file and say all that is wrong with it
    CheckConfig {
        /// Print every key with its default instead, as a file that can be used
        #[arg(long)]
        reference: bool,
    },
    /// Look at the spool of an agent that does not run
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Look at batches that the collector refused for good
    #[command(subcommand)]
    DeadLetters(DeadLetterCommand),
}

/// What to do with the spool.
#[derive(Clone, Debug, Subcommand)]
pub enum SpoolCommand {
    /// Read everything and say what is wrong; changes nothing
    Check,
    /// Cut torn ends and put damaged pieces into quarantine, as the next start would
    Repair,
}

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// One line each, oldest first
    List,
    /// The records of one, as lines
    Show {
        /// As `list` names it
        id: String,
    },
    /// Ship them again; the running agent does it within a second, else the next start
    Retry {
        /// As `list` names them
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Does it. `program` begins each message on standard error. The exit code says how it went: 0 done, 1 failed or
/// damaged, 2 bad usage, 3 the agent does not answer.
///
/// Makes a runtime of its own, so it must not be called within one.
///
/// `insecure` lets listeners that others can reach do without tokens.
pub fn run(program: &str, command: Command, config: Option<&Path>, insecure: bool) -> ExitCode {
    let out = &mut std::io::stdout();
    let done = match command {
        Command::Run => return run_agent(program, config, insecure),
        Command::CheckConfig { reference: true } => {
            write!(out, "{}", reference()).map_err(Trouble::from)
        }
        Command::CheckConfig { reference: false } => check_config(config, out),
        Command::Status { addr, output, access } => {
            status(config, addr, output, &access.credentials(), out)
        }
        Command::Spool(command) => spool_command(config, &command, out),
        Command::DeadLetters(command) => dead_letters(config, &command, out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble { code, message }) => {
            if !message.is_empty() {
                let _ = writeln!(std::io::stderr(), "{program}: {message}");
            }
            code.into()
        }
    }
}

/// Every key of the agent's table with its default, as a file that can be used.
pub fn reference() -> String {
    service::config::reference(&[TABLE, service::doors::TABLE])
}

/// Why a command did not end well.
#[derive(Debug)]
struct Trouble {
    code: u8,
    message: String,
}

impl Trouble {
    fn new(code: u8, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        // Whoever reads the output has seen enough.
        let code = u8::from(error.kind() != std::io::ErrorKind::BrokenPipe);
        Self { code, message: if code == 0 { String::new() } else { error.to_string() } }
    }
}

fn run_agent(program: &str, config: Option<&Path>, insecure: bool) -> ExitCode {
    service::telemetry::init();
    let options = match load_to_run(config, insecure) {
        Ok(options) => options,
        Err(faults) => {
            let _ = writeln!(std::io::stderr(), "{faults}");
            return USAGE.into();
        }
    };
    if options.sources() == 0 {
        let _ = writeln!(
            std::io::stderr(),
            "{program}: no source is configured; write [[agent.sources]] into a file and name it with --config"
        );
        return USAGE.into();
    }
    // Two are enough: reading and writing files have threads of their own.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let ended = runtime.map_err(|source| AgentError::Start { source }).and_then(|runtime| {
        let config = config.map(Path::to_owned);
        let ended = runtime.block_on(run_until_stopped(options, config));
        // A read of standard input cannot be called off.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{program}: {}", daemon::describe(&error));
            match error {
                AgentError::Locked { .. } | AgentError::Exposed(_) | AgentError::Doors(_) => {
                    USAGE.into()
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn run_until_stopped(
    options: AgentOptions,
    config: Option<PathBuf>,
) -> Result<(), AgentError> {
    let shutdown = Shutdown::on_signals().map_err(|source| AgentError::Start { source })?;
    let (started, running) = oneshot::channel::<daemon::Started>();
    let (state, collectors) = (options.state.clone(), options.collectors.join(", "));
    let scheme = options.scheme();
    let announce = tokio::spawn(async move {
        let Ok(started) = running.await else { return };
        let text = format!(
            "logq-agent {} is ready\n  agent      {}\n  sources    {}\n  state      {}\n  collector  {collectors}\n  status     {scheme}://{}/status\n",
            env!("CARGO_PKG_VERSION"),
            started.agent,
            started.sources,
            state.display(),
            started.http,
        );
        let mut out = std::io::stdout();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    });
    let insecure = options.insecure;
    let reload: Option<daemon::Reload> = config
        .map(|path| -> daemon::Reload { Box::new(move || load_to_run(Some(&path), insecure)) });
    let ended = daemon::run(options, reload, shutdown, started).await;
    announce.abort();
    ended
}

fn load_to_run(config: Option<&Path>, insecure: bool) -> Result<AgentOptions, String> {
    let mut options = daemon::load_file(config)?;
    options.insecure = insecure;
    Ok(options)
}

fn load(config: Option<&Path>) -> Result<AgentOptions, Trouble> {
    daemon::load_file(config).map_err(|faults| Trouble::new(USAGE, faults))
}

fn check_config(config: Option<&Path>, out: &mut impl Write) -> Result<(), Trouble> {
    let Some(path) = config else {
        return Err(Trouble::new(USAGE, "name the file with --config, or ask for the --reference"));
    };
    let options = daemon::load_file(config).map_err(|faults| Trouble {
        code: USAGE,
        message: format!("{} cannot be used:\n{faults}", path.display()),
    })?;
    writeln!(out, "{} is fine: {} sources", path.display(), options.sources())?;
    Ok(())
}

fn status(
    config: Option<&Path>,
    addr: Option<String>,
    output: OutputForm,
    credentials: &Credentials,
    out: &mut impl Write,
) -> Result<(), Trouble> {
    let addr = match addr {
        Some(addr) => addr,
        None => load(config)?.url(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new(1, error))?;
    let body = runtime
        .block_on(crate::delivery::get(&format!("{addr}/status"), credentials))
        .map_err(|error| {
            let help = "is it running there? --addr names another address";
            Trouble::new(UNREACHABLE, format!("cannot ask the agent at {addr}: {error}; {help}"))
        })?;
    if output == OutputForm::Json {
        out.write_all(&body)?;
        return Ok(writeln!(out)?);
    }
    let status: AgentStatus = serde_json::from_slice(&body)
        .map_err(|error| Trouble::new(1, format!("{addr} is no agent of logq: {error}")))?;
    Ok(out.write_all(status.to_text().as_bytes())?)
}

fn spool_command(
    config: Option<&Path>,
    command: &SpoolCommand,
    out: &mut impl Write,
) -> Result<(), Trouble> {
    let folder = load(config)?.state.join("spool");
    let failed = |error: spool::SpoolError| Trouble::new(1, daemon::describe(&error));
    let report = match command {
        SpoolCommand::Check => spool::check(&RealFileSystem, &folder).map_err(failed)?,
        SpoolCommand::Repair => {
            let state = folder.parent().unwrap_or(&folder).to_owned();
            let _lock = daemon::lock(&state)
                .map_err(|error| Trouble::new(USAGE, daemon::describe(&error)))?;
            spool::repair(&RealFileSystem, &folder).map_err(failed)?
        }
    };
    write!(out, "{report}")?;
    if report.is_sound() { Ok(()) } else { Err(Trouble { code: 1, message: String::new() }) }
}

fn dead_letters(
    config: Option<&Path>,
    command: &DeadLetterCommand,
    out: &mut impl Write,
) -> Result<(), Trouble> {
    let options = load(config)?;
    let failed = |error: std::io::Error| {
        Trouble::new(
            1,
            format!("cannot use the dead letters of {}: {error}", options.state.display()),
        )
    };
    let letters =
        DeadLetters::open(Arc::new(RealFileSystem), &options.state, u64::MAX).map_err(failed)?;
    match command {
        DeadLetterCommand::List => {
            for letter in letters.list().map_err(failed)? {
                let status = match letter.status {
                    0 => "not sent".to_owned(),
                    status => status.to_string(),
                };
                writeln!(
                    out,
                    "{}  {}  {:>6} {}  {status}  {}",
                    letter.id,
                    letter.at,
                    letter.records,
                    if letter.spans { "spans  " } else { "records" },
                    letter.message
                )?;
            }
        }
        DeadLetterCommand::Show { id } => {
            let (letter, payload) = letters.read(id).map_err(failed)?;
            show(&letter, &payload, out)?;
        }
        DeadLetterCommand::Retry { ids, all } => {
            let ids = match all {
                true => letters.list().map_err(failed)?.into_iter().map(|it| it.id).collect(),
                false => ids.clone(),
            };
            for id in &ids {
                letters.retry(id).map_err(failed)?;
            }
            writeln!(out, "{} will be shipped again", ids.len())?;
        }
    }
    Ok(())
}

/// The records of a batch, one a line.
fn show(letter: &DeadLetter, payload: &[u8], out: &mut impl Write) -> Result<(), Trouble> {
    let signal = if letter.spans { Signal::Spans } else { Signal::Logs };
    let limits = wire::Limits::default();
    let failed = |error: wire::DecodeError| {
        Trouble::new(1, format!("{} cannot be read: {error}", letter.id))
    };
    let body = wire::decompress(wire::Encoding::Zstd, payload, &limits).map_err(failed)?;
    let mut lines = Vec::new();
    let format = wire::Format::otlp_protobuf(signal);
    wire::decode(format, &body, Timestamp::now(), &limits, &mut |record| {
        let mut line = format!("{} {}", record.timestamp, record.severity.name());
        for text in
            [record.service, record.correlation_id, Some(record.message)].into_iter().flatten()
        {
            line.push(' ');
            line.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
        lines.push(line);
    })
    .map_err(failed)?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
