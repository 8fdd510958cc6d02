//! Opening a mailbox that is cold while its user logs in.
//!
//! ```text
//! LOGIN ─► the password is checked ──────────► right: the mailbox is opened ─► SELECT finds it open, or waits for the rest
//!     └──► the way to its files is looked up ────────────┘
//! ```
//!
//! A client looks into the mailbox right after its login, and the disk says one after the other where the folders on the way
//! to it are, then its first blocks. Until the password was right no message or list of any is read, and the answer does
//! not wait for it, so that it tells nobody who exists. A mailbox that is warm is left alone: opening it takes 0.2 ms, and
//! clients that log in again and again without looking at anything should cost nothing more. (On a file system of which
//! the kernel keeps no folders, of another host say, each login opens its mailbox.)

use std::rc::Rc;

use ringpost_host::{Credentials, MailboxRef, Priority};
use ringpost_store::ahead;

use crate::{mailboxes::Done, operation, shard::Shard, watch::spawn_into};

/// Services whose sessions open the mailbox.
const SERVICES: [&str; 2] = ["imap", "pop3"];
/// Mailboxes that are looked up at once, a core; others are when they are opened.
const MAX_LOOKING_UP: usize = 64;

impl Shard {
    /// Begins to look up the mailbox that these credentials claim, if it is cold. Nothing for those whose passwords
    /// keep being wrong.
    pub(super) fn look_up_ahead(self: &Rc<Self>, credentials: &Credentials) -> bool {
        if !SERVICES.contains(&credentials.service)
            || self.logins.looking_up.get() >= MAX_LOOKING_UP
            || self.logins.is_suspect(credentials.peer.ip())
        {
            return false;
        }
        let account = self.directory.borrow().account(&credentials.login);
        let Some(path) =
            account.and_then(|account| account.mailbox.as_ref().map(|mailbox| mailbox.path.clone()))
        else {
            return false;
        };
        if ahead::is_at_hand(&path) {
            return false;
        }
        let looking_up = LookingUp::begin(self);
        let task = async move {
            let shard = Rc::clone(&looking_up.0);
            let done = operation::run(&shard, move || ahead::look_up(&path)).await;
            if let Err(error) = done {
                tracing::debug!("no stack for looking a mailbox up: {error}");
            }
        };
        spawn_into(self, self.queues.interactive, "look-up", task);
        true
    }

    /// Opens a mailbox on its core, which nobody waits for.
    pub(super) fn open_ahead(self: &Rc<Self>, mailbox: &MailboxRef) {
        let owner = self.owner_of(mailbox.guid);
        let mailbox = mailbox.clone();
        let open = move |shard: &Rc<Self>| {
            let done: Done = Box::new(|_, _, _| ());
            // Before what the client asks for next.
            shard.queue_work(&mailbox, Priority::Interactive, Box::new(|_| ()), done);
        };
        if owner == self.id {
            open(self);
        } else {
            // No more are under way than there are logins.
            self.router.post(owner, Box::new(open));
        }
    }
}

/// Counts itself.
struct LookingUp(Rc<Shard>);

impl LookingUp {
    fn begin(shard: &Rc<Shard>) -> Self {
        let count = &shard.logins.looking_up;
        count.set(count.get() + 1);
        Self(Rc::clone(shard))
    }
}

impl Drop for LookingUp {
    fn drop(&mut self) {
        let count = &self.0.logins.looking_up;
        count.set(count.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

    use ringpost_mapi::MailboxGuid;
    use ringpost_store::{CreateOptions, Mailbox, MailboxKind};

    use super::*;
    use crate::{
        testing::{Users, disk_folder, on_core_for},
        waiters::within,
    };

    /// A path that the kernel never takes from its caches: it goes through /proc.
    fn cold(path: &Path) -> Arc<Path> {
        Path::new("/proc/self/root")
            .join(path.strip_prefix("/").unwrap())
            .into()
    }

    fn create(folder: &Path) -> MailboxRef {
        let guid = MailboxGuid("00000000-0000-0000-0000-000000000001".parse().unwrap());
        let options = CreateOptions {
            kind: MailboxKind::Private,
            guid,
            locale: "en".to_owned(),
        };
        Mailbox::create(folder, &options).unwrap();
        let path = folder.canonicalize().unwrap().into();
        MailboxRef { guid, path }
    }

    fn claim(password: &str, peer: u8) -> Credentials {
        Credentials {
            login: "user".to_owned(),
            password: password.to_owned(),
            service: "imap",
            peer: SocketAddr::from(([127, 0, 0, peer], 1)),
        }
    }

    async fn opens(shard: &Rc<Shard>, owner: usize) -> u64 {
        let count = |shard: &Rc<Shard>, reply: crate::router::Reply<u64>| {
            reply.send(shard, Ok(shard.metrics.opens.get()));
        };
        shard.call(owner, count).await.unwrap()
    }

    #[test]
    fn a_cold_mailbox_is_opened_by_a_login_that_is_right() {
        let folder = disk_folder();
        let mut mailbox = create(folder.path());
        mailbox.path = cold(&mailbox.path);
        let users = Users(Some(mailbox.clone()));
        on_core_for(2, users, move |shard| async move {
            let owner = shard.owner_of(mailbox.guid);
            for (wrong, peer) in [("wrong", 1), ("false", 2)] {
                assert!(shard.look_up_ahead(&claim(wrong, peer)));
                shard.login(claim(wrong, peer)).await.unwrap_err();
            }
            assert_eq!(opens(&shard, owner).await, 0, "nobody has logged in");
            shard.login(claim("right", 1)).await.unwrap();
            let opened = async {
                while opens(&shard, owner).await == 0 || shard.logins.looking_up.get() > 0 {
                    ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
                }
            };
            within(Duration::from_secs(10), opened)
                .await
                .expect("it is opened");
        });
    }

    #[test]
    fn what_is_warm_or_nobodys_is_left_alone() {
        let folder = disk_folder();
        let mailbox = create(folder.path());
        on_core_for(1, Users(Some(mailbox.clone())), move |shard| async move {
            assert!(!shard.look_up_ahead(&claim("right", 1)), "it is warm");
            shard.login(claim("right", 1)).await.unwrap();
            assert_eq!(opens(&shard, 0).await, 0);
        });
        let cold = MailboxRef {
            path: cold(&mailbox.path),
            ..mailbox
        };
        on_core_for(1, Users(Some(cold)), move |shard| async move {
            let login = "somebody".to_owned();
            assert!(!shard.look_up_ahead(&Credentials {
                login,
                ..claim("", 1)
            }));
            let service = "smtp";
            assert!(!shard.look_up_ahead(&Credentials {
                service,
                ..claim("", 1)
            }));
            // Who fails again and again.
            for _ in 0..super::super::FAILURES {
                assert!(shard.look_up_ahead(&claim("wrong", 1)));
                shard.login(claim("wrong", 1)).await.unwrap_err();
            }
            assert!(!shard.look_up_ahead(&claim("wrong", 1)));
            // And whoever comes when many do.
            let few = shard.logins.looking_up.replace(MAX_LOOKING_UP);
            assert!(!shard.look_up_ahead(&claim("right", 2)));
            shard.logins.looking_up.set(few);
            assert!(shard.look_up_ahead(&claim("right", 2)));
        });
    }
}
