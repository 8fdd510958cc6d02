//! Addresses and domain names as the directory keeps them: checked and in lower case.

use std::{borrow::Cow, fmt};

use crate::DirectoryError;

/// Octets before the `@` (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain name (RFC 1035 §2.3.4, written without the final dot).
pub const DOMAIN_MAX: usize = 253;
/// Octets of one label of a domain name (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;

/// A checked address in lower case.
///
/// The local part is a dot-atom (RFC 5322 §3.2.3, with UTF-8 as RFC 6532 allows). Quoted local parts are
/// refused, and so is `!`, which stands for impersonation in a login.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Address {
    text: String,
    at: usize,
}

impl Address {
    /// Checks `text` and makes it lower case.
    pub fn parse(text: &str) -> Result<Self, DirectoryError> {
        let invalid = |reason| DirectoryError::InvalidAddress {
            address: text.chars().take(80).collect(),
            reason,
        };
        let text = text.trim();
        let (local, domain) = text
            .rsplit_once('@')
            .ok_or_else(|| invalid("there is no @ in it"))?;
        if local.is_empty() {
            return Err(invalid("nothing before the @"));
        }
        if local.len() > LOCAL_PART_MAX {
            return Err(invalid("more than 64 octets before the @"));
        }
        if local.split('.').any(str::is_empty) {
            return Err(invalid(
                "a dot at the start or end of the local part, or two in a row",
            ));
        }
        if !local.chars().all(|c| c == '.' || is_atom_character(c)) {
            return Err(invalid("a character that is not allowed before the @"));
        }
        let domain = DomainName::parse(domain).map_err(|_| invalid("the domain is not a host name"))?;
        let local = lower_case(local);
        // Lower case can be longer than what was checked ('İ').
        if local.len() > LOCAL_PART_MAX {
            return Err(invalid("more than 64 octets before the @"));
        }
        let at = local.len();
        Ok(Self {
            text: format!("{local}@{domain}"),
            at,
        })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is before the `@`.
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// What is after the `@`.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A checked domain name in lower case, without a final dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DomainName(String);

impl DomainName {
    /// Checks `text` and makes it lower case.
    pub fn parse(text: &str) -> Result<Self, DirectoryError> {
        let name = lower_case(text.trim());
        let sound = !name.is_empty() && name.len() <= DOMAIN_MAX && name.split('.').all(is_label);
        if !sound {
            return Err(DirectoryError::InvalidAddress {
                address: text.chars().take(80).collect(),
                reason: "not a domain name",
            });
        }
        Ok(Self(name.into_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The form in which addresses are compared. Costs nothing when it is lower case already.
pub fn lower_case(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| !c.is_ascii() || c.is_ascii_uppercase()) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= LABEL_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_printable_beyond_ascii(c))
}

/// `atext` of RFC 5322 §3.2.3 without `!`, and what RFC 6532 §3.2 adds.
fn is_atom_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "#$%&'*+-/=?^_`{|}~".contains(c) || is_printable_beyond_ascii(c)
}

/// Letters and the like of other scripts; no controls, spaces, or characters that change the direction of
/// the text around them, with which one address could be made to look like another.
fn is_printable_beyond_ascii(c: char) -> bool {
    !c.is_ascii()
        && !c.is_control()
        && !c.is_whitespace()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_usual_addresses_in_lower_case() {
        for (text, expected) in [
            ("Alice@Example.TEST", "alice@example.test"),
            (" bob+tag@example.test ", "bob+tag@example.test"),
            ("o'neil/x=y@a.b", "o'neil/x=y@a.b"),
            ("Jörg@BÜCHER.example", "jörg@bücher.example"),
            ("root@localhost", "root@localhost"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.as_str(), expected);
            assert_eq!(format!("{}@{}", address.local_part(), address.domain()), expected);
        }
    }

    #[test]
    fn refuses_what_cannot_be_an_account() {
        for text in [
            "",
            "@",
            "alice",
            "@a.b",
            "alice@",
            ".a@b.c",
            "a.@b.c",
            "a..b@c.d",
            "a b@c.d",
            "\"a b\"@c.d",
            "a!b@c.d",
            "a\r\n@c.d",
            "a@b@c.d",
            "a@-b.c",
            "a@b..c",
            "a@b.c/",
            "a@[127.0.0.1]",
            "a\u{202e}b@c.d",
        ] {
            assert!(
                matches!(Address::parse(text), Err(DirectoryError::InvalidAddress { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn limits_the_lengths() {
        let local = "l".repeat(LOCAL_PART_MAX);
        assert!(Address::parse(&format!("{local}@b.c")).is_ok());
        assert!(Address::parse(&format!("{local}l@b.c")).is_err());
        // Becomes longer in lower case.
        assert!(Address::parse(&format!("{}@b.c", "İ".repeat(32))).is_err());

        let label = "d".repeat(LABEL_MAX);
        let domain = format!("{label}.{label}.{label}.{}", &label[..61]);
        assert_eq!(domain.len(), DOMAIN_MAX);
        assert!(DomainName::parse(&domain).is_ok());
        assert!(DomainName::parse(&format!("{domain}d")).is_err());
        assert!(DomainName::parse(&format!("{label}d.example")).is_err());
    }
}
