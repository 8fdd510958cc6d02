//! What one connection does.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Shared, group::Running, phase::Phase};
use crate::{
    pace::{Arrival, Span},
    random::Random,
    record::{Done, OperationId},
    session::{Failure, Local, Session, Turn},
};

/// How often a connection is tried before the load begins.
const SETUP_TRIES: u32 = 5;
/// The shortest and the longest pause before the next try to connect.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);

/// One connection's task.
pub(super) struct Connection<S: Session> {
    pub(super) number: u64,
    pub(super) running: Rc<Running<S>>,
    pub(super) local: Rc<Local>,
    pub(super) phase: Rc<Phase>,
    pub(super) shared: Arc<Shared>,
    pub(super) random: Random,
}

impl<S: Session> Connection<S> {
    pub(super) async fn run(mut self) {
        let mut session = None;
        if !self.running.visit {
            self.phase.entrance.enter(&self.local.reactor).await;
            let prepared = self.prepare().await;
            self.phase.entrance.leave(&self.local.reactor);
            match prepared {
                Ok(prepared) => session = Some(prepared),
                Err(failure) => {
                    let text = format!("connection {}: {failure}", self.number);
                    return self.phase.fail(&self.local, text);
                }
            }
        }
        self.shared.ready.fetch_add(1, Ordering::Relaxed);
        self.phase.prepared(&self.local);
        let span = self.phase.started(&self.local).await;
        if self.running.listens {
            self.listen(session).await;
        } else {
            self.load(session, span).await;
            self.phase.active.set(self.phase.active.get() - 1);
        }
    }

    /// Connects before the load begins; a server that just started may need a few tries.
    async fn prepare(&mut self) -> Result<S, Failure> {
        let mut pause = RETRY_FIRST;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.open().await {
                Err(Failure::Connection(_)) if tries < SETUP_TRIES => {
                    self.local.reactor.sleep_until(Instant::now() + pause).await;
                    pause *= 4;
                }
                opened => return opened,
            }
        }
    }

    /// Connects as the user whose connection this is, and does what is set up.
    async fn open(&mut self) -> Result<S, Failure> {
        let running = self.running.clone();
        let mut mailbox_random = Random::new(self.shared.options.seed.wrapping_add(18), self.number);
        let mailbox = running.mailbox(self.number, &mut mailbox_random, &self.local);
        let mut session = S::open(&self.local, mailbox, self.number).await?;
        for action in &running.setup {
            let mut turn = Turn {
                local: &self.local,
                mailbox,
                number: self.number,
                random: &mut self.random,
            };
            session.perform(action, &mut turn).await?;
        }
        Ok(session)
    }

    async fn listen(&mut self, mut session: Option<S>) {
        let board = self.local.board.clone();
        let operation = self.running.setup_operations.iter().flatten().next().copied();
        let mut pause = RETRY_FIRST;
        loop {
            if let Some(mut listening) = session.take()
                && let Err(failure) = listening.listen(&board).await
                && let Some(operation) = operation
            {
                self.local
                    .recorder
                    .borrow_mut()
                    .record(operation, Instant::now(), &Err(failure));
            }
            self.local.reactor.sleep_until(Instant::now() + pause).await;
            pause = (pause * 2).min(RETRY_MOST);
            match self.open().await {
                Ok(opened) => session = Some(opened),
                Err(failure) => {
                    if let Some(operation) = operation {
                        self.local
                            .recorder
                            .borrow_mut()
                            .record(operation, Instant::now(), &Err(failure));
                    }
                }
            }
        }
    }

    /// Takes arrivals until there are no more.
    async fn load(&mut self, mut session: Option<S>, span: Span) {
        let running = self.running.clone();
        let mut pause = RETRY_FIRST;
        let mut last = None;
        while let Some(arrival) = running.arrivals.next(&span, last) {
            last = Some(arrival.due);
            self.local.reactor.sleep_until(arrival.due).await;
            let mailbox = running.mailbox(arrival.number, &mut self.random, &self.local);
            let mut at = arrival.due;
            if session.is_none() {
                let opened = if running.visit {
                    S::open(&self.local, mailbox, arrival.number).await
                } else {
                    self.open().await
                };
                match opened {
                    Ok(opened) => {
                        session = Some(opened);
                        pause = RETRY_FIRST;
                        if let Some(login) = running.login {
                            at = self.record(login, at, &Ok(Done::default()));
                        }
                    }
                    Err(failure) => {
                        if let Some(operation) = running.first_operation {
                            self.record(operation, at, &Err(failure));
                        }
                        self.local.reactor.sleep_until(Instant::now() + pause).await;
                        pause = (pause * 2).min(RETRY_MOST);
                        continue;
                    }
                }
            }
            let open = session.as_mut().expect("opened above");
            let usable = self.iterate(open, arrival, mailbox, at).await;
            if running.visit || !usable {
                session = None;
            }
        }
    }

    /// Does what one arrival asks for; says whether the session can be used again.
    async fn iterate(&mut self, session: &mut S, arrival: Arrival, mailbox: u64, mut at: Instant) -> bool {
        let running = self.running.clone();
        let chosen = match running.activities.len() {
            0 | 1 => 0,
            _ => {
                let point = self.random.fraction();
                running
                    .cumulative
                    .partition_point(|&end| end <= point)
                    .min(running.activities.len() - 1)
            }
        };
        let mut all = Done::default();
        for (operation, action) in running.activities.get(chosen).into_iter().flatten() {
            let mut turn = Turn {
                local: &self.local,
                mailbox,
                number: arrival.number,
                random: &mut self.random,
            };
            let result = session.perform(action, &mut turn).await;
            // What is not measured may fail all the same.
            let noted = operation.or(result.is_err().then_some(running.first_operation).flatten());
            at = match noted {
                Some(operation) => self.record(operation, at, &result),
                None => Instant::now(),
            };
            match result {
                Ok(done) => {
                    all.bytes += done.bytes;
                    all.items += done.items;
                }
                Err(Failure::Refused(_)) => return true,
                Err(Failure::Wrong(_) | Failure::Connection(_)) => return false,
            }
        }
        if let Some(whole) = running.whole {
            self.local
                .recorder
                .borrow_mut()
                .record_at(whole, arrival.due, at, &Ok(all));
        }
        true
    }

    fn record(&self, operation: OperationId, due: Instant, result: &Result<Done, Failure>) -> Instant {
        self.local.recorder.borrow_mut().record(operation, due, result)
    }
}
