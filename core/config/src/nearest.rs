//! The known name nearest to an unknown one.

use crate::directive::Directive;

/// The longest unknown name that is compared; no directive is nearly as long.
const NAME_MAX_BYTES: usize = 64;

/// The directive whose name takes the fewest edits to become `name`: at most a third of its length.
pub(crate) fn nearest_name(
    name: &str,
    directives: impl Iterator<Item = &'static Directive>,
) -> Option<&'static Directive> {
    if name.len() > NAME_MAX_BYTES {
        return None;
    }
    directives
        .map(|directive| (distance(name.as_bytes(), directive.name.as_bytes()), directive))
        .filter(|(distance, directive)| *distance <= directive.name.len().min(name.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, directive)| directive)
}

/// How many bytes must be inserted, removed or replaced, or neighbours exchanged.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut cost = (previous[j] + usize::from(x != y))
                .min(previous[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abcd", "acbd", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn typing_errors_find_their_directive() {
        for (typed, meant) in [
            ("imap_autologut_time", "imap_autologout_time"),
            ("imap_supprot_tls", "imap_support_tls"),
            ("shard", "shards"),
            ("data-path", "data_path"),
        ] {
            assert_eq!(
                nearest_name(typed, directive::all()).map(|found| found.name),
                Some(meant)
            );
        }
        assert_eq!(nearest_name("colour", directive::all()), None);
        assert_eq!(
            nearest_name(&"x".repeat(NAME_MAX_BYTES + 1), directive::all()),
            None
        );
    }
}
