//! Running the server: start, signals, stop.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use ringpost_config::{Changes, Configuration, Diagnostic, Directive, Effect, Severity, Source};
use ringpost_shard::{
    Runtime,
    signals::{Request, Requests},
};
use ringpost_tools::notify::Notifier;

use crate::{accounts::DirectoryAccounts, settings};

/// How often signals are looked for where a watchdog is fed, too.
const SIGNAL_POLL: Duration = Duration::from_millis(100);

/// Locked by the server that runs on a data folder.
const LOCK_FILE: &str = "server.lock";

/// For diagnosis: an environment variable that turns off what keeps cold reads from holding a core.
const BLOCKING_READS: &str = "RINGPOST_BLOCKING_READS";

/// Serves with the configuration of `source` until SIGTERM.
pub(crate) fn serve(source: &Source) -> Result<()> {
    let (configuration, diagnostics) = Configuration::load(source);
    report(&diagnostics);
    if has_errors(&diagnostics) {
        bail!("the configuration has errors; `ringpost check-config` shows them");
    }
    let data = settings::data_path(&configuration)?;
    let _alone = lock(&data)?;
    run(&configuration, &data, Some(source), |_| Ok(()))
}

/// Keeps a second server away from `data`, until dropped. The system takes the lock from a process that dies.
pub(crate) fn lock(data: &Path) -> Result<File> {
    fs::create_dir_all(data).with_context(|| data.display().to_string())?;
    let path = data.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another server runs on {}", data.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Starts the server on the accounts in `data`, calls `started` once it serves, and returns after SIGTERM or
/// SIGINT, when everything is closed. SIGHUP reads `source` again, SIGUSR1 logs what the server is doing.
pub(crate) fn run(
    configuration: &Configuration,
    data: &Path,
    source: Option<&Source>,
    started: impl FnOnce(&Runtime) -> Result<()>,
) -> Result<()> {
    let notifier = Notifier::from_environment().context("NOTIFY_SOCKET")?;
    if std::env::var_os(BLOCKING_READS).is_some() {
        tracing::warn!("{BLOCKING_READS} is set: reads that are not in the page cache hold their core");
        ringpost_vfs::block_on_cold_reads();
    }
    // Before any thread starts, so that every signal comes here.
    let mut requests = Requests::listen()?;
    ringpost_shard::read_program_ahead();
    let accounts = Arc::new(DirectoryAccounts::open(data, configuration)?);
    let runtime = Runtime::start(settings::runtime(configuration)?, accounts)?;
    started(&runtime)?;
    tell(notifier.ready(&format!("serving on {} cores", runtime.shards())));

    // What SIGHUP compares with.
    let mut current = configuration.clone();
    let interval = notifier.watchdog_interval().map(|interval| interval / 2);
    let mut told = Instant::now();
    'serving: loop {
        // The watchdog's service manager wants to hear from time to time; without one, only signals matter.
        let wanted = match interval {
            None => vec![requests.wait()],
            Some(interval) => {
                if told.elapsed() >= interval {
                    told = Instant::now();
                    if runtime.is_alive(interval) {
                        tell(notifier.watchdog());
                    } else {
                        tracing::error!("a core did not answer for {interval:?}");
                    }
                }
                thread::sleep(SIGNAL_POLL);
                requests.pending()
            }
        };
        for request in wanted {
            match request {
                Request::Reload => {
                    tell(notifier.reloading());
                    reload(&runtime, source, &mut current);
                    tell(notifier.ready("reloaded"));
                }
                Request::DumpState => runtime.dump_state(),
                Request::Stop => break 'serving,
            }
        }
    }
    tracing::info!("stopping");
    tell(notifier.stopping());
    runtime.stop();
    Ok(())
}

/// Certificates, the services' options and what else may change while sessions go on. On an error nothing
/// changes but the log.
fn reload(runtime: &Runtime, source: Option<&Source>, current: &mut Configuration) {
    let Some(source) = source else { return };
    let (configuration, diagnostics) = Configuration::load(source);
    report(&diagnostics);
    if has_errors(&diagnostics) {
        tracing::error!("not reloaded: the configuration has errors");
        return;
    }
    crate::logging::reload(&configuration);
    let reloaded = settings::runtime(&configuration).and_then(|config| {
        runtime.reload_tls(&config).context("TLS")?;
        runtime.reload_services(&config.listeners);
        runtime.reload_limits(&config);
        Ok(())
    });
    match reloaded {
        Ok(()) => {
            tell_changes(&current.changes(&configuration));
            *current = configuration;
        }
        Err(error) => tracing::error!("not reloaded: {error:#}"),
    }
}

/// Says which changes hold from now on, and which have to wait.
fn tell_changes(changes: &Changes) {
    let names = |directives: &[&Directive]| {
        let mut names: Vec<_> = directives
            .iter()
            .filter(|directive| directive.effect == Effect::Effective)
            .map(|directive| directive.qualified_name())
            .collect();
        names.sort();
        names.join(", ")
    };
    match names(&changes.reloadable).as_str() {
        "" => tracing::info!("configuration reloaded"),
        applied => tracing::info!("configuration reloaded; changed: {applied}"),
    }
    let waiting = names(&changes.restart);
    if !waiting.is_empty() {
        tracing::warn!("changed, but only a restart applies it: {waiting}");
    }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity() == Severity::Error)
}

fn report(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        match diagnostic.severity() {
            Severity::Note => tracing::info!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
            Severity::Error => tracing::error!("{diagnostic}"),
        }
    }
}

/// The service manager's absence or deafness is not the server's business.
fn tell(sent: std::io::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!("the service manager was not told: {error}");
    }
}
