//! The embedded directory, as the runtime asks for it.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use ringpost_config::{Configuration, directive};
use ringpost_directory::{
    Directory, EmbeddedDirectory,
    auth::{self, Authenticator, BackendSelection, Begun},
    user_filter::UserFilterOptions,
};
use ringpost_host::{Credentials, Login, LoginError, MailboxRef};
use ringpost_shard::{Accounts, LoginStep};

/// How long a right password is remembered.
const CREDENTIAL_CACHE_LIFETIME: Duration = Duration::from_mins(1);

/// Accounts and their passwords.
pub(crate) struct DirectoryAccounts {
    directory: Arc<EmbeddedDirectory>,
    authenticator: Arc<Authenticator>,
}

impl DirectoryAccounts {
    /// Opens the directory in a data folder.
    pub(crate) fn open(data: &Path, configuration: &Configuration) -> Result<Self> {
        let directory = Arc::new(
            EmbeddedDirectory::open_in(data).with_context(|| format!("accounts in {}", data.display()))?,
        );
        let number = |key| u32::try_from(configuration.quantity(key)).unwrap_or(u32::MAX);
        let defaults = auth::Options::default();
        let options = auth::Options {
            selection: BackendSelection::parse(configuration.text(directive::AUTH_BACKEND_SELECTION))
                .unwrap_or_default(),
            first_time_password: configuration.boolean(directive::ENABLE_FIRSTTIMEPW),
            filter: UserFilterOptions {
                case_insensitive: configuration.boolean(directive::USERFILTER_ICASE),
                max_bans: configuration.size(directive::USERFILTER_MAXBANS),
                max_users: configuration.size(directive::USERFILTER_MAXUSERS),
                max_tries: number(directive::USERFILTER_RL_MAXTRIES),
                window: configuration.duration(directive::USERFILTER_RL_WINDOW),
            },
            imap_tries: number(directive::imap::IMAP_AUTH_TIMES),
            pop3_tries: number(directive::pop3::POP3_AUTH_TIMES),
            imap_block: configuration.duration(directive::imap::BLOCK_INTERVAL_AUTHS),
            pop3_block: configuration.duration(directive::pop3::BLOCK_INTERVAL_AUTHS),
            smtp_tries: number(directive::SUBMISSION_AUTH_TIMES),
            smtp_block: configuration.duration(directive::SUBMISSION_BLOCK_INTERVAL_AUTHS),
            cache_lifetime: CREDENTIAL_CACHE_LIFETIME,
            ..defaults
        };
        let backend = Arc::clone(&directory);
        let authenticator = Arc::new(Authenticator::new(backend, options)?);
        Ok(Self {
            directory,
            authenticator,
        })
    }
}

impl Accounts for DirectoryAccounts {
    fn refresh(&self, seen: Option<&Arc<dyn Directory>>) -> Option<Arc<dyn Directory>> {
        let changed = seen.is_none() || self.directory.changed_since_snapshot().unwrap_or(true);
        if !changed {
            return None;
        }
        match self.directory.snapshot() {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::error!("the accounts can't be read: {error}");
                None
            }
        }
    }

    fn login(&self, credentials: &Credentials) -> LoginStep {
        let claim = auth::Credentials {
            login: credentials.login.clone(),
            password: credentials.password.clone(),
            service: credentials.service,
            peer: credentials.peer,
        };
        match self.authenticator.begin(&claim) {
            Begun::Done(answer) => LoginStep::Done(as_host(answer)),
            Begun::Slow(check) => {
                let authenticator = Arc::clone(&self.authenticator);
                LoginStep::Slow(Box::new(move || as_host(authenticator.finish(&claim, check))))
            }
        }
    }
}

/// The authenticator's answer in the words of sessions.
fn as_host(answer: Result<auth::Login, auth::LoginError>) -> Result<Login, LoginError> {
    let login = answer.map_err(|error| match error {
        auth::LoginError::NotPermitted(why) => LoginError::NotPermitted(why),
        auth::LoginError::Banned => LoginError::Banned,
        auth::LoginError::Unavailable => LoginError::Unavailable,
        _ => LoginError::Invalid,
    })?;
    Ok(Login {
        username: login.username,
        effective: login.effective,
        mailbox: MailboxRef {
            guid: login.mailbox.guid,
            path: login.mailbox.path,
        },
        locale: login.locale,
    })
}
