//! Checking who a client is.
//!
//! [`Authenticator::login`] blocks (it hashes passwords and reads the back end): call it on helper threads
//! only, from as many as there are. The order of a login: user filter → account → password (from the cache,
//! if the same password was right a short while ago) → may it use the service → impersonation.
//!
//! An attacker learns nothing from the answer or its time: an unknown user's password is hashed all the same,
//! and what is wrong with an account is found only once the password is right. The administrator learns it
//! from the log, in the form that gromox(7) gives for fail2ban ([`rejection_line`]).

mod cache;
mod friends;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    AccountKind, AccountMailbox, DirectoryError, LoginBackend, LoginRecord, Status,
    password::{self, PasswordError},
    user_filter::{UserFilter, UserFilterOptions},
};
use cache::CredentialCache;
use friends::Friends;

/// `auth_backend_selection`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendSelection {
    /// Nobody gets in.
    DenyAll,
    /// Whoever exists gets in, with any password.
    AllowAll,
    /// LDAP where the account has an `externid`, else the directory's hash.
    #[default]
    Ldap,
    /// PAM where the account has an `externid`, else the directory's hash.
    Pam,
}

impl BackendSelection {
    /// The directive's value, its old names included.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "deny_all" => Some(Self::DenyAll),
            "allow_all" => Some(Self::AllowAll),
            "ldap" | "externid" | "always_ldap" | "always_mysql" => Some(Self::Ldap),
            "pam" => Some(Self::Pam),
            _ => None,
        }
    }
}

/// How logins are checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// `auth_backend_selection`
    pub selection: BackendSelection,
    /// `enable_firsttimepw`: the first password given to an account without one becomes its password.
    pub first_time_password: bool,
    /// user_filter(4gx)
    pub filter: UserFilterOptions,
    /// `imap_auth_times`: failures before a ban.
    pub imap_tries: u32,
    /// `pop3_auth_times`
    pub pop3_tries: u32,
    /// `submission_auth_times`
    pub smtp_tries: u32,
    /// `http_auth_times`, for all other services.
    pub other_tries: u32,
    /// `block_interval_auths` of imap.cfg: how long a banned user stays so.
    pub imap_block: Duration,
    /// The same of pop3.cfg.
    pub pop3_block: Duration,
    /// `submission_block_interval_auths`
    pub smtp_block: Duration,
    /// The same of http.cfg, for all other services.
    pub other_block: Duration,
    /// How long a right password is remembered, as a keyed hash; zero turns the cache off.
    pub cache_lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: BackendSelection::default(),
            first_time_password: false,
            filter: UserFilterOptions::default(),
            imap_tries: 10,
            pop3_tries: 3,
            smtp_tries: 10,
            other_tries: 10,
            imap_block: Duration::from_mins(1),
            pop3_block: Duration::from_mins(1),
            smtp_block: Duration::from_mins(1),
            other_block: Duration::from_mins(1),
            cache_lifetime: Duration::from_mins(1),
        }
    }
}

/// A client's claim to be somebody.
#[derive(Clone)]
pub struct Credentials {
    /// As the client spelt it; may be `me@x!other@y` (impersonation).
    pub login: String,
    /// The secret. Never logged.
    pub password: String,
    /// Which service: `imap`, `pop3`, `smtp`.
    pub service: &'static str,
    /// Where from, for the log.
    pub peer: SocketAddr,
}

/// Who a client turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account's primary address.
    pub username: String,
    /// Whose mailbox is used, when not one's own (impersonation); else the same.
    pub effective: String,
    /// That mailbox.
    pub mailbox: AccountMailbox,
    /// The language of the account whose mailbox it is.
    pub locale: String,
}

/// Why a login failed. The client is told no more than that it failed; the log has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Unknown user or wrong password.
    #[error("invalid credentials")]
    Invalid,
    /// The password is right, and the account may not use this service, is suspended, or may not open the
    /// other's mailbox.
    #[error("not permitted: {0}")]
    NotPermitted(&'static str),
    /// Too many failures or attempts (user_filter).
    #[error("denied by user filter")]
    Banned,
    /// What checks this account's password can't answer now.
    #[error("temporarily unavailable")]
    Unavailable,
}

/// A login that has begun.
pub enum Begun {
    /// The answer.
    Done(Result<Login, LoginError>),
    /// A password has to be hashed: [`Authenticator::finish`].
    Slow(SlowCheck),
}

/// What is left to be checked. It tells nobody whether there is such a user.
pub struct SlowCheck(Slow);

enum Slow {
    /// Nobody can be who this claims to be, which takes as long to say as of anybody else.
    Nobody,
    /// Whoever knows this account's password.
    Password(Box<LoginRecord>),
}

/// Checks logins. One for the whole process.
pub struct Authenticator {
    backend: Arc<dyn LoginBackend>,
    options: Options,
    filter: UserFilter,
    cache: CredentialCache,
    friends: Friends,
    /// Hashed against when there is no such user.
    dummy_hash: String,
}

impl Authenticator {
    /// Hashes once, for the time that unknown users' logins take.
    pub fn new(backend: Arc<dyn LoginBackend>, options: Options) -> Result<Self, DirectoryError> {
        Ok(Self {
            filter: UserFilter::new(options.filter),
            cache: CredentialCache::new(options.cache_lifetime)?,
            friends: Friends::default(),
            dummy_hash: password::hash("nobody's password")?,
            backend,
            options,
        })
    }

    /// Checks a login, counts and logs a failure. Blocks for tens of milliseconds.
    pub fn login(&self, credentials: &Credentials) -> Result<Login, LoginError> {
        match self.begin(credentials) {
            Begun::Done(answer) => answer,
            Begun::Slow(check) => self.finish(credentials, check),
        }
    }

    /// Everything of a login but what is slow by intention: answers where no password has to be hashed. Blocks for
    /// a look into the back end.
    pub fn begin(&self, credentials: &Credentials) -> Begun {
        let now = Instant::now();
        let name = LoginName::parse(&credentials.login);
        let counted_as = self.friends.counted_as(name.user, credentials.peer.ip(), now);
        let begun = if self.filter.judge(&counted_as, now) {
            self.begin_check(&name, credentials, now)
        } else {
            Err(LoginError::Banned)
        };
        match begun {
            Ok(Begun::Slow(check)) => Begun::Slow(check),
            Ok(Begun::Done(answer)) => Begun::Done(self.counted(credentials, answer, now)),
            Err(error) => Begun::Done(self.counted(credentials, Err(error), now)),
        }
    }

    /// The slow rest of what [`Self::begin`] began with the same credentials.
    pub fn finish(&self, credentials: &Credentials, check: SlowCheck) -> Result<Login, LoginError> {
        let now = Instant::now();
        let answer = self.check_slowly(credentials, check, now);
        self.counted(credentials, answer, now)
    }

    /// Counts and logs how a login ended.
    fn counted(
        &self,
        credentials: &Credentials,
        result: Result<Login, LoginError>,
        now: Instant,
    ) -> Result<Login, LoginError> {
        let name = LoginName::parse(&credentials.login);
        let address = credentials.peer.ip();
        let counted_as = self.friends.counted_as(name.user, address, now);
        match result {
            Ok(_) => {
                self.filter.succeeded(&counted_as);
                self.friends.remember(name.user, address, now);
            }
            Err(error) => {
                tracing::warn!(target: "ringpost::auth", "{}", rejection_line(credentials, error));
                if matches!(error, LoginError::Invalid | LoginError::NotPermitted(_)) {
                    let (tries, block) = self.tries(credentials.service);
                    self.filter.failed(&counted_as, tries, block, now);
                }
            }
        }
        result
    }

    fn begin_check(
        &self,
        name: &LoginName<'_>,
        credentials: &Credentials,
        now: Instant,
    ) -> Result<Begun, LoginError> {
        let record = self.record(name.user)?;
        let Some(record) = record.filter(|record| record.kind == AccountKind::User) else {
            return Ok(Begun::Slow(SlowCheck(Slow::Nobody)));
        };
        match self.options.selection {
            BackendSelection::DenyAll => return Ok(Begun::Slow(SlowCheck(Slow::Nobody))),
            BackendSelection::AllowAll => return Ok(Begun::Done(self.permitted(name, credentials, &record))),
            BackendSelection::Ldap | BackendSelection::Pam if record.external => {
                tracing::error!(
                    target: "ringpost::auth",
                    user = record.username,
                    "the account's password is kept elsewhere ({:?}), which this server can't ask",
                    self.options.selection
                );
                return Err(LoginError::Unavailable);
            }
            BackendSelection::Ldap | BackendSelection::Pam => {}
        }
        if self.cache.knows(&record, &credentials.password, now) && !record.password_hash.is_empty() {
            return Ok(Begun::Done(self.permitted(name, credentials, &record)));
        }
        Ok(Begun::Slow(SlowCheck(Slow::Password(Box::new(record)))))
    }

    fn check_slowly(
        &self,
        credentials: &Credentials,
        check: SlowCheck,
        now: Instant,
    ) -> Result<Login, LoginError> {
        let given = &credentials.password;
        let Slow::Password(record) = check.0 else {
            return Err(self.refuse_slowly(given));
        };
        self.check_password(&record, given, now)?;
        self.permitted(&LoginName::parse(&credentials.login), credentials, &record)
    }

    /// What somebody whose password was right gets.
    fn permitted(
        &self,
        name: &LoginName<'_>,
        credentials: &Credentials,
        record: &LoginRecord,
    ) -> Result<Login, LoginError> {
        check_permitted(record, credentials.service)?;
        let target = match name.mailbox {
            Some(other) => self.impersonated(record, other)?,
            None => record.clone(),
        };
        let mailbox = target
            .mailbox
            .ok_or(LoginError::NotPermitted("there is no mailbox on this server"))?;
        Ok(Login {
            username: record.username.clone(),
            effective: target.username,
            mailbox,
            locale: target.locale,
        })
    }

    fn check_password(&self, record: &LoginRecord, given: &str, now: Instant) -> Result<(), LoginError> {
        if record.password_hash.is_empty() {
            return self.set_first_password(record, given);
        }
        // Another session of the same user may have been faster.
        if self.cache.knows(record, given, now) {
            return Ok(());
        }
        match password::verify(given, &record.password_hash) {
            Ok(true) => {
                self.cache.remember(record, given, now);
                Ok(())
            }
            Ok(false) => Err(LoginError::Invalid),
            Err(error) => {
                tracing::error!(target: "ringpost::auth", user = record.username, "{error}");
                Err(LoginError::Unavailable)
            }
        }
    }

    /// `enable_firsttimepw`
    fn set_first_password(&self, record: &LoginRecord, given: &str) -> Result<(), LoginError> {
        if !self.options.first_time_password {
            return Err(self.refuse_slowly(given));
        }
        let hash = password::hash(given).map_err(|error| match error {
            PasswordError::Unavailable => LoginError::Unavailable,
            _ => LoginError::Invalid,
        })?;
        match self.backend.set_first_password(&record.username, &hash) {
            Ok(true) => {
                tracing::info!(target: "ringpost::auth", user = record.username, "first password set");
                Ok(())
            }
            // Somebody was faster; theirs is the password now.
            Ok(false) => Err(LoginError::Invalid),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The account whose mailbox is wanted, which `record`'s must own (imap(8gx), "Authentication").
    fn impersonated(&self, record: &LoginRecord, other: &str) -> Result<LoginRecord, LoginError> {
        const REFUSED: LoginError = LoginError::NotPermitted("no ownership of that store");
        let target = self.record(other)?.ok_or(REFUSED)?;
        if target.username == record.username {
            return Ok(target);
        }
        let owns = self
            .backend
            .is_store_owner(&target.username, &record.username)
            .map_err(|error| unavailable(&error))?;
        if owns { Ok(target) } else { Err(REFUSED) }
    }

    fn record(&self, address: &str) -> Result<Option<LoginRecord>, LoginError> {
        self.backend
            .login_record(address)
            .map_err(|error| unavailable(&error))
    }

    /// The refusal of somebody whom nobody knows: it takes as long as a real one, and fails as one does.
    fn refuse_slowly(&self, given: &str) -> LoginError {
        match password::verify(given, &self.dummy_hash) {
            Err(PasswordError::Unavailable) => LoginError::Unavailable,
            _ => LoginError::Invalid,
        }
    }

    /// How many failures a service bears, and how long it then bans the user.
    fn tries(&self, service: &str) -> (u32, Duration) {
        let options = &self.options;
        match service {
            "imap" => (options.imap_tries, options.imap_block),
            "pop3" => (options.pop3_tries, options.pop3_block),
            "smtp" => (options.smtp_tries, options.smtp_block),
            _ => (options.other_tries, options.other_block),
        }
    }
}

fn unavailable(error: &DirectoryError) -> LoginError {
    tracing::error!(target: "ringpost::auth", "{error}");
    LoginError::Unavailable
}

fn check_permitted(record: &LoginRecord, service: &str) -> Result<(), LoginError> {
    if record.status != Status::Active {
        return Err(LoginError::NotPermitted("the account or its domain is suspended"));
    }
    let allowed = match service {
        "imap" => record.privileges.imap,
        "pop3" => record.privileges.pop3,
        "smtp" => record.privileges.smtp,
        _ => true,
    };
    if allowed {
        Ok(())
    } else {
        Err(LoginError::NotPermitted("the account may not use this service"))
    }
}

/// A login name taken apart: `user` or `user!mailbox`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginName<'a> {
    /// Who authenticates.
    pub user: &'a str,
    /// Whose mailbox is wanted, if not the user's own.
    pub mailbox: Option<&'a str>,
}

impl<'a> LoginName<'a> {
    /// Splits at the first `!`.
    pub fn parse(login: &'a str) -> Self {
        match login.split_once('!') {
            Some((user, mailbox)) => Self {
                user: user.trim(),
                mailbox: Some(mailbox.trim()),
            },
            None => Self {
                user: login.trim(),
                mailbox: None,
            },
        }
    }
}

/// Characters of a user name in the log.
const LOGGED_NAME_MAX: usize = 320;

/// The line of gromox(7), "fail2ban integration".
///
/// The name is the client's to choose, so what could forge a second line or field (spaces, controls) becomes
/// `_`. Addresses are written as IPv6, as everywhere in gromox(7). IMAP's operation text stands behind the
/// word `login`, because the expression there is in lower case and the text "LOGIN phase1" is not.
pub fn rejection_line(credentials: &Credentials, error: LoginError) -> String {
    let address = match credentials.peer.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut user: String = LoginName::parse(&credentials.login)
        .user
        .chars()
        .take(LOGGED_NAME_MAX)
        .map(|c| {
            if c.is_whitespace() || c.is_control() {
                '_'
            } else {
                c
            }
        })
        .collect();
    if user.is_empty() {
        user.push('-');
    }
    let operation = match (credentials.service, error) {
        ("imap", LoginError::Banned) => "imap login: LOGIN phase0",
        ("imap", _) => "imap login: LOGIN phase1",
        ("pop3", _) => "login",
        ("smtp", _) => "SMTP auth",
        _ => "HTTP auth",
    };
    format!(
        "rhost=[{address}]:{} user={user} {operation} rejected: {error}",
        credentials.peer.port()
    )
}
