//! `lda_junk_rules` of gromox.cfg(5): header fields that send a message to the junk folder.

use crate::header;

/// Parsed `lda_junk_rules`: a message that any entry matches is stored in the junk folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JunkRules {
    rules: Vec<(String, String)>,
}

impl JunkRules {
    /// Reads a semicolon-separated list of `Header=value` or `Header:value`. Entries without a header name
    /// or a separator match nothing and are left out.
    pub fn parse(list: &str) -> Self {
        let rule = |entry: &str| {
            let (name, value) = entry.split_once(['=', ':'])?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
        };
        Self {
            rules: list.split(';').filter_map(rule).collect(),
        }
    }

    /// Whether a field of the header that `source` begins with matches. The value is compared as a whole
    /// and by its tokens between commas and semicolons; an empty one matches every value.
    pub(crate) fn matches(&self, source: &[u8]) -> bool {
        !self.rules.is_empty()
            && header::fields(source).any(|(name, value)| {
                self.rules.iter().any(|(rule_name, rule_value)| {
                    name.eq_ignore_ascii_case(rule_name.as_bytes())
                        && value_matches(value, rule_value.as_bytes())
                })
            })
    }
}

fn value_matches(value: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty()
        || value.eq_ignore_ascii_case(wanted)
        || value
            .split(|&byte| byte == b',' || byte == b';')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_example() {
        let rules = JunkRules::parse("X-Spam-Flag=YES; X-MC-Relay=; X-SG-EID=");
        assert!(rules.matches(b"Subject: a\r\nx-spam-flag: yes\r\n\r\n"));
        assert!(rules.matches(b"X-MC-Relay: anything\r\n\r\n"));
        assert!(!rules.matches(b"X-Spam-Flag: NO\r\n\r\nX-MC-Relay: in the body\r\n"));
        assert!(JunkRules::parse("X-S: bulk").matches(b"X-S: good, Bulk; 3\r\n"));
        assert!(!JunkRules::parse(";=;:x;nothing").matches(b"nothing: x\r\n: x\r\n"));
    }
}
