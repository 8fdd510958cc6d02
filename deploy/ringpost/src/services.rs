//! The protocols with their settings, as listeners take them.

use ringpost_config::{Configuration, directive};
use ringpost_imap::ImapService;
use ringpost_lmtp::{Dialects, Lmtp};
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
    use directive::pop3;
    Pop3::new(ringpost_pop3::Options {
        host_id: configuration.text(pop3::HOST_ID).to_owned(),
        announce_implementation: configuration.boolean(pop3::ENABLE_CAPA_IMPLEMENTATION),
        auth_times: number(configuration, pop3::POP3_AUTH_TIMES),
        command_debug: configuration.quantity(pop3::POP3_CMD_DEBUG) as u8,
        timeout: configuration.duration(pop3::POP3_CONN_TIMEOUT),
        force_tls: configuration.boolean(pop3::POP3_FORCE_TLS),
        offer_stls: configuration.boolean(pop3::POP3_SUPPORT_TLS),
    })
}

/// LMTP and SMTP in, by delivery-queue(8gx) and delivery(8gx).
pub(crate) fn lmtp(configuration: &Configuration) -> Lmtp {
    use directive::smtp;
    let dialects = match configuration
        .text(smtp::COMMAND_PROTOCOL)
        .to_ascii_lowercase()
        .as_str()
    {
        "lmtp" => Dialects::Lmtp,
        "smtp" => Dialects::Smtp,
        _ => Dialects::Both,
    };
    Lmtp::new(ringpost_lmtp::Options {
        dialects,
        host_id: configuration.text(smtp::HOST_ID).to_owned(),
        mail_max_length: configuration.size(smtp::MAIL_MAX_LENGTH) as u64,
        timeout: configuration.duration(smtp::SMTP_CONN_TIMEOUT),
        force_tls: configuration.boolean(smtp::SMTP_FORCE_STARTTLS),
        offer_pipelining: configuration.boolean(smtp::SMTP_SUPPORT_PIPELINE),
        offer_starttls: configuration.boolean(smtp::SMTP_SUPPORT_STARTTLS),
        delivery: ringpost_delivery::Options {
            recipient_delimiter: configuration.text(directive::LDA_RECIPIENT_DELIMITER).to_owned(),
            compression_level: configuration.compression(directive::EXMDB_FILE_COMPRESSION),
            ..ringpost_delivery::Options::default()
        },
    })
}

fn number(configuration: &Configuration, key: directive::Quantity) -> u32 {
    u32::try_from(configuration.quantity(key)).unwrap_or(u32::MAX)
}
