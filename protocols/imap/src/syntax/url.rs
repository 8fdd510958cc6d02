//! IMAP URLs that name a message or a part of one (RFC 5092), as CATENATE takes them: without URLAUTH.

use super::{
    fetch::{self, Section, SectionText},
    reader::Reader,
};

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageUrl {
    /// User and host of an absolute URL.
    pub(crate) server: Option<(Option<String>, String)>,
    /// `None`: the selected mailbox.
    pub(crate) mailbox: Option<String>,
    pub(crate) uid_validity: Option<u32>,
    pub(crate) uid: u32,
    pub(crate) section: Section,
    /// Offset, and length where given.
    pub(crate) partial: Option<(u64, Option<u64>)>,
}

impl MessageUrl {
    /// Reads a URL; `None` when it does not name a message, or in another way than that of RFC 5092 §6.
    pub(crate) fn read(url: &str) -> Option<Self> {
        let (server, path) = match strip_prefix(url, "imap://") {
            Some(rest) => {
                let (authority, path) = rest.split_once('/')?;
                let (user, host) = match authority.rsplit_once('@') {
                    Some((user, host)) => (Some(user.split(';').next().unwrap_or_default()), host),
                    None => (None, authority),
                };
                let user = match user.filter(|user| !user.is_empty()) {
                    Some(user) => Some(decode(user)?),
                    None => None,
                };
                (Some((user, host.to_owned())), Some(path))
            }
            None => (None, url.strip_prefix('/')),
        };
        let (mailbox, message) = match path {
            // The mailbox ends where the message begins; a `;` in its name is encoded.
            Some(path) => {
                let at = find(path, "/;UID=")?;
                (Some(&path[..at]), &path[at + 1..])
            }
            None => (None, url),
        };
        let (mailbox, uid_validity) = match mailbox {
            None => (None, None),
            Some(mailbox) => {
                let (name, validity) = match find(mailbox, ";UIDVALIDITY=") {
                    Some(at) => (&mailbox[..at], Some(&mailbox[at + ";UIDVALIDITY=".len()..])),
                    None => (mailbox, None),
                };
                let name =
                    decode(name).filter(|name| !name.is_empty() && !name.chars().any(char::is_control))?;
                let validity = match validity {
                    Some(text) => Some(number(text)?),
                    None => None,
                };
                (Some(name), validity)
            }
        };
        let mut parts = message.split("/;");
        let uid = number(strip_prefix(parts.next()?, ";UID=")?)?;
        let (mut section, mut partial) = (None, None);
        for part in parts {
            if let Some(text) =
                strip_prefix(part, "SECTION=").filter(|_| section.is_none() && partial.is_none())
            {
                section = Some(read_section(&decode(text)?)?);
            } else if let Some(text) = strip_prefix(part, "PARTIAL=").filter(|_| partial.is_none()) {
                partial = Some(match text.split_once('.') {
                    Some((offset, length)) => {
                        let length = digits(length)?.parse().ok().filter(|&length: &u64| length > 0)?;
                        (digits(offset)?.parse().ok()?, Some(length))
                    }
                    None => (digits(text)?.parse().ok()?, None),
                });
            } else {
                return None;
            }
        }
        Some(Self {
            server,
            mailbox,
            uid_validity,
            uid,
            section: section.unwrap_or(Section {
                part: Vec::new(),
                text: SectionText::All,
            }),
            partial,
        })
    }
}

fn read_section(text: &str) -> Option<Section> {
    let bracketed = format!("[{text}]");
    let mut reader = Reader::new(bracketed.as_bytes(), true);
    let section = fetch::section(&mut reader).ok()?;
    reader.end().ok().map(|()| section)
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Where a mark begins, in any case.
fn find(text: &str, mark: &str) -> Option<usize> {
    text.as_bytes()
        .windows(mark.len())
        .position(|window| window.eq_ignore_ascii_case(mark.as_bytes()))
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// A number above 0.
fn number(text: &str) -> Option<u32> {
    digits(text)?.parse().ok().filter(|&number| number > 0)
}

/// Undoes percent encoding.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        decoded.push((digit(hex[0])? * 16 + digit(hex[1])?) as u8);
        rest = after;
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let url = MessageUrl::read("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER").unwrap();
        assert_eq!(url.mailbox.as_deref(), Some("Drafts"));
        assert_eq!((url.uid_validity, url.uid), (Some(385_759_045), 20));
        assert_eq!(url.section.text, SectionText::Header);
        let url = MessageUrl::read("/a/b%20c%C3%BC/;uid=1/;section=1.2/;partial=0.1024").unwrap();
        assert_eq!(url.mailbox.as_deref(), Some("a/b cü"));
        assert_eq!(url.section.part, [1, 2]);
        assert_eq!(url.partial, Some((0, Some(1024))));
        let url = MessageUrl::read(";UID=7").unwrap();
        assert_eq!((url.mailbox, url.server), (None, None));
        let url = MessageUrl::read(
            "imap://joe%40x;AUTH=*@example.com/INBOX/;UID=3/;SECTION=HEADER.FIELDS%20(To)/;PARTIAL=5",
        )
        .unwrap();
        assert_eq!(url.server, Some((Some("joe@x".into()), "example.com".into())));
        assert_eq!(url.partial, Some((5, None)));
        assert!(matches!(url.section.text, SectionText::Fields { .. }));
    }

    #[test]
    fn malformed() {
        for bad in [
            "",
            "/",
            "/INBOX",
            "/INBOX/;UID=0",
            "/INBOX/;UID=x",
            "/INBOX/;UID=1/;X=1",
            "/INBOX;UIDVALIDITY=/;UID=1",
            "/;UID=1",
            "//;UID=1",
            "/a%2/;UID=1",
            "/a%ff/;UID=1",
            "/a%00/;UID=1",
            "/a/;UID=1/;SECTION=X",
            "/a/;UID=1/;SECTION=",
            "/a/;UID=1/;PARTIAL=1.0",
            "/a/;UID=1/;PARTIAL=99999999999999999999",
            "/a/;UID=4294967296",
            "/a/;UID=1;URLAUTH=anonymous:internal:x",
            "http://x/INBOX/;UID=1",
            "imap://x",
            "é",
        ] {
            let read = MessageUrl::read(bad);
            // An empty section is the whole message.
            assert!(read.is_none() || bad.ends_with("SECTION="), "{bad}: {read:?}");
        }
    }
}
