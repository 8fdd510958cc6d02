//! The log, as the configuration wants it.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use ringpost_config::{Configuration, Source, directive};
use ringpost_shard::logging::{self, LogDestination, LogHandle, LogLevel, LogPart};

static HANDLE: OnceLock<LogHandle> = OnceLock::new();

/// Starts the log by the configuration of `source`.
pub(crate) fn init(source: &Source) -> Result<()> {
    let (configuration, _) = Configuration::load(source);
    init_with(&configuration)
}

/// Starts the log.
pub(crate) fn init_with(configuration: &Configuration) -> Result<()> {
    let destination = LogDestination::parse(configuration.text(directive::LOG_FILE));
    let handle =
        logging::init(level(configuration, LogPart::Server), destination).context("starting the log")?;
    handle.set_levels(|part| level(configuration, part));
    // The first call wins; there is one log a process.
    let _ = HANDLE.set(handle);
    Ok(())
}

/// Takes over a changed level and destination, and opens the file again, which may have been rotated.
pub(crate) fn reload(configuration: &Configuration) {
    if let Some(handle) = HANDLE.get() {
        handle.set_levels(|part| level(configuration, part));
        handle.reopen(LogDestination::parse(configuration.text(directive::LOG_FILE)));
    }
}

/// Writes what is waiting; before the process ends.
pub(crate) fn flush() {
    if let Some(handle) = HANDLE.get() {
        handle.flush();
    }
}

/// The manual's directive of a part, where the configuration has one; else that of the whole server.
fn level(configuration: &Configuration, part: LogPart) -> LogLevel {
    let own = match part {
        LogPart::Server => directive::LOG_LEVEL,
        LogPart::Imap => directive::IMAP_LOG_LEVEL,
        LogPart::Pop3 => directive::POP3_LOG_LEVEL,
        LogPart::Delivery => directive::smtp::LDA_LOG_LEVEL,
        LogPart::Store => directive::ISTORE_LOG_LEVEL,
    };
    let is_set = configuration.setting(own.directive()).place.is_some();
    let key = if is_set { own } else { directive::LOG_LEVEL };
    LogLevel::from_number(configuration.quantity(key) as u32)
}
