//! Reads the fields of a message's header, as far as delivery needs them: raw, in order, never failing.

use memchr::memchr;

/// The fields of the header that `source` begins with: name and raw value (folds and all, without the final
/// line end). Lines that are no field end no header; they are passed over.
pub(crate) fn fields(source: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = source;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() || rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
                return None;
            }
            let (field, after) = rest.split_at(field_length(rest));
            rest = after;
            let Some(colon) = memchr(b':', field) else {
                continue;
            };
            return Some((field[..colon].trim_ascii(), field[colon + 1..].trim_ascii()));
        }
    })
}

/// Length of the first line and of the ones that continue it (they begin with white space).
fn field_length(source: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += memchr(b'\n', &source[length..]).map_or(source.len() - length, |end| end + 1);
        if !matches!(source.get(length), Some(b' ' | b'\t')) {
            return length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_fields_are_one_and_the_body_is_not_looked_at() {
        let source = b"A: 1\r\nB:\r\n  folded\r\n\tmore\r\nno field\r\nC : 3\n\r\nD: body\r\n";
        let found: Vec<_> = fields(source).collect();
        assert_eq!(
            found,
            [(&b"A"[..], &b"1"[..]), (b"B", b"folded\r\n\tmore"), (b"C", b"3"),]
        );
        assert_eq!(fields(b"").count(), 0);
        assert_eq!(
            fields(b"X: unfinished").next(),
            Some((&b"X"[..], &b"unfinished"[..]))
        );
    }
}
