//! A core for the tests of this crate's insides.

use std::{path::Path, rc::Rc, sync::Arc, time::Duration};

use ringpost_directory::{Account, Directory, Domain};
use ringpost_host::{Credentials, LoginError};

use crate::{Accounts, LoginStep, Runtime, RuntimeConfig, shard::Shard};

/// Runs `test` on the first of `shards` cores; its panics become the caller's.
pub(crate) fn on_core<F>(shards: usize, test: impl FnOnce(Rc<Shard>) -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let config = RuntimeConfig {
        shards,
        pin: false,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::start(config, Arc::new(Nobody)).unwrap();
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

struct Nobody;

impl Accounts for Nobody {
    fn refresh(&self, seen: Option<&Arc<dyn Directory>>) -> Option<Arc<dyn Directory>> {
        seen.is_none().then(|| Arc::new(Nobody) as Arc<dyn Directory>)
    }

    fn login(&self, _: &Credentials) -> LoginStep {
        LoginStep::Done(Err(LoginError::Invalid))
    }
}

impl Directory for Nobody {
    fn account(&self, _: &str) -> Option<Arc<Account>> {
        None
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
