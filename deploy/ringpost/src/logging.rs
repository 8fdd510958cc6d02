//! The log, as the configuration wants it.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use ringpost_config::{Configuration, Source, directive};
use ringpost_shard::logging::{self, LogDestination, LogHandle, LogLevel};

static HANDLE: OnceLock<LogHandle> = OnceLock::new();

/// Starts the log by the configuration of `source`.
pub(crate) fn init(source: &Source) -> Result<()> {
    let (configuration, _) = Configuration::load(source);
    init_with(&configuration)
}

/// Starts the log.
pub(crate) fn init_with(configuration: &Configuration) -> Result<()> {
    let destination = LogDestination::parse(configuration.text(directive::LOG_FILE));
    let handle = logging::init(level(configuration), destination).context("starting the log")?;
    // The first call wins; there is one log a process.
    let _ = HANDLE.set(handle);
    Ok(())
}

/// Takes over a changed level and opens the file again, which may have been rotated.
pub(crate) fn reload(configuration: &Configuration) {
    if let Some(handle) = HANDLE.get() {
        handle.set_level(level(configuration));
        handle.reopen();
    }
}

/// Writes what is waiting; before the process ends.
pub(crate) fn flush() {
    if let Some(handle) = HANDLE.get() {
        handle.flush();
    }
}

fn level(configuration: &Configuration) -> LogLevel {
    LogLevel::from_number(configuration.quantity(directive::LOG_LEVEL) as u32)
}
