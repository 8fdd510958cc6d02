//! Fills mailboxes with generated messages, as fast as the server takes them.
//!
//! Mailbox m gets the messages 0 to M-1 of the seed. The work is cut into blocks of consecutive messages of one
//! mailbox; connections take the next block when they have done one, so the order within a mailbox is that of the
//! numbers wherever there are at least as many mailboxes as connections.

use std::{
    cell::Cell,
    collections::BTreeMap,
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    engine::Executor,
    messages::{Messages, Size},
    process,
    progress::Progress,
    protocol::{
        imap::Imap,
        mail::{Action, Lmtp},
    },
    random::Random,
    record::{Done, OperationId, Recorder, Report},
    results::{Circumstances, Collector, Results},
    session::{Endpoints, Failure, Local, Session, Turn, Users},
};

/// Messages of a mailbox that a connection takes on at once.
const BLOCK: u64 = 100;
/// One APPEND command carries at most so many bytes of several messages.
const APPEND_BYTES: usize = 4 << 20;
/// A block that fails is tried so often; the last error ends the work.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What is to be filled, and how.
pub(crate) struct Options {
    pub(crate) endpoints: Endpoints,
    pub(crate) users: Users,
    pub(crate) mailboxes: u64,
    pub(crate) first_mailbox: u64,
    pub(crate) messages: u64,
    pub(crate) first_message: u64,
    pub(crate) folder: String,
    pub(crate) connections: u64,
    pub(crate) size: Size,
    pub(crate) seed: u64,
    pub(crate) progress: bool,
}

struct Work {
    options: Options,
    next: Cell<u64>,
    blocks: u64,
    failure: Cell<Option<String>>,
}

/// Fills the mailboxes by LMTP where that is given, else by IMAP.
pub(crate) fn populate(options: Options) -> Result<Results> {
    ensure!(
        options.endpoints.lmtp.is_some() || options.endpoints.imap.is_some(),
        "populate needs --lmtp or --imap HOST:PORT"
    );
    process::raise_descriptor_limit(options.connections)?;
    let (seed, connections, progress) = (options.seed, options.connections, options.progress);
    let (sender, receiver) = mpsc::channel();
    let began = Instant::now();
    let worker = std::thread::spawn(move || work(options, sender));
    let mut collector = Collector::new(vec!["populate".to_owned()], false);
    let mut progress = Progress::new(progress, connections);
    loop {
        let report = receiver.recv_timeout(Progress::INTERVAL);
        let arrived = matches!(report, Ok(Report::Interval(_)));
        match report {
            Ok(Report::Interval(interval)) => collector.add(interval),
            Ok(Report::Example(example)) => collector.example(example),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        progress.show(Some(began), connections, &collector, arrived);
    }
    progress.clear();
    worker.join().map_err(|_| anyhow!("a thread panicked"))??;
    let circumstances = Circumstances {
        scenario: "populate".to_owned(),
        description: "mailboxes filled".to_owned(),
        seed,
        connections,
        parameters: BTreeMap::new(),
        elapsed: began.elapsed(),
        unanswered: 0,
        own_cpu_s: process::own_cpu_seconds(),
    };
    collector.finish(circumstances, None).context("cannot finish")
}

fn work(options: Options, reports: mpsc::Sender<Report>) -> Result<()> {
    let mut executor = Executor::new()?;
    let local = Rc::new(Local::new(
        executor.reactor(),
        options.endpoints.clone(),
        options.users.clone(),
        Messages::new(options.seed, options.size),
        Recorder::new(vec!["populate".to_owned()], reports),
    ));
    let work = Rc::new(Work {
        next: Cell::new(0),
        blocks: options.messages.div_ceil(BLOCK) * options.mailboxes,
        failure: Cell::new(None),
        options,
    });
    for number in 0..work.options.connections.min(work.blocks) {
        let (local, work) = (local.clone(), work.clone());
        executor.spawn(async move {
            if let Err(failure) = fill_blocks(&local, &work, number).await {
                work.failure.set(Some(failure.to_string()));
                work.next.set(work.blocks);
            }
        });
    }
    executor.run()?;
    local.recorder.borrow_mut().hand_over();
    match work.failure.take() {
        Some(failure) => Err(anyhow!(failure)),
        None => Ok(()),
    }
}

/// A connection's last session, which the next block may use.
enum Open {
    Lmtp(Lmtp),
    Imap(u64, Box<Imap>),
}

async fn fill_blocks(local: &Rc<Local>, work: &Work, connection: u64) -> Result<(), Failure> {
    let options = &work.options;
    let mut random = Random::new(options.seed, connection);
    let mut open = None;
    loop {
        let block = work.next.get();
        if block >= work.blocks {
            return Ok(());
        }
        work.next.set(block + 1);
        let mailbox = options.first_mailbox + block % options.mailboxes;
        let from = block / options.mailboxes * BLOCK;
        let mut numbers =
            options.first_message + from..options.first_message + (from + BLOCK).min(options.messages);
        let mut tries = 0;
        while !numbers.is_empty() {
            let result = fill(
                local,
                work,
                connection,
                mailbox,
                &mut numbers,
                &mut open,
                &mut random,
            )
            .await;
            if let Err(failure) = result {
                open = None;
                tries += 1;
                // A connection that broke may have stored the last message: better one too many than an answer
                // that is taken for granted. A wrong answer is final.
                if tries == TRIES || matches!(failure, Failure::Wrong(_)) {
                    return Err(match failure {
                        Failure::Wrong(what) => Failure::Wrong(format!("mailbox {mailbox}: {what}")),
                        other => Failure::Refused(format!("mailbox {mailbox}: {other}")),
                    });
                }
                // Longer each time: accounts that were just made may not be known everywhere yet.
                let pause = FIRST_PAUSE * 2u32.pow(tries - 1);
                local.reactor.sleep_until(Instant::now() + pause).await;
            }
        }
    }
}

/// Stores messages until the block is done; `numbers` keeps what is left.
async fn fill(
    local: &Rc<Local>,
    work: &Work,
    connection: u64,
    mailbox: u64,
    numbers: &mut std::ops::Range<u64>,
    open: &mut Option<Open>,
    random: &mut Random,
) -> Result<(), Failure> {
    let usable = match open {
        Some(Open::Lmtp(_)) => true,
        Some(Open::Imap(whose, _)) => *whose == mailbox,
        None => false,
    };
    if !usable {
        *open = Some(if local.endpoints.lmtp.is_some() {
            Open::Lmtp(Lmtp::open(local, mailbox, connection).await?)
        } else {
            Open::Imap(mailbox, Box::new(Imap::open(local, mailbox, connection).await?))
        });
    }
    match open.as_mut().expect("opened above") {
        Open::Lmtp(session) => {
            while !numbers.is_empty() {
                let due = Instant::now();
                let mut turn = Turn {
                    local,
                    mailbox,
                    number: numbers.start,
                    random,
                };
                let done = session.perform(&Action::Deliver, &mut turn).await?;
                local.recorder.borrow_mut().record(OperationId(0), due, &Ok(done));
                numbers.start += 1;
            }
        }
        Open::Imap(_, session) => {
            while !numbers.is_empty() {
                append_some(local, work, mailbox, numbers, session).await?;
            }
        }
    }
    Ok(())
}

async fn append_some(
    local: &Rc<Local>,
    work: &Work,
    mailbox: u64,
    numbers: &mut std::ops::Range<u64>,
    session: &mut Imap,
) -> Result<(), Failure> {
    let recipient = local.users.address(mailbox);
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    for number in numbers.clone() {
        if !batch.is_empty() && (bytes >= APPEND_BYTES || !session.capabilities().multiappend) {
            break;
        }
        let mut message = local.take_buffer();
        local.messages.write(mailbox, number, &recipient, &mut message);
        bytes += message.len();
        batch.push(message);
    }
    let due = Instant::now();
    let messages: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
    let done = session.append(&work.options.folder, &messages).await?;
    numbers.start += messages.len() as u64;
    // One operation a message, so that counts and rates are of messages.
    let now = Instant::now();
    for message in &messages {
        let one = Done {
            bytes: message.len() as u64,
            items: 1,
        };
        local
            .recorder
            .borrow_mut()
            .record_at(OperationId(0), due, now, &Ok(one));
    }
    debug_assert_eq!(done.items, messages.len() as u64);
    for message in batch {
        local.return_buffer(message);
    }
    Ok(())
}
