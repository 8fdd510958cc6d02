//! `gromox-mailq`: what is in the queue.

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use clap::{ArgAction, Parser};
use ringpost_config::{Configuration, Severity, Source, directive};
use ringpost_spool::{Entry, RecipientState};
use serde_json::json;

use crate::command;

/// Runs `gromox-mailq`.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &Options| {
        let folder = options.folder()?;
        let entries = ringpost_spool::read_only(&folder)
            .with_context(|| format!("can't read the queue in {}", folder.display()))?;
        let entries: Vec<Entry> = entries.into_iter().map(|(entry, _)| entry).collect();
        let text = if options.json {
            machine(&entries)
        } else {
            summary(&entries, now_ms())
        };
        io::stdout()
            .write_all(text.as_bytes())
            .context("standard output")?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints the summaries for all queued mail
///
/// The server may run meanwhile: nothing is locked, and nothing is changed.
#[derive(Parser, Debug)]
#[command(name = "gromox-mailq", version, disable_help_flag = true)]
struct Options {
    /// Show this help
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Read the configuration from this file instead of /etc/gromox
    #[arg(short = 'c', value_name = "CONFIG", conflicts_with = "queue")]
    config: Option<PathBuf>,
    /// Look at the queue in this folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,
    /// For programs: one object a message
    #[arg(long)]
    json: bool,
}

impl Options {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.queue {
            return Ok(folder.clone());
        }
        let source = self.config.clone().map_or_else(Source::default, Source::File);
        let (configuration, diagnostics) = Configuration::load(&source);
        if let Some(error) = diagnostics
            .iter()
            .find(|diagnostic| diagnostic.severity() == Severity::Error)
        {
            bail!("{error}");
        }
        queue_folder(&configuration).context("dequeue_path and data_path are empty")
    }
}

/// `dequeue_path`; where it is not set, `queue` below `data_path`, so that servers of one machine don't share it.
pub fn queue_folder(configuration: &Configuration) -> Option<PathBuf> {
    let directive = directive::delivery::DEQUEUE_PATH;
    let named = configuration.setting(directive.directive()).place.is_some();
    match configuration.path(directive) {
        Some(path) if named => Some(path.to_owned()),
        _ => Some(configuration.path(directive::DATA_PATH)?.join("queue")),
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

fn summary(entries: &[Entry], now_ms: u64) -> String {
    if entries.is_empty() {
        return "The queue is empty\n".to_owned();
    }
    let mut text =
        String::from("Queue ID           Size       Age  Tries  Next in  Sender / recipients left\n");
    let mut bytes = 0_u64;
    // Writing to a String can't fail.
    for entry in entries {
        bytes += u64::from(entry.length);
        let sender = if entry.envelope.sender.is_empty() {
            "<>"
        } else {
            &entry.envelope.sender
        };
        let _ = writeln!(
            text,
            "{:<14} {:>8}  {:>8}  {:>5}  {:>7}  {}",
            entry.id.to_string(),
            entry.length,
            age(now_ms.saturating_sub(entry.queued_ms)),
            entry.attempts,
            age(entry.next_ms.saturating_sub(now_ms)),
            printable(sender)
        );
        for recipient in &entry.recipients {
            if recipient.state == RecipientState::Done {
                continue;
            }
            let _ = writeln!(text, "{:51}{}", "", printable(&recipient.recipient.address));
            if !recipient.status.is_empty() {
                let _ = writeln!(text, "{:53}({})", "", printable(&recipient.status));
            }
        }
    }
    let _ = writeln!(text, "-- {} messages, {} bytes", entries.len(), bytes);
    text
}

fn machine(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let recipients: Vec<_> = entry
            .recipients
            .iter()
            .map(|recipient| {
                json!({
                    "address": recipient.recipient.address,
                    "pending": recipient.state == RecipientState::Pending,
                    "status": recipient.status,
                })
            })
            .collect();
        let object = json!({
            "id": entry.id.to_string(),
            "queued_ms": entry.queued_ms,
            "size": entry.length,
            "attempts": entry.attempts,
            "next_ms": entry.next_ms,
            "sender": entry.envelope.sender,
            "recipients": recipients,
        });
        // Writing to a String can't fail.
        let _ = writeln!(text, "{object}");
    }
    text
}

/// The two largest units of a time.
fn age(ms: u64) -> String {
    let seconds = Duration::from_millis(ms).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d{hours:02}h")
    } else if hours > 0 {
        format!("{hours}h{minutes:02}m")
    } else if minutes > 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// What a sender chose must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringpost_spool::{Envelope, EnvelopeRecipient, Outgoing, QueueId};

    #[test]
    fn messages_are_listed_with_the_recipients_that_are_left() {
        assert_eq!(summary(&[], 0), "The queue is empty\n");
        let message = Outgoing {
            envelope: Envelope {
                sender: "a\u{1b}@example.test".into(),
                ..Envelope::default()
            },
            recipients: vec![
                EnvelopeRecipient::new("done@example.net"),
                EnvelopeRecipient::new("b@example.net"),
            ],
            content: b"12345".to_vec().into(),
        };
        let mut entry = Entry::new(QueueId(0xab), 1_000, &message);
        entry.recipients[0].state = RecipientState::Done;
        entry.recipients[1].status = "451 4.7.1 later".into();
        entry.next_ms = 100_000;
        let text = summary(&[entry.clone()], 95_000);
        assert!(
            text.contains("AB                    5     1m34s      0       5s  a?@example.test\n"),
            "{text}"
        );
        assert!(
            text.contains(" b@example.net\n") && text.contains("(451 4.7.1 later)\n"),
            "{text}"
        );
        assert!(!text.contains("done@"));
        assert!(text.ends_with("-- 1 messages, 5 bytes\n"));
        let object: serde_json::Value = serde_json::from_str(machine(&[entry]).trim()).unwrap();
        assert_eq!(object["recipients"][1]["status"], "451 4.7.1 later");
    }
}
