//! The protocols with their settings, as listeners take them.

use ringpost_config::{Configuration, directive};
use ringpost_imap::ImapService;
use ringpost_lmtp::Lmtp;
use ringpost_pop3::Pop3;

/// IMAP, by imap(8gx).
pub(crate) fn imap(configuration: &Configuration) -> ImapService {
    use directive::imap;
    ImapService {
        settings: ringpost_imap::Settings {
            host_id: configuration.text(imap::HOST_ID).to_owned(),
            conn_timeout: configuration.duration(imap::IMAP_CONN_TIMEOUT),
            autologout_time: configuration.duration(imap::IMAP_AUTOLOGOUT_TIME),
            auth_times: number(configuration, imap::IMAP_AUTH_TIMES),
            support_tls: configuration.boolean(imap::IMAP_SUPPORT_TLS),
            force_tls: configuration.boolean(imap::IMAP_FORCE_TLS),
            rfc9051: configuration.boolean(imap::IMAP_RFC9051),
            rfc2971: configuration.boolean(imap::ENABLE_RFC2971_COMMANDS),
            cmd_debug: configuration.quantity(imap::IMAP_CMD_DEBUG) as u8,
            message_size_limit: configuration.size(directive::smtp::MAIL_MAX_LENGTH),
            compression_level: configuration.compression(directive::EXMDB_FILE_COMPRESSION),
        },
    }
}

/// POP3, by pop3(8gx).
pub(crate) fn pop3(configuration: &Configuration) -> Pop3 {
    Pop3::new(ringpost_pop3::Options::of(configuration))
}

/// LMTP and SMTP in, by delivery-queue(8gx) and delivery(8gx).
pub(crate) fn lmtp(configuration: &Configuration) -> Lmtp {
    Lmtp::new(ringpost_lmtp::Options::of(configuration))
}

/// Submission (RFC 6409), by the directives of ringpost.cfg.
pub(crate) fn submission(configuration: &Configuration) -> Lmtp {
    Lmtp::new(ringpost_lmtp::Options::submission(configuration))
}

fn number(configuration: &Configuration, key: directive::Quantity) -> u32 {
    u32::try_from(configuration.quantity(key)).unwrap_or(u32::MAX)
}
