//! The runtime as sessions see it.

use std::{cell::RefCell, future::Future, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use ringpost_directory::Directory;
use ringpost_host::{
    CallError, Credentials, EnqueueError, Host, Login, LoginError, MailboxRef, Outbound, Outgoing, Priority,
    QueueId,
};
use ringpost_store::{Mailbox, StoreError};

use crate::{
    events::ShardSubscription, peer::ShardPeer, queue::ShardQueue, router::Reply, shard::Shard,
    unproven::Newcomer,
};

/// A session's handle on its core.
#[derive(Clone, Debug)]
pub struct ShardHost {
    shard: Rc<Shard>,
    /// The session's connection, while nobody has logged in over it.
    newcomer: Option<Rc<Newcomer>>,
}

impl ShardHost {
    pub(crate) fn new(shard: Rc<Shard>) -> Self {
        Self {
            shard,
            newcomer: None,
        }
    }

    /// For the first stage of a session: a login or a delivery proves its connection.
    pub(crate) fn unproven(shard: Rc<Shard>, newcomer: Rc<Newcomer>) -> Self {
        Self {
            shard,
            newcomer: Some(newcomer),
        }
    }

    /// The number of the core that this session runs on.
    pub fn shard(&self) -> usize {
        self.shard.id
    }

    /// Starts something beside the session, on its core. It ends with the core at the latest.
    pub fn spawn(&self, priority: Priority, name: &'static str, task: impl Future<Output = ()> + 'static) {
        crate::watch::spawn_into(&self.shard, self.shard.queues.of(priority), name, task);
    }

    async fn work<R, W>(
        &self,
        mailbox: &MailboxRef,
        priority: Priority,
        durable: bool,
        work: W,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        let owner = self.shard.owner_of(mailbox.guid);
        let metrics = &self.shard.metrics;
        if owner == self.shard.id {
            metrics.local_calls.increment();
        } else {
            metrics.forwarded_calls.increment();
        }
        let mailbox = mailbox.clone();
        self.shard
            .call(owner, move |shard, reply| {
                run_work(shard, &mailbox, priority, durable, work, reply);
            })
            .await
    }
}

/// Queues work on its mailbox, and answers when it is done, and durable if asked. On the owner core.
fn run_work<R, W>(
    shard: &Rc<Shard>,
    mailbox: &MailboxRef,
    priority: Priority,
    durable: bool,
    work: W,
    reply: Reply<R>,
) where
    R: Send + 'static,
    W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
{
    let result: Rc<RefCell<Option<Result<R, StoreError>>>> = Rc::default();
    let place = Rc::clone(&result);
    shard.queue_work(
        mailbox,
        priority,
        Box::new(move |mailbox| {
            let answer = work(mailbox);
            place.replace(Some(answer));
        }),
        Box::new(move |shard, ran, wal| {
            let answer = ran.and_then(|()| match result.take() {
                Some(answer) => Ok(answer?),
                None => Err(CallError::Panicked),
            });
            match answer {
                // The error of an operation needs no sync: it committed nothing that anyone relies on.
                Ok(answer) if durable => wal.when_durable(
                    shard,
                    Box::new(move |shard, durable| {
                        let answer = durable.map(|()| answer).map_err(CallError::NotDurable);
                        reply.send(shard, answer);
                    }),
                ),
                answer => reply.send(shard, answer),
            }
        }),
    );
}

impl Host for ShardHost {
    type Subscription = ShardSubscription;

    async fn mailbox<R, W>(&self, mailbox: &MailboxRef, priority: Priority, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        self.work(mailbox, priority, false, work).await
    }

    async fn mailbox_durable<R, W>(
        &self,
        mailbox: &MailboxRef,
        priority: Priority,
        work: W,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        let answer = self.work(mailbox, priority, true, work).await;
        if let (Some(newcomer), Ok(_)) = (&self.newcomer, &answer) {
            self.shard.unproven.prove(newcomer);
        }
        answer
    }

    async fn subscribe(&self, mailbox: &MailboxRef) -> Result<ShardSubscription, CallError> {
        self.shard.subscribe(mailbox).await
    }

    async fn login(&self, credentials: Credentials) -> Result<Login, LoginError> {
        if let Some(newcomer) = &self.newcomer {
            newcomer.checking();
        }
        let answer = self.shard.login(credentials).await;
        match &self.newcomer {
            Some(newcomer) if answer.is_ok() => self.shard.unproven.prove(newcomer),
            Some(newcomer) => newcomer.failed(),
            None => {}
        }
        answer
    }

    fn directory(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.shard.directory.borrow())
    }

    async fn helper<R, W>(&self, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        self.shard.help(work).await
    }

    async fn enqueue(&self, message: Outgoing) -> Result<QueueId, EnqueueError> {
        match ShardQueue::of(&self.shard) {
            Some(queue) => queue.enqueue(message).await,
            None => Err(EnqueueError::NoQueue),
        }
    }

    async fn sleep(&self, duration: Duration) {
        ringpost_executor::timer::sleep(duration).await;
    }

    async fn stopping(&self) {
        self.shard.stopping().await;
    }

    fn command_done(&self, service: &'static str, took: Duration) {
        self.shard
            .metrics
            .service(service, |service| service.commands.record(took));
    }
}

impl Outbound for ShardHost {
    type Peer = ShardPeer;
    type Queue = ShardQueue;

    async fn connect(&self, address: SocketAddr, timeout: Duration) -> io::Result<ShardPeer> {
        ShardPeer::connect(&self.shard, address, timeout).await
    }

    fn mail_queue(&self) -> Option<ShardQueue> {
        ShardQueue::of(&self.shard)
    }

    fn spawn(&self, priority: Priority, name: &'static str, task: impl Future<Output = ()> + 'static) {
        Self::spawn(self, priority, name, task);
    }

    fn cores(&self) -> usize {
        self.shard.count
    }
}
