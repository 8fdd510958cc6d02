//! What SETACL does with rights (RFC 4314 §3.1).

use super::{SyntaxError, reader::Reader};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// The letters of rights that are served, in the order in which they are shown.
pub(crate) const LETTERS: &str = "lrswipkxtea";

/// SETACL's last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RightsChange {
    pub(crate) action: RightsAction,
    /// Of [`LETTERS`]; the obsolete `c` and `d` as what they stand for (§2.1.1).
    pub(crate) letters: String,
}

/// What becomes of the rights there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RightsAction {
    Replace,
    Add,
    Remove,
}

/// Who an entry is about.
pub(super) fn identifier(reader: &mut Reader<'_>) -> Result<String> {
    reader.space()?;
    let identifier = reader.text()?;
    if identifier.is_empty()
        || identifier.len() > limits::IDENTIFIER_BYTES
        || identifier.chars().any(char::is_control)
    {
        return Err(SyntaxError::Expected("an identifier"));
    }
    Ok(identifier)
}

/// `mod-rights`
pub(super) fn rights_change(reader: &mut Reader<'_>) -> Result<RightsChange> {
    reader.space()?;
    let text = reader.text()?;
    let (action, named) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (RightsAction::Add, rest),
        (_, Some(rest)) => (RightsAction::Remove, rest),
        _ => (RightsAction::Replace, text.as_str()),
    };
    let mut letters = String::new();
    for letter in named.chars() {
        match letter {
            'c' => letters.push('k'),
            'd' => letters.push_str("te"),
            letter if LETTERS.contains(letter) => letters.push(letter),
            // An unknown right must not be passed over (§3.1).
            _ => return Err(SyntaxError::Expected("rights, of lrswipkxtea")),
        }
    }
    Ok(RightsChange { action, letters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights() {
        let read = |text: &'static str| rights_change(&mut Reader::new(text.as_bytes(), false));
        let change = |action, letters: &str| {
            Ok(RightsChange {
                action,
                letters: letters.to_owned(),
            })
        };
        assert_eq!(read(" lrs"), change(RightsAction::Replace, "lrs"));
        assert_eq!(read(" +cda"), change(RightsAction::Add, "ktea"));
        assert_eq!(read(" -x"), change(RightsAction::Remove, "x"));
        assert_eq!(read(" \"\""), change(RightsAction::Replace, ""));
        for bad in [" lrQ", " q", " 0", "", " +-l"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
