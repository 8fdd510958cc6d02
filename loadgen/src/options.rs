//! The command line.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::{
    engine::{Endpoint, TlsMode, client_configuration},
    messages::Size,
    populate, run,
    scenario::{self, Scenario},
    session::{Endpoints, Users},
};

/// Connections of one process: a limit against a slip of the keyboard.
const MAX_CONNECTIONS: u64 = 1_000_000;
/// Connections that one source address has ports for, with some to spare.
const CONNECTIONS_A_SOURCE: u64 = 25_000;

/// Loads mail servers, checks every answer, and reports rates and latencies.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs a scenario and reports rates and latencies.
    #[command(after_help = scenario_list(), after_long_help = scenario_list())]
    Run(Box<Run>),
    /// Fills mailboxes with generated messages.
    Populate(Box<Populate>),
    /// Draws latency by percentile and throughput over time from results.
    Plot(Plot),
    /// Prints a built-in scenario, to start one's own from.
    Show {
        /// Its name.
        scenario: String,
    },
}

/// Where the servers are and who uses them.
#[derive(Args)]
pub(crate) struct Servers {
    /// The LMTP server.
    #[arg(long, value_name = "HOST:PORT")]
    lmtp: Option<String>,
    /// The SMTP server.
    #[arg(long, value_name = "HOST:PORT")]
    smtp: Option<String>,
    /// The IMAP server.
    #[arg(long, value_name = "HOST:PORT")]
    imap: Option<String>,
    /// The POP3 server.
    #[arg(long, value_name = "HOST:PORT")]
    pop3: Option<String>,
    /// When TLS begins, on all of them. Any certificate is accepted.
    #[arg(long, value_enum, default_value = "none", value_name = "WHEN")]
    tls: TlsMode,
    /// Addresses of the mailboxes; `{}` becomes a mailbox's number.
    #[arg(long, default_value = "load{}@example.test", value_name = "ADDRESS")]
    user: String,
    /// The password of all of them.
    #[arg(long, default_value = "demo")]
    password: String,
    /// The number of the first mailbox.
    #[arg(long, default_value_t = 0, value_name = "K")]
    first_mailbox: u64,
    /// Source addresses of connections, in turn; each has ports for some 25,000.
    #[arg(long, value_delimiter = ',', value_name = "IP,…")]
    source: Vec<IpAddr>,
    /// A request without an answer for so many seconds has failed.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    timeout: f64,
    /// Shows no line of progress.
    #[arg(long)]
    no_progress: bool,
}

/// `loadgen run`.
#[derive(Args)]
pub(crate) struct Run {
    /// A built-in scenario's name, or the path of a .toml file.
    scenario: String,
    #[command(flatten)]
    servers: Servers,
    /// How many mailboxes, numbered from --first-mailbox [default: the scenario's].
    #[arg(long, value_name = "N")]
    mailboxes: Option<u64>,
    /// How many connections [default: the scenario's].
    #[arg(long, value_name = "N")]
    connections: Option<u64>,
    /// Closed loop: the next request when the last was answered, instead of a schedule.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// Arrivals a second, all connections together [default: the scenario's].
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// How long requests are made, after the warm-up [default: the scenario's, or until --count].
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// How many requests are made, after the warm-up.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Load that is not measured, before.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    warmup: f64,
    /// Size of messages: bytes of plain text, or `real` for a mix of sizes and structures like real mail's.
    #[arg(long, default_value = "10000", value_name = "BYTES|real")]
    size: Size,
    /// Decides messages, arrivals and choices.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Cores to run on, a pinned thread each [default: one thread, on any core].
    #[arg(long, value_delimiter = ',', value_name = "CORE,…")]
    cores: Vec<usize>,
    /// Results as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Histograms of each second in HdrHistogram's log format.
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<PathBuf>,
    /// Plots of latency by percentile and throughput over time.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Changes a value of the scenario's [set]; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    settings: Vec<(String, String)>,
    /// Refused, cut off or timed out requests alone do not make the exit code 3.
    #[arg(long)]
    pub(crate) tolerate_errors: bool,
}

/// `loadgen populate`.
#[derive(Args)]
pub(crate) struct Populate {
    #[command(flatten)]
    servers: Servers,
    /// How many mailboxes, numbered from --first-mailbox.
    #[arg(long, default_value_t = 1, value_name = "N")]
    mailboxes: u64,
    /// Messages for each mailbox.
    #[arg(long, value_name = "M")]
    messages: u64,
    /// The number of the first message: to add to what an earlier call made.
    #[arg(long, default_value_t = 0, value_name = "K")]
    first_message: u64,
    /// The IMAP mailbox that is filled; LMTP fills INBOX.
    #[arg(long, default_value = "INBOX", value_name = "NAME")]
    folder: String,
    /// How many connections.
    #[arg(long, default_value_t = 16, value_name = "N")]
    connections: u64,
    /// Size of messages: bytes of plain text, or `real` for a mix of sizes and structures like real mail's.
    #[arg(long, default_value = "10000", value_name = "BYTES|real")]
    size: Size,
    /// Decides the messages.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Results as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// `loadgen plot`.
#[derive(Args)]
pub(crate) struct Plot {
    /// Files that `run --json` wrote; several are drawn side by side.
    #[arg(required = true, value_name = "RESULT.json")]
    pub(crate) results: Vec<PathBuf>,
    /// The drawing.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: PathBuf,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn scenario_list() -> String {
    let mut text = "Scenarios:\n".to_owned();
    for (name, description) in scenario::built_in() {
        let _ = writeln!(text, "  {name:<22}{description}");
    }
    text.push_str(
        "\nExit code: 0 when all was well, 1 when an answer was wrong, 2 when the load could not be made, 3 when\n\
         requests were refused, cut off or timed out.\n\nExample: loadgen run deliver --lmtp 127.0.0.1:10024 \
         --user '{}@example.test' --rate 200 --svg deliver.svg",
    );
    text
}

impl Servers {
    fn endpoints(&self, connections: u64) -> Result<Endpoints> {
        let tls_configuration = client_configuration();
        ensure!(
            self.timeout > 0.0 && self.timeout < 86_400.0,
            "--timeout must be above 0 and below a day"
        );
        let endpoint = |name: &str, server: &Option<String>| -> Result<Option<Endpoint>> {
            let Some(server) = server else { return Ok(None) };
            let server = server
                .to_socket_addrs()
                .with_context(|| format!("--{name} {server}"))?
                .next()
                .with_context(|| format!("--{name} {server}: no address"))?;
            Ok(Some(Endpoint {
                server,
                tls: self.tls,
                tls_configuration: tls_configuration.clone(),
                sources: self.sources(server, connections).into(),
                timeout: Duration::from_secs_f64(self.timeout),
            }))
        };
        Ok(Endpoints {
            lmtp: endpoint("lmtp", &self.lmtp)?,
            smtp: endpoint("smtp", &self.smtp)?,
            imap: endpoint("imap", &self.imap)?,
            pop3: endpoint("pop3", &self.pop3)?,
        })
    }

    /// On loopback there are addresses enough: more are used when one has too few ports.
    fn sources(&self, server: SocketAddr, connections: u64) -> Vec<IpAddr> {
        if self.source.is_empty()
            && connections > CONNECTIONS_A_SOURCE
            && server.is_ipv4()
            && server.ip().is_loopback()
        {
            let needed = connections.div_ceil(CONNECTIONS_A_SOURCE).min(250) as u8;
            return (1..=needed).map(|last| IpAddr::from([127, 0, 0, last])).collect();
        }
        self.source.clone()
    }

    fn users(&self) -> Users {
        Users::new(&self.user, &self.password)
    }
}

impl Run {
    /// Loads the scenario and puts its defaults where nothing was said.
    pub(crate) fn prepare(self) -> Result<(run::Options, Scenario)> {
        let scenario = scenario::load(&self.scenario, &self.settings)?;
        let connections = self.connections.unwrap_or(scenario.connections);
        let mailboxes = self.mailboxes.unwrap_or(scenario.mailboxes);
        ensure!(
            (1..=MAX_CONNECTIONS).contains(&connections),
            "--connections must be from 1 to {MAX_CONNECTIONS}"
        );
        ensure!(
            mailboxes > 0 && self.count != Some(0),
            "--mailboxes and --count must not be 0"
        );
        let rate = self.rate.unwrap_or(scenario.rate);
        ensure!(
            rate > 0.0 && rate < 1e7,
            "--rate must be above 0 and below 10,000,000"
        );
        let seconds = match (self.duration, self.count) {
            (None, None) => Some(scenario.duration),
            (duration, _) => duration,
        };
        ensure!(
            seconds.is_none_or(|seconds| seconds > 0.0 && seconds < 1e7) && (0.0..1e7).contains(&self.warmup),
            "--duration must be above 0, --warmup not below"
        );
        let mut parameters = std::collections::BTreeMap::new();
        let mut note = |name: &str, value: String| parameters.insert(name.to_owned(), value);
        note("loop", if self.closed { "closed" } else { "open" }.to_owned());
        if !self.closed {
            note("rate_per_s", rate.to_string());
        }
        note("mailboxes", mailboxes.to_string());
        note("size", self.size.to_string());
        note("tls", format!("{:?}", self.servers.tls).to_lowercase());
        note("warmup_s", self.warmup.to_string());
        for (key, value) in &self.settings {
            note(&format!("set {key}"), value.clone());
        }
        let options = run::Options {
            scenario_name: self.scenario,
            endpoints: self.servers.endpoints(connections)?,
            users: self.servers.users(),
            mailboxes,
            first_mailbox: self.servers.first_mailbox,
            connections,
            closed: self.closed,
            rate,
            duration: seconds.map(Duration::from_secs_f64),
            count: self.count,
            warmup: Duration::from_secs_f64(self.warmup),
            size: self.size,
            seed: self.seed,
            cores: self.cores,
            parameters,
            progress: !self.servers.no_progress,
            keep_log: self.hdr.is_some(),
        };
        Ok((options, scenario))
    }
}

impl Populate {
    pub(crate) fn prepare(self) -> Result<populate::Options> {
        ensure!(
            self.mailboxes > 0 && self.messages > 0 && (1..=MAX_CONNECTIONS).contains(&self.connections),
            "--mailboxes, --messages and --connections must not be 0"
        );
        Ok(populate::Options {
            endpoints: self.servers.endpoints(self.connections)?,
            users: self.servers.users(),
            mailboxes: self.mailboxes,
            first_mailbox: self.servers.first_mailbox,
            messages: self.messages,
            first_message: self.first_message,
            folder: self.folder,
            connections: self.connections,
            size: self.size,
            seed: self.seed,
            progress: !self.servers.no_progress,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
