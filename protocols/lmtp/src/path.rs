//! Paths of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).

use crate::PATH_MAX;

/// Reads `<path>`: the address without quotes that it does not need, and what follows. A source route is
/// dropped (RFC 5321 §4.1.1.3). `None` when it is none or too long.
pub(crate) fn path(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('<')?;
    let mut route = None;
    if inside.starts_with('@') {
        route = Some(inside.find(':')? + 1);
    }
    let start = route.unwrap_or(0);
    let (mut quoted, mut escaped) = (false, false);
    let end = inside.bytes().enumerate().skip(start).find_map(|(at, byte)| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
        None
    })?;
    let after = &inside[end + 1..];
    if end > PATH_MAX || !(after.is_empty() || after.starts_with(' ')) {
        return None;
    }
    Some((unquote(&inside[start..end])?, after))
}

/// Takes the quotes off a local part (RFC 5321 §4.1.2: `"a b"@c` and `a\ b@c` name the same mailbox).
fn unquote(address: &str) -> Option<String> {
    let Some(quoted) = address.strip_prefix('"') else {
        return Some(address.to_owned());
    };
    let mut local = String::with_capacity(address.len());
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => local.push(characters.next()?.1),
            '"' => {
                local.push_str(&quoted[at + 1..]);
                return quoted[at + 1..].starts_with('@').then_some(local);
            }
            _ => local.push(character),
        }
    }
    None
}

/// Whether there is a local part and a domain, and nothing that an address can't have. The rest is for the
/// directory to know.
pub(crate) fn is_mailbox(address: &str) -> bool {
    address.rsplit_once('@').is_some_and(|(local, domain)| {
        let domain_character = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
        !local.is_empty()
            && !domain.is_empty()
            && domain.len() <= 255
            && domain.chars().all(domain_character)
            && !local.contains(['<', '>', '\t'])
    })
}
