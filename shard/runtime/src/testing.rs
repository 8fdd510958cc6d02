//! A core for the tests of this crate's insides.

use std::{path::Path, rc::Rc, sync::Arc, time::Duration};

use ringpost_directory::{Account, AccountKind, AccountMailbox, Directory, Domain, Privileges};
use ringpost_host::{Credentials, Login, LoginError, MailboxRef};

use crate::{Accounts, LoginStep, Runtime, RuntimeConfig, shard::Shard};

/// Runs `test` on the first of `shards` cores; its panics become the caller's.
pub(crate) fn on_core<F>(shards: usize, test: impl FnOnce(Rc<Shard>) -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    on_core_for(shards, Users(None), test);
}

/// The same, with somebody who may log in.
pub(crate) fn on_core_for<F>(
    shards: usize,
    users: Users,
    test: impl FnOnce(Rc<Shard>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + 'static,
{
    let config = RuntimeConfig {
        shards,
        pin: false,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::start(config, Arc::new(users)).unwrap();
    let (passed, has_passed) = std::sync::mpsc::channel();
    runtime.control.all(Duration::from_mins(2), move |shard| {
        let (test, passed) = (test.clone(), passed.clone());
        async move {
            if shard.id == 0 {
                test(shard).await;
                passed.send(()).unwrap();
            }
        }
    });
    assert!(
        has_passed.try_recv().is_ok(),
        "the test failed on its core: see above"
    );
    runtime.stop();
}

/// Nobody, or one user, whose name is `user` and whose password is `right`.
#[derive(Clone)]
pub(crate) struct Users(pub(crate) Option<MailboxRef>);

impl Accounts for Users {
    fn refresh(&self, seen: Option<&Arc<dyn Directory>>) -> Option<Arc<dyn Directory>> {
        seen.is_none()
            .then(|| Arc::new(self.clone()) as Arc<dyn Directory>)
    }

    fn login(&self, credentials: &Credentials) -> LoginStep {
        let right = credentials.login == "user" && credentials.password == "right";
        let mailbox = self.0.clone().filter(|_| right);
        let answer = mailbox.ok_or(LoginError::Invalid).map(|mailbox| Login {
            username: "user".to_owned(),
            effective: "user".to_owned(),
            mailbox,
            locale: String::new(),
        });
        LoginStep::Slow(Box::new(move || answer))
    }
}

impl Directory for Users {
    fn account(&self, address: &str) -> Option<Arc<Account>> {
        let mailbox = self.0.clone().filter(|_| address == "user")?;
        Some(Arc::new(Account {
            username: address.to_owned(),
            kind: AccountKind::User,
            domain: String::new(),
            display_name: String::new(),
            mailbox: Some(AccountMailbox {
                guid: mailbox.guid,
                path: mailbox.path,
            }),
            forward: None,
            enabled: true,
            locale: String::new(),
            privileges: Privileges::default(),
        }))
    }

    fn domain(&self, _: &str) -> Option<Arc<Domain>> {
        None
    }

    fn members(&self, _: &Account) -> Vec<String> {
        Vec::new()
    }

    fn may_send_to(&self, _: &Account, _: &str) -> bool {
        false
    }

    fn mailboxes(&self) -> Vec<Arc<Account>> {
        Vec::new()
    }
}

/// A folder on a real disk: the system's temporary one may be memory, where nothing is ever cold.
pub(crate) fn disk_folder() -> tempfile::TempDir {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::fs::create_dir_all(&target).unwrap();
    tempfile::tempdir_in(target).unwrap()
}
