//! Running logq, and getting files into it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CollectorServer;

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Folder of the data
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Also run a shop of small services that write logs, and an agent that ships them; all of it stays in the data folder
    #[arg(long)]
    pub(crate) demo: bool,
    /// Listen beyond this machine without asking for tokens
    #[arg(long, env = "LOGQ_INSECURE")]
    pub(crate) insecure: bool,
    /// Where the demo's gateway takes orders; another port if this one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", requires = "demo")]
    pub(crate) demo_http: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// A role that can be a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Follow what services write and ship it; the same as the small binary `logq-agent`
    Agent(RunAgent),
}

#[derive(Debug, Args)]
pub(crate) struct RunAgent {
    #[command(subcommand)]
    pub(crate) command: Option<agent::command::Command>,
    /// Configuration file; the table [agent] of it is read
    #[arg(long, global = true, env = "LOGQ_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Listen beyond this machine without asking for tokens
    #[arg(long, global = true, env = "LOGQ_INSECURE")]
    pub(crate) insecure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// Configuration file
    pub(crate) file: Option<PathBuf>,
    /// Print every key with its default instead, as a file that can be used
    #[arg(long)]
    pub(crate) reference: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ship {
    /// Files, each shipped whole; `-` is standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) collector: CollectorServer,
    /// The service that wrote the files; wins over what a line says
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// The host they were written on; wins over what a line says
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// How lines are read: auto, json, logfmt, regex, openstack, hdfs, syslog, log4j, apache_error, apache_access,
    /// nginx, envoy_access, klog, python or raw
    #[arg(long, default_value = "auto")]
    pub(crate) format: String,
    /// For --format regex: an expression with named groups, such as `(?<time>\S+) (?<level>\w+) (?<message>.*)`
    #[arg(long, value_name = "RE")]
    pub(crate) pattern: Option<String>,
    /// Layout of times, such as `%d/%b/%Y:%H:%M:%S %z`
    #[arg(long, value_name = "F")]
    pub(crate) time_format: Option<String>,
    /// Zone of times that have none: an IANA name or an offset; UTC if not said
    #[arg(long, value_name = "Z")]
    pub(crate) timezone: Option<String>,
    /// Year of times that have none
    #[arg(long, value_name = "Y")]
    pub(crate) year: Option<i16>,
    /// Finds the correlation id in the message: group `correlation`, else the first group, else the whole match
    #[arg(long, value_name = "RE")]
    pub(crate) correlation: Option<String>,
    /// Seconds without any acknowledgement after which to give up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) give_up_after: u64,
}
