//! What a request to a mailbox of another core costs, against one of the same core: two cores of the runtime as the
//! server starts it, a session that asks nothing of the mailbox, and a clock around each call.

use std::{
    convert::Infallible,
    io::Read,
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ringpost_directory::{Account, Directory, Domain};
use ringpost_host::{Connection, Credentials, Host, LoginError, MailboxRef, Outcome, Priority, Service};
use ringpost_mapi::{Guid, MailboxGuid};
use ringpost_shard::{Accounts, ListenerConfig, LoginStep, Runtime, RuntimeConfig, shard_of};
use ringpost_store::{CreateOptions, Mailbox, MailboxKind};

/// Calls of each kind; they alternate.
const CALLS: usize = 20_000;
/// Calls before, which are not measured.
const WARM_UP: usize = 1000;

fn main() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let mailboxes = [mailbox_of(0, folder.path())?, mailbox_of(1, folder.path())?];
    let listener = ListenerConfig::new("127.0.0.1:0".parse()?, Probe { mailboxes });
    let config = RuntimeConfig {
        shards: 2,
        listeners: vec![listener],
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::start(config, Arc::new(Nobody))?;
    let address = *runtime.addresses().first().context("no listener")?;
    let mut text = String::new();
    TcpStream::connect(address)?.read_to_string(&mut text)?;
    print!("{text}");
    runtime.stop();
    Ok(())
}

/// A new mailbox that this core owns.
fn mailbox_of(shard: usize, folder: &Path) -> Result<MailboxRef> {
    let guid = (1..=u8::MAX)
        .map(|number| MailboxGuid(Guid([number; 16])))
        .find(|guid| shard_of(*guid, 2) == shard)
        .context("no GUID for the core")?;
    let path = folder.join(shard.to_string());
    Mailbox::create(
        &path,
        &CreateOptions {
            kind: MailboxKind::Private,
            guid,
            locale: "en".to_owned(),
        },
    )?;
    Ok(MailboxRef {
        guid,
        path: path.into(),
    })
}

/// A protocol that measures as soon as somebody connects, and tells the result.
struct Probe {
    mailboxes: [MailboxRef; 2],
}

impl Service for Probe {
    type State = Infallible;

    fn name(&self) -> &'static str {
        "probe"
    }

    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<Infallible> {
        let mut times = [Vec::with_capacity(CALLS), Vec::with_capacity(CALLS)];
        for round in 0..WARM_UP + CALLS {
            for (mailbox, times) in self.mailboxes.iter().zip(&mut times) {
                let begin = Instant::now();
                let answer = host.mailbox(mailbox, Priority::Interactive, |_| Ok(())).await;
                if answer.is_ok() && round >= WARM_UP {
                    times.push(begin.elapsed());
                }
            }
        }
        for times in &mut times {
            times.sort_unstable();
        }
        // Which core accepted is the kernel's choice: the mailbox that costs less is the one it owns.
        times.sort_unstable_by_key(|times| times.get(times.len() / 2).copied());
        let text = ["local", "forwarded"]
            .iter()
            .zip(&times)
            .map(|(kind, times)| line(kind, times));
        let _ = connection.write(text.collect::<String>().as_bytes()).await;
        Outcome::Done
    }

    async fn serve<C: Connection, H: Host>(&self, _: &mut C, _: &H, state: Infallible) {
        match state {}
    }
}

fn line(kind: &str, times: &[Duration]) -> String {
    let at = |part: f64| {
        let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(index).map_or(0.0, Duration::as_secs_f64) * 1e6
    };
    format!(
        "{kind} p50 {:.2} p99 {:.2} µs, {} calls\n",
        at(0.5),
        at(0.99),
        times.len()
    )
}

struct Nobody;

impl Accounts for Nobody {
    fn refresh(&self, seen: Option<&Arc<dyn Directory>>) -> Option<Arc<dyn Directory>> {
        seen.is_none().then(|| Arc::new(Self) as Arc<dyn Directory>)
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
