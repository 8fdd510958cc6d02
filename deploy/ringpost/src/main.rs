//! The `ringpost` server and its administration.
//!
//! - [`serve`]: start, signals, stop; [`settings`] turns the configuration into what each part takes.
//! - [`demo`]: the whole server on loopback with messages to look at.
//! - [`accounts`] and [`services`] join the directory and the protocols to the runtime.
//!
//! Called by the name of one of the `gromox-*` tools, the binary is that tool.

mod accounts;
mod demo;
mod logging;
mod serve;
mod services;
mod settings;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use ringpost_config::{Source, report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Groupware server: mail, calendars and contacts in MAPI mailboxes.
#[derive(Parser)]
#[command(name = "ringpost", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM. SIGHUP reloads, SIGUSR1 logs what the server is doing.
    Serve {
        /// Configuration file; without it, all files of /etc/gromox.
        #[arg(short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Serves on loopback, unprivileged, with a demo domain and messages.
    Demo(demo::Options),
    /// Shows effective configuration values, where each came from, and what is wrong.
    CheckConfig {
        /// Configuration file; without it, all files of /etc/gromox.
        #[arg(short, value_name = "FILE")]
        config: Option<PathBuf>,
        /// All directives, also those without effect here.
        #[arg(long)]
        all: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The reference of all directives instead.
        #[arg(long)]
        describe: bool,
    },
}

fn main() -> ExitCode {
    ringpost_shard::use_small_pages();
    // Before the directory of accounts, which is SQLite's, too.
    let configured = ringpost_vfs::configure();
    debug_assert!(configured, "SQLite was in use before it was configured");
    let called = std::env::args_os().next().unwrap_or_default();
    if let Some(tool) = ringpost_tools::by_name(&called) {
        return tool(std::env::args_os().collect());
    }
    // `admin` builds its own commands, one for each kind of object.
    let command = Arguments::command().subcommand(ringpost_tools::admin::command());
    let matches = command.clone().get_matches();
    if let Some(("admin", matches)) = matches.subcommand() {
        return finish(ringpost_tools::admin::run(matches, command));
    }
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    finish(run(arguments.command))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { config } => {
            let source = source(config);
            logging::init(&source)?;
            serve::serve(&source)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(options) => demo::run(&options).map(|()| ExitCode::SUCCESS),
        Command::CheckConfig { describe: true, .. } => {
            print!("{}", report::describe());
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckConfig {
            config, all, json, ..
        } => {
            let format = match (json, all) {
                (true, _) => report::Format::Json,
                (false, true) => report::Format::FullTable,
                (false, false) => report::Format::Table,
            };
            let checked = report::check_config(&source(config), format);
            print!("{}", checked.text);
            Ok(ExitCode::from(checked.exit_code))
        }
    }
}

fn finish(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    let code = outcome.unwrap_or_else(|error| {
        eprintln!("ringpost: {error:#}");
        ExitCode::FAILURE
    });
    logging::flush();
    code
}

fn source(config: Option<PathBuf>) -> Source {
    config.map_or_else(Source::default, Source::File)
}
