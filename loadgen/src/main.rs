//! Load generator for mail servers.
//!
//! # Where things are
//!
//! - `engine`: one executor a thread over epoll; connections with or without TLS.
//! - `session`: the interface between the load and a protocol; `protocol/` has a file for each.
//! - `scenario`: the TOML files in `scenarios/` and those of users.
//! - `pace`: when requests are due. `run`: what threads, groups and connections do. `populate`: filling mailboxes.
//! - `messages`: mail made from a seed, and whether it came back whole.
//! - `record`, `results`, `plot`, `progress`: what was measured, and how it is shown.
//!
//! # What a request costs
//!
//! The generator most often shares cores with the server that it measures, so it must take little of them: a request is one
//! `write`, one `read` and its part of an `epoll_pwait2`, two clock readings, a histogram's increment and no
//! allocation that is not reused. Message bodies are made before the load. Content that comes back is checked
//! with a CRC that the processor computes.

mod engine;
mod messages;
mod options;
mod pace;
mod plot;
mod populate;
mod process;
mod progress;
mod protocol;
mod random;
mod record;
mod results;
mod run;
mod scenario;
mod session;
mod watch;

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use results::Results;

/// An answer was wrong.
const EXIT_WRONG: u8 = 1;
/// The load could not be made at all.
const EXIT_FAILED: u8 = 2;
/// Requests were refused, cut off or timed out, but no answer was wrong.
const EXIT_ERRORS: u8 = 3;

fn main() -> ExitCode {
    match carry_out(options::Options::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn carry_out(command: options::Command) -> Result<u8> {
    match command {
        options::Command::Run(run) => {
            let tolerate_errors = run.tolerate_errors;
            let (json, hdr, svg) = (run.json.clone(), run.hdr.clone(), run.svg.clone());
            let (options, scenario) = run.prepare()?;
            let mut log = hdr.as_deref().map(create).transpose()?;
            let results = run::run(options, scenario, log.as_mut().map(|log| log as &mut dyn Write))?;
            if let Some(log) = &mut log {
                log.flush().context("cannot write the log")?;
            }
            if let Some(path) = svg {
                let named = [(results.scenario.clone(), results.clone())];
                std::fs::write(&path, plot::svg(&named))
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            finish(&results, json.as_deref(), tolerate_errors)
        }
        options::Command::Populate(populate) => {
            let json = populate.json.clone();
            let results = populate::populate(populate.prepare()?)?;
            finish(&results, json.as_deref(), false)
        }
        options::Command::Plot(plot) => {
            let results = plot
                .results
                .iter()
                .map(|path| read(path))
                .collect::<Result<Vec<_>>>()?;
            std::fs::write(&plot.svg, plot::svg(&results))
                .with_context(|| format!("cannot write {}", plot.svg.display()))?;
            Ok(0)
        }
        options::Command::Show { scenario } => {
            print!("{}", scenario::text(&scenario)?);
            Ok(0)
        }
    }
}

/// Prints and writes results; returns the exit code.
fn finish(results: &Results, json: Option<&Path>, tolerate_errors: bool) -> Result<u8> {
    match json {
        Some(path) if path == Path::new("-") => {
            println!("{}", serde_json::to_string_pretty(results)?);
            eprint!("{}", results.text());
        }
        json => {
            print!("{}", results.text());
            if let Some(path) = json {
                let mut file = create(path)?;
                serde_json::to_writer_pretty(&mut file, results)?;
                file.flush()
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
    }
    Ok(match (results.wrong, results.errors) {
        (1.., _) => EXIT_WRONG,
        (_, 1..) if !tolerate_errors => EXIT_ERRORS,
        _ => 0,
    })
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// Results and the name of their file, which tells them apart in plots.
fn read(path: &Path) -> Result<(String, Results)> {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let results = serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{} is not a result of loadgen run --json", path.display()))?;
    Ok((name, results))
}
