//! `import`: many accounts from lines, for moving a whole site here.
//!
//! What takes time is a mailbox's few syncs and the hash of a password. So several threads make mailboxes
//! beside each other, a password that many share is hashed once, and a batch of accounts is one transaction.

use std::{collections::HashSet, fs::File, io::Read, path::PathBuf, thread};

use anyhow::{Context as _, bail, ensure};
use ringpost_directory::{
    AccountChange, AccountKind, Address, Administration, Directory, NewAccount, Snapshot, password,
};
use ringpost_store::MailboxKind;
use serde::Serialize;

use super::{
    Context, Input,
    arguments::ImportArguments,
    output::Output,
    secret,
    store::{make, make_parent, new_place, remove},
};

/// Lines of one import.
pub(super) const LINES_MAX: usize = 1_000_000;
/// Accounts made by one transaction. An import that is cut off leaves at most so many mailboxes without one.
const BATCH: usize = 256;
/// Threads. They mostly wait for the disk; hashing takes 20 MiB each.
const THREADS: usize = 8;
/// Mistakes that are listed; of further ones only the count.
const MISTAKES_LISTED: usize = 20;

/// A line that has been checked.
struct Line {
    address: Address,
    password: Option<String>,
    name: Option<String>,
}

#[derive(Serialize)]
struct Outcome {
    created: usize,
    skipped: usize,
}

pub(super) fn run(
    context: &Context,
    input: Input<'_>,
    output: &mut Output<'_>,
    kind: AccountKind,
    arguments: &ImportArguments,
) -> anyhow::Result<()> {
    ensure!(
        kind.has_mailbox(),
        "a {} can't be imported; add each with its settings",
        kind.word()
    );
    let reader: Box<dyn Read + '_> = if arguments.file.as_os_str() == "-" {
        Box::new(input.reader())
    } else {
        let open = || format!("can't read {}", arguments.file.display());
        Box::new(File::open(&arguments.file).with_context(open)?)
    };
    let known = context.directory.snapshot()?;
    let (lines, skipped) = read(reader, &known, arguments.skip_existing)?;
    let shared = match (&arguments.password, arguments.ask_password) {
        (Some(password), _) => Some(password::hash(password)?),
        (None, true) => Some(password::hash(&secret::ask_twice()?)?),
        (None, false) => None,
    };
    let import = Import {
        kind,
        shared,
        mailboxes: (!arguments.no_mailbox).then_some(&context.mailboxes),
    };
    if let Some(mailboxes) = import.mailboxes {
        make_parent(mailboxes)?;
    }
    let mut created = 0;
    for batch in lines.chunks(BATCH) {
        let accounts = import
            .prepare(batch)
            .and_then(|accounts| match context.directory.create_accounts(&accounts) {
                Ok(()) => Ok(accounts),
                Err(error) => {
                    discard(&accounts);
                    Err(error.into())
                }
            })
            .with_context(|| format!("stopped after {created} accounts"))?;
        created += accounts.len();
    }
    let outcome = Outcome { created, skipped };
    output.message(&outcome, &format!("{created} created, {skipped} left out"))
}

/// Reads and checks every line; a mistake in any is an error that names them all.
fn read(reader: impl Read, known: &Snapshot, skip_existing: bool) -> anyhow::Result<(Vec<Line>, usize)> {
    let mut records = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(reader);
    let (mut lines, mut skipped, mut mistakes) = (Vec::new(), 0, Vec::new());
    let mut seen = HashSet::new();
    for record in records.records() {
        ensure!(
            lines.len() + skipped < LINES_MAX,
            "more than {LINES_MAX} lines; split them"
        );
        let record = record?;
        let number = record.position().map_or(0, csv::Position::line);
        match check(&record, known, &mut seen) {
            Ok(Checked::New(line)) => lines.push(line),
            Ok(Checked::Known) if skip_existing => skipped += 1,
            Ok(Checked::Known) => mistakes.push(format!("line {number}: {} exists already", &record[0])),
            Err(error) => mistakes.push(format!("line {number}: {error}")),
        }
    }
    if !mistakes.is_empty() {
        let more = mistakes.len().saturating_sub(MISTAKES_LISTED);
        mistakes.truncate(MISTAKES_LISTED);
        if more > 0 {
            mistakes.push(format!("and {more} more"));
        }
        bail!("nothing was created:\n{}", mistakes.join("\n"));
    }
    Ok((lines, skipped))
}

enum Checked {
    New(Line),
    Known,
}

fn check(
    record: &csv::StringRecord,
    known: &Snapshot,
    seen: &mut HashSet<String>,
) -> anyhow::Result<Checked> {
    ensure!(
        record.len() <= 3,
        "more than three fields; put quotes around what has a comma"
    );
    ensure!(
        !record.iter().any(|field| field.contains(['\r', '\n'])),
        "a quote is not closed"
    );
    let field = |index| {
        record
            .get(index)
            .filter(|field| !field.is_empty())
            .map(str::to_owned)
    };
    let address = Address::parse(record.get(0).unwrap_or_default())?;
    let domain = known
        .domain(address.domain())
        .with_context(|| format!("domain {} does not exist", address.domain()))?;
    // An address in an alias of a domain is the same one in the domain.
    let address = Address::parse(&format!("{}@{}", address.local_part(), domain.name))?;
    if known.account(address.as_str()).is_some() {
        return Ok(Checked::Known);
    }
    ensure!(
        seen.insert(address.to_string()),
        "{address} is on an earlier line too"
    );
    let password = field(1);
    ensure!(
        password
            .as_ref()
            .is_none_or(|text| text.len() <= password::PASSWORD_MAX),
        "the password is longer than {} octets",
        password::PASSWORD_MAX
    );
    Ok(Checked::New(Line {
        address,
        password,
        name: field(2).map(|name| name.trim().to_owned()),
    }))
}

/// What all lines have in common.
struct Import<'a> {
    kind: AccountKind,
    /// Hash of the password of lines without one.
    shared: Option<String>,
    /// Folder of new mailboxes, if any are made.
    mailboxes: Option<&'a PathBuf>,
}

impl Import<'_> {
    /// Makes the mailboxes of a batch, and the accounts to be written into the directory.
    fn prepare(&self, batch: &[Line]) -> anyhow::Result<Vec<NewAccount>> {
        let share = batch.len().div_ceil(THREADS).max(1);
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = batch
                .chunks(share)
                .map(|lines| scope.spawn(|| lines.iter().map(|line| self.account(line)).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let (mut accounts, mut failure) = (Vec::with_capacity(batch.len()), None);
        for result in results {
            for account in result.map_err(|_| anyhow::anyhow!("a thread failed"))? {
                match account {
                    Ok(account) => accounts.push(account),
                    Err(error) => failure = Some(error),
                }
            }
        }
        if let Some(failure) = failure {
            discard(&accounts);
            return Err(failure);
        }
        Ok(accounts)
    }

    fn account(&self, line: &Line) -> anyhow::Result<NewAccount> {
        let hash = match &line.password {
            Some(password) => Some(password::hash(password)?),
            None => self.shared.clone(),
        };
        let place = match self.mailboxes {
            Some(folder) => {
                let place = new_place(folder, line.address.as_str())?;
                make(&place, MailboxKind::Private, String::new())?;
                Some(place)
            }
            None => None,
        };
        Ok(NewAccount {
            address: line.address.to_string(),
            kind: self.kind,
            mailbox: place,
            settings: AccountChange {
                password_hash: hash,
                display_name: line.name.clone(),
                ..AccountChange::default()
            },
        })
    }
}

/// Removes the mailboxes of accounts that were not made.
fn discard(accounts: &[NewAccount]) {
    accounts
        .iter()
        .filter_map(|account| account.mailbox.as_ref())
        .for_each(remove);
}
