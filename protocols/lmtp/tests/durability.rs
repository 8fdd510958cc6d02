//! A message is acknowledged only after the disk confirmed it.

use std::{io, sync::Arc, time::Duration};

use ringpost_directory::Directory;
use ringpost_host::{CallError, Credentials, Host, Login, LoginError, MailboxRef, Priority, Service};
use ringpost_lmtp::{Lmtp, Options};
use ringpost_store::{Mailbox, StoreError, folder::built_in};
use ringpost_testhost::{TestDirectory, TestHost, TestSubscription};

const SYNC_TAKES: Duration = Duration::from_secs(10);

/// A host whose disk is slow, and may fail to confirm.
#[derive(Clone)]
struct SlowDisk {
    host: TestHost,
    fails: bool,
}

impl Host for SlowDisk {
    type Subscription = TestSubscription;

    async fn mailbox<R, W>(&self, mailbox: &MailboxRef, priority: Priority, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        self.host.mailbox(mailbox, priority, work).await
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
        let done = self.host.mailbox(mailbox, priority, work).await?;
        self.host.sleep(SYNC_TAKES).await;
        if self.fails {
            Err(CallError::NotDurable(Arc::new(io::Error::other("sync failed"))))
        } else {
            Ok(done)
        }
    }

    async fn subscribe(&self, mailbox: &MailboxRef) -> Result<TestSubscription, CallError> {
        self.host.subscribe(mailbox).await
    }

    async fn login(&self, credentials: Credentials) -> Result<Login, LoginError> {
        self.host.login(credentials).await
    }

    fn directory(&self) -> Arc<dyn Directory> {
        self.host.directory()
    }

    async fn helper<R, W>(&self, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        self.host.helper(work).await
    }

    async fn sleep(&self, duration: Duration) {
        self.host.sleep(duration).await;
    }

    async fn stopping(&self) {
        self.host.stopping().await;
    }
}

/// Delivers to two mailboxes; the replies, and what was there before the disk confirmed.
fn deliver(fails: bool) -> Vec<String> {
    let directory = TestDirectory::new()
        .user("alice@example.test", "a")
        .user("bob@example.test", "b");
    let alice = directory.mailbox("alice@example.test");
    let host = TestHost::new(directory);
    let mut client = host.connect(|mut connection, host| async move {
        let slow = SlowDisk { host, fails };
        Lmtp::new(Options::default()).accept(&mut connection, &slow).await;
    });
    host.run(async {
        client.send("LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n");
        client.lines_until("354").await;
        client.send("Subject: x\r\n\r\n.\r\n");
        for _ in 0..100 {
            futures_lite::future::yield_now().await;
        }
        assert_eq!(client.pending(), 0, "acknowledged before the disk confirmed");
    });
    // Committed in the meantime, but that is not what an acknowledgement promises.
    let status = host
        .with_mailbox(&alice, |store| store.status(built_in::INBOX))
        .unwrap();
    assert_eq!(status.messages, 1);
    host.advance(SYNC_TAKES);
    host.run(async { vec![client.line().await.unwrap(), client.line().await.unwrap()] })
}

#[test]
fn the_reply_waits_for_the_disk() {
    assert!(deliver(false).iter().all(|reply| reply.starts_with("250 2.1.5")));
}

#[test]
fn what_the_disk_did_not_confirm_is_not_acknowledged() {
    assert!(deliver(true).iter().all(|reply| reply.starts_with("451 4.2.0")));
}
