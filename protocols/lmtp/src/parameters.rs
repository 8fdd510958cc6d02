//! Parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), AUTH
//! (RFC 4954 §5), RET, ENVID, NOTIFY and ORCPT (RFC 3461).

use ringpost_host::{BodyKind, Notify, ReturnContent};

use crate::SyntaxError;

/// Longest ENVID, decoded (RFC 3461 §4.4).
pub const ENVELOPE_ID_MAX: usize = 100;
/// Longest ORCPT, decoded (RFC 3461 §4.2 allows 500 characters).
pub const ORIGINAL_RECIPIENT_MAX: usize = 500;

/// Parameters of MAIL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MailParameters {
    /// SIZE: the message's length as the client estimates it, in bytes.
    pub size: Option<u64>,
    /// BODY
    pub body: BodyKind,
    /// SMTPUTF8
    pub utf8: bool,
    /// RET
    pub return_content: Option<ReturnContent>,
    /// ENVID, decoded.
    pub envelope_id: Option<String>,
    /// Whether AUTH was given. Who the client is, is known from its login: the value says nothing that is
    /// relied on.
    pub auth: bool,
}

/// Parameters of RCPT.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RcptParameters {
    /// NOTIFY
    pub notify: Notify,
    /// ORCPT: type and address, the address decoded.
    pub original: Option<String>,
}

/// Reads what stands behind the reverse-path.
pub(crate) fn of_mail(text: &str) -> Result<MailParameters, SyntaxError> {
    let mut known = MailParameters::default();
    let mut seen = Seen::default();
    for parameter in text.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.to_ascii_uppercase();
        seen.note(&name)?;
        match name.as_str() {
            "SIZE" => known.size = Some(size(value).ok_or(SyntaxError::Arguments)?),
            "BODY" => {
                known.body = match value.to_ascii_uppercase().as_str() {
                    "7BIT" => BodyKind::SevenBit,
                    "8BITMIME" => BodyKind::EightBit,
                    "BINARYMIME" => BodyKind::Binary,
                    _ => return Err(SyntaxError::Arguments),
                }
            }
            "SMTPUTF8" if !parameter.contains('=') => known.utf8 = true,
            "RET" => {
                known.return_content = match value.to_ascii_uppercase().as_str() {
                    "FULL" => Some(ReturnContent::Full),
                    "HDRS" => Some(ReturnContent::Headers),
                    _ => return Err(SyntaxError::Arguments),
                }
            }
            "ENVID" => known.envelope_id = Some(envelope_id(value).ok_or(SyntaxError::Arguments)?),
            "AUTH" if !value.is_empty() => known.auth = true,
            "SMTPUTF8" | "AUTH" => return Err(SyntaxError::Arguments),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(known)
}

/// Reads what stands behind the forward-path.
pub(crate) fn of_rcpt(text: &str) -> Result<RcptParameters, SyntaxError> {
    let mut known = RcptParameters::default();
    let mut seen = Seen::default();
    for parameter in text.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.to_ascii_uppercase();
        seen.note(&name)?;
        match name.as_str() {
            "NOTIFY" => known.notify = notify(value).ok_or(SyntaxError::Arguments)?,
            "ORCPT" => known.original = Some(original(value).ok_or(SyntaxError::Arguments)?),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(known)
}

/// RFC 1870 §3: up to 20 digits. What is beyond 64 bits is beyond every limit.
pub(crate) fn size(value: &str) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// A parameter may stand there once (RFC 5321 §4.1.2 leaves no meaning for a second).
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, name: &str) -> Result<(), SyntaxError> {
        if self.0.iter().any(|known| known == name) {
            return Err(SyntaxError::Arguments);
        }
        self.0.push(name.to_owned());
        Ok(())
    }
}

/// RFC 3461 §4.1: NEVER alone, or each of the others at most once.
fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let [mut success, mut failure, mut delay] = [false; 3];
    for word in value.split(',') {
        let asked = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut success,
            "FAILURE" => &mut failure,
            "DELAY" => &mut delay,
            _ => return None,
        };
        if std::mem::replace(asked, true) {
            return None;
        }
    }
    Some(Notify::On {
        success,
        failure,
        delay,
    })
}

/// RFC 3461 §4.4: printable ASCII, since a report repeats it in its header.
fn envelope_id(value: &str) -> Option<String> {
    let decoded = xtext(value)?;
    let printable = decoded.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (printable && (1..=ENVELOPE_ID_MAX).contains(&decoded.len())).then_some(decoded)
}

/// RFC 3461 §4.2, RFC 6533 §3: an address type, a semicolon and the address. A report repeats it in a header
/// field, so it has no control characters.
fn original(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let address = xtext(address)?;
    let plain = !address.is_empty()
        && !address.contains(char::is_control)
        && (address.is_ascii() || kind.eq_ignore_ascii_case("utf-8"));
    let fits = kind.len() + 1 + address.len() <= ORIGINAL_RECIPIENT_MAX;
    (is_atom && plain && fits).then(|| format!("{kind};{address}"))
}

/// RFC 3461 §4: a plus sign and two upper-case hexadecimal digits are one byte; all else is itself. Beyond the
/// standard, UTF-8 may stand as it is (RFC 6533 §3), and digits may be in lower case.
fn xtext(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                decoded.push((high * 16 + low) as u8);
            }
            b'=' => return None,
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_status_parameters() {
        let mail = of_mail(" RET=hdrs ENVID=QQ314159+2B+20x BODY=BINARYMIME AUTH=<>").unwrap();
        assert_eq!(mail.return_content, Some(ReturnContent::Headers));
        assert_eq!(mail.envelope_id.as_deref(), Some("QQ314159+ x"));
        assert_eq!((mail.body, mail.auth), (BodyKind::Binary, true));
        // RFC 3461 §10.1's recipients.
        let rcpt = of_rcpt("NOTIFY=SUCCESS,delay ORCPT=rfc822;George+40Tax-+ME+2EGOV").err();
        assert_eq!(rcpt, Some(SyntaxError::Arguments), "+ME is no hexadecimal number");
        let rcpt = of_rcpt("NOTIFY=SUCCESS,delay ORCPT=rfc822;George@Tax-ME.GOV").unwrap();
        assert_eq!(rcpt.original.as_deref(), Some("rfc822;George@Tax-ME.GOV"));
        assert!(rcpt.notify.success() && rcpt.notify.delay() && !rcpt.notify.failure());
        assert_eq!(of_rcpt("NOTIFY=NEVER").unwrap().notify, Notify::Never);
        let utf8 = of_rcpt("ORCPT=utf-8;j\u{f6}@example.test").unwrap();
        assert_eq!(utf8.original.as_deref(), Some("utf-8;j\u{f6}@example.test"));
    }

    #[test]
    fn malformed_parameters_are_refused() {
        for text in [
            "RET=ALL",
            "RET=FULL RET=HDRS",
            "ENVID=",
            "ENVID=a+0D+0AInjected:x",
            "ENVID=a=b",
            "ENVID=+4",
            "BODY=9BIT",
            "SMTPUTF8=yes",
            "AUTH=",
            "SIZE=1 size=2",
        ] {
            assert_eq!(of_mail(text), Err(SyntaxError::Arguments), "{text}");
        }
        assert_eq!(of_mail("MT-PRIORITY=3"), Err(SyntaxError::UnknownParameter));
        let long = format!("ENVID={}", "x".repeat(ENVELOPE_ID_MAX + 1));
        assert_eq!(of_mail(&long), Err(SyntaxError::Arguments));
        for text in [
            "NOTIFY=",
            "NOTIFY=NEVER,SUCCESS",
            "NOTIFY=SUCCESS,SUCCESS",
            "ORCPT=alice@example.test",
            "ORCPT=;a",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a+0Ab",
            "ORCPT=rfc822;\u{f6}",
            "ORCPT=rfc 822;a",
        ] {
            assert!(of_rcpt(text).is_err(), "{text}");
        }
        let long = format!("ORCPT=rfc822;{}", "x".repeat(ORIGINAL_RECIPIENT_MAX));
        assert_eq!(of_rcpt(&long), Err(SyntaxError::Arguments));
        assert_eq!(of_rcpt("SIZE=3"), Err(SyntaxError::UnknownParameter));
    }
}
