//! Warnings by mail to who comes near the quota of the mailbox: at a delivery that leaves it above
//! `PidTagStorageQuotaLimit` of the account, once in `quota_warning_interval`.

use std::time::Duration;

use ringpost_convert::header::{HeaderWriter, format_date};
use ringpost_directory::{Account, Quota};
use ringpost_mapi::{FileTime, PropTag, PropValue};
use ringpost_store::{Mailbox, Placement, PreparedMessage, StoreError, folder::built_in};

use crate::Options;

/// When the last warning was given: a property of the store, of the range that is a store's own and goes to no
/// client (MS-OXPROPS 1.3.3).
const WARNED: PropTag = PropTag(0x67f0_0040);

/// What a warning says.
#[derive(Clone, Debug)]
pub(crate) struct Warning {
    address: String,
    locale: String,
    postmaster: String,
    from_kib: u32,
    full_kib: Option<u32>,
    interval: Duration,
}

impl Warning {
    /// The warning that an account may need; `None` where it has no quota to warn of, or none is to be given.
    pub(crate) fn of(options: &Options, account: &Account, quota: &Quota) -> Option<Self> {
        let from_kib = quota.warn_kib?;
        if options.quota_warning_interval.is_zero() {
            return None;
        }
        Some(Self {
            address: account.username.clone(),
            locale: account.locale.clone(),
            postmaster: options
                .postmaster
                .clone()
                .unwrap_or_else(|| account.username.clone()),
            from_kib,
            full_kib: quota.receive_kib.or(quota.send_kib),
            interval: options.quota_warning_interval,
        })
    }

    /// Puts the warning into the inbox if it is due. Costs a comparison where the mailbox is not that large.
    pub(crate) fn give(&self, store: &mut Mailbox, now: FileTime) -> Result<bool, StoreError> {
        let used = store.size();
        if used <= u64::from(self.from_kib) * 1024 {
            return Ok(false);
        }
        let mut properties = store.store_properties()?;
        let interval = u64::try_from(self.interval.as_nanos() / 100).unwrap_or(u64::MAX);
        if let Some(PropValue::Time(last)) = properties.get(WARNED)
            && now.0.abs_diff(last.0) < interval
        {
            return Ok(false);
        }
        let message = PreparedMessage::new(self.message(used, now).into(), None);
        let placement = Placement {
            received: now,
            ..Placement::default()
        };
        store.store_message(built_in::INBOX, &message, &placement)?;
        properties.set(WARNED, PropValue::Time(now));
        store.set_store_properties(&properties)?;
        Ok(true)
    }

    fn message(&self, used: u64, now: FileTime) -> String {
        let text = Text::of(&self.locale);
        let mebibytes = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
        let mut header = HeaderWriter::default();
        header.words("Date", &format_date(now));
        header.addresses("From", [(text.sender, self.postmaster.as_str())]);
        header.addresses("To", [("", self.address.as_str())]);
        header.text("Subject", text.subject);
        header.words("Message-ID", &format!("<{:x}.quota.{}>", now.0, self.address));
        // RFC 3834 §5: nobody answers it automatically.
        header.words("Auto-Submitted", "auto-generated");
        header.words("MIME-Version", "1.0");
        header.parameters("Content-Type", "text/plain", &[("charset", "utf-8")]);
        header.words("Content-Transfer-Encoding", "8bit");
        let mut body = text
            .body
            .replace("{address}", &self.address)
            .replace("{used}", &mebibytes(used / 1024))
            .replace("{from}", &mebibytes(self.from_kib.into()));
        if let Some(full) = self.full_kib {
            body.push_str(&text.full.replace("{full}", &mebibytes(full.into())));
        }
        body.push_str(text.advice);
        header.finish() + &body
    }
}

/// A warning in one language. Lines end with CRLF.
struct Text {
    language: &'static str,
    sender: &'static str,
    subject: &'static str,
    body: &'static str,
    full: &'static str,
    advice: &'static str,
}

impl Text {
    /// In the account's language, or in English.
    fn of(locale: &str) -> &'static Self {
        let language = locale.split(['_', '-', '.']).next().unwrap_or_default();
        let known = TEXTS
            .iter()
            .find(|text| text.language.eq_ignore_ascii_case(language));
        known.unwrap_or(&TEXTS[0])
    }
}

const TEXTS: [Text; 4] = [
    Text {
        language: "en",
        sender: "Mail system",
        subject: "Your mailbox is almost full",
        body: "The mailbox {address} holds {used} MiB; this warning comes from {from} MiB on.\r\n",
        full: "From {full} MiB on it takes no more messages.\r\n",
        advice: "Please delete messages that you do not need, or move them elsewhere.\r\n",
    },
    Text {
        language: "de",
        sender: "Mailsystem",
        subject: "Ihr Postfach ist fast voll",
        body: "Das Postfach {address} enthält {used} MiB; diese Warnung kommt ab {from} MiB.\r\n",
        full: "Ab {full} MiB nimmt es keine Nachrichten mehr an.\r\n",
        advice: "Bitte löschen Sie Nachrichten, die Sie nicht mehr brauchen, oder legen Sie sie anderswo ab.\r\n",
    },
    Text {
        language: "fr",
        sender: "Système de messagerie",
        subject: "Votre boîte aux lettres est presque pleine",
        body: "La boîte aux lettres {address} contient {used} Mio ; cet avertissement est envoyé à partir de {from} Mio.\r\n",
        full: "À partir de {full} Mio, elle n'accepte plus de messages.\r\n",
        advice: "Veuillez supprimer les messages dont vous n'avez plus besoin, ou les déplacer ailleurs.\r\n",
    },
    Text {
        language: "es",
        sender: "Sistema de correo",
        subject: "Su buzón está casi lleno",
        body: "El buzón {address} contiene {used} MiB; este aviso llega a partir de {from} MiB.\r\n",
        full: "A partir de {full} MiB no acepta más mensajes.\r\n",
        advice: "Elimine los mensajes que no necesite o guárdelos en otro lugar.\r\n",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_speak_the_accounts_language() {
        let warning = |locale: &str| Warning {
            address: "alice@example.test".into(),
            locale: locale.into(),
            postmaster: "postmaster@example.test".into(),
            from_kib: 1536,
            full_kib: Some(2048),
            interval: Duration::from_secs(1),
        };
        let now = FileTime::from_unix_seconds(0);
        let german = warning("de_AT").message(1_600 * 1024, now);
        assert!(
            german.contains("\r\nSubject: Ihr Postfach ist fast voll\r\n"),
            "{german}"
        );
        assert!(
            german.contains("enthält 1.6 MiB; diese Warnung kommt ab 1.5 MiB.\r\nAb 2.0 MiB"),
            "{german}"
        );
        assert!(german.contains("\r\nAuto-Submitted: auto-generated\r\n"));
        assert!(warning("fr").message(0, now).contains("\r\nSubject: =?"));
        for locale in ["", "en_GB", "tlh"] {
            assert!(
                warning(locale).message(0, now).contains("Subject: Your mailbox"),
                "{locale}"
            );
        }
    }
}
