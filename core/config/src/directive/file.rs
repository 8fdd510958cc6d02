//! The configuration files.

use super::Directive;
use crate::syntax::Dialect;

/// A configuration file of the manual, and this server's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum File {
    /// `ringpost.cfg`
    Ringpost,
    /// `gromox.cfg`
    Gromox,
    /// `http.cfg`
    Http,
    /// `imap.cfg`
    Imap,
    /// `pop3.cfg`
    Pop3,
    /// `smtp.cfg`
    Smtp,
    /// `delivery.cfg`
    Delivery,
    /// `exmdb_provider.cfg`
    ExmdbProvider,
    /// `exmdb_local.cfg`
    ExmdbLocal,
    /// `authmgr.cfg`
    Authmgr,
    /// `mysql_adaptor.cfg`
    MysqlAdaptor,
    /// `ldap_adaptor.cfg`
    LdapAdaptor,
    /// `exchange_emsmdb.cfg`
    ExchangeEmsmdb,
    /// `exchange_nsp.cfg`
    ExchangeNsp,
    /// `ews.cfg`
    Ews,
    /// `autodiscover.cfg`
    Autodiscover,
    /// `autodiscover.ini`
    AutodiscoverIni,
    /// `midb.cfg`
    Midb,
    /// `midb_agent.cfg`
    MidbAgent,
    /// `zcore.cfg`
    Zcore,
    /// `timer.cfg`
    Timer,
    /// `timer_agent.cfg`
    TimerAgent,
    /// `event.cfg`
    Event,
    /// `pam.cfg`
    Pam,
}

impl File {
    /// All of them, in the order in which they are read and shown.
    pub const ALL: &'static [Self] = &[
        Self::Ringpost,
        Self::Gromox,
        Self::Http,
        Self::Imap,
        Self::Pop3,
        Self::Smtp,
        Self::Delivery,
        Self::ExmdbProvider,
        Self::ExmdbLocal,
        Self::Authmgr,
        Self::MysqlAdaptor,
        Self::LdapAdaptor,
        Self::ExchangeEmsmdb,
        Self::ExchangeNsp,
        Self::Ews,
        Self::Autodiscover,
        Self::AutodiscoverIni,
        Self::Midb,
        Self::MidbAgent,
        Self::Zcore,
        Self::Timer,
        Self::TimerAgent,
        Self::Event,
        Self::Pam,
    ];

    /// Its name inside a folder of the search path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ringpost => "ringpost.cfg",
            Self::Gromox => "gromox.cfg",
            Self::Http => "http.cfg",
            Self::Imap => "imap.cfg",
            Self::Pop3 => "pop3.cfg",
            Self::Smtp => "smtp.cfg",
            Self::Delivery => "delivery.cfg",
            Self::ExmdbProvider => "exmdb_provider.cfg",
            Self::ExmdbLocal => "exmdb_local.cfg",
            Self::Authmgr => "authmgr.cfg",
            Self::MysqlAdaptor => "mysql_adaptor.cfg",
            Self::LdapAdaptor => "ldap_adaptor.cfg",
            Self::ExchangeEmsmdb => "exchange_emsmdb.cfg",
            Self::ExchangeNsp => "exchange_nsp.cfg",
            Self::Ews => "ews.cfg",
            Self::Autodiscover => "autodiscover.cfg",
            Self::AutodiscoverIni => "autodiscover.ini",
            Self::Midb => "midb.cfg",
            Self::MidbAgent => "midb_agent.cfg",
            Self::Zcore => "zcore.cfg",
            Self::Timer => "timer.cfg",
            Self::TimerAgent => "timer_agent.cfg",
            Self::Event => "event.cfg",
            Self::Pam => "pam.cfg",
        }
    }

    /// Its directives.
    pub const fn table(self) -> &'static [&'static Directive] {
        match self {
            Self::Ringpost => super::ringpost::TABLE,
            Self::Gromox => super::gromox::TABLE,
            Self::Http => super::http::TABLE,
            Self::Imap => super::imap::TABLE,
            Self::Pop3 => super::pop3::TABLE,
            Self::Smtp => super::smtp::TABLE,
            Self::Delivery => super::delivery::TABLE,
            Self::ExmdbProvider => super::exmdb_provider::TABLE,
            Self::ExmdbLocal => super::exmdb_local::TABLE,
            Self::Authmgr => super::authmgr::TABLE,
            Self::MysqlAdaptor => super::mysql_adaptor::TABLE,
            Self::LdapAdaptor => super::ldap_adaptor::TABLE,
            Self::ExchangeEmsmdb => super::exchange_emsmdb::TABLE,
            Self::ExchangeNsp => super::exchange_nsp::TABLE,
            Self::Ews => super::ews::TABLE,
            Self::Autodiscover => super::autodiscover::TABLE,
            Self::AutodiscoverIni => super::autodiscover_ini::TABLE,
            Self::Midb => super::midb::TABLE,
            Self::MidbAgent => super::midb_agent::TABLE,
            Self::Zcore => super::zcore::TABLE,
            Self::Timer => super::timer::TABLE,
            Self::TimerAgent => super::timer_agent::TABLE,
            Self::Event => super::event::TABLE,
            Self::Pam => super::pam::TABLE,
        }
    }

    /// For the file of a component: the service whose `config_file_path` finds it. `None` for a service's
    /// own file, which lies in the configuration folder itself.
    ///
    /// In gromox each process that loads a component searches it for itself; one process has to decide.
    pub const fn host(self) -> Option<Self> {
        match self {
            Self::ExmdbProvider => Some(Self::Http),
            Self::ExmdbLocal => Some(Self::Delivery),
            Self::Authmgr => Some(Self::Http),
            Self::MysqlAdaptor => Some(Self::Http),
            Self::LdapAdaptor => Some(Self::Http),
            Self::ExchangeEmsmdb => Some(Self::Http),
            Self::ExchangeNsp => Some(Self::Http),
            Self::Ews => Some(Self::Http),
            Self::Autodiscover => Some(Self::Http),
            Self::AutodiscoverIni => Some(Self::Http),
            Self::MidbAgent => Some(Self::Http),
            Self::TimerAgent => Some(Self::Http),
            _ => None,
        }
    }

    /// How its comments begin.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::AutodiscoverIni => Dialect::Ini,
            _ => Dialect::Cfg,
        }
    }

    /// The file with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|file| file.name().eq_ignore_ascii_case(name))
    }
}
