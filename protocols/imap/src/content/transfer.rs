//! Transfer encodings, decoded as a stream (RFC 2045 §6).

use ringpost_mapi::charset::base64_digit;

/// Most white space held back until it is known whether a line ends after it (RFC 2045 §6.7 rule 3).
const HELD_BACK: usize = 1000;

/// A decoder between chunks. What is damaged is passed over: a client wants what can be had.
#[derive(Debug, Clone)]
pub(crate) enum Decoder {
    /// `7bit`, `8bit`, `binary`
    Identity,
    Base64 {
        bits: u32,
        count: u32,
        padded: bool,
    },
    QuotedPrintable {
        held: Vec<u8>,
    },
}

impl Decoder {
    /// The decoder of a `Content-Transfer-Encoding`, lower case; `None` when it is not known (UNKNOWN-CTE).
    pub(crate) fn new(encoding: &[u8]) -> Option<Self> {
        Some(match encoding {
            b"" | b"7bit" | b"8bit" | b"binary" => Self::Identity,
            b"base64" => Self::Base64 {
                bits: 0,
                count: 0,
                padded: false,
            },
            b"quoted-printable" => Self::QuotedPrintable { held: Vec::new() },
            _ => return None,
        })
    }

    /// Decodes the next chunk.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Identity => out.extend_from_slice(input),
            Self::Base64 { bits, count, padded } => {
                out.reserve(input.len() / 4 * 3);
                for &byte in input {
                    if byte == b'=' {
                        *padded = true;
                        continue;
                    }
                    let Some(value) = base64_digit(byte) else { continue };
                    if *padded {
                        // Two encoded texts one after the other.
                        (*bits, *count, *padded) = (0, 0, false);
                    }
                    *bits = *bits << 6 | value;
                    *count += 6;
                    if *count >= 8 {
                        *count -= 8;
                        out.push((*bits >> *count) as u8);
                        *bits &= (1 << *count) - 1;
                    }
                }
            }
            Self::QuotedPrintable { held } => {
                let mut rest = input;
                while let Some((&byte, after)) = rest.split_first() {
                    if held.is_empty() {
                        let plain = plain_text(rest, out);
                        if plain > 0 {
                            rest = &rest[plain..];
                            continue;
                        }
                    }
                    quoted_printable(held, byte, out);
                    rest = after;
                }
            }
        }
    }

    /// Ends the text.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Self::QuotedPrintable { held } = self
            && held.first() == Some(&b'=')
            && held.len() > 1
            && held[1] != b'\r'
        {
            out.append(held);
        }
    }
}

/// Takes what comes before the next escape, or a whole line without one, at once; how many bytes that were.
fn plain_text(input: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(end) = memchr::memchr2(b'=', b'\n', input) else {
        return 0;
    };
    let text = &input[..end];
    if input[end] == b'=' {
        // White space before a return might end a line.
        if memchr::memchr(b'\r', text).is_some() {
            return 0;
        }
        out.extend_from_slice(text);
        return end;
    }
    let line = text.strip_suffix(b"\r").unwrap_or(text);
    if line.last().is_some_and(|byte| matches!(byte, b' ' | b'\t')) || memchr::memchr(b'\r', line).is_some() {
        return 0;
    }
    out.extend_from_slice(&input[..=end]);
    end + 1
}

/// Takes one byte; `held` is an escape that has begun, or white space that may end a line.
fn quoted_printable(held: &mut Vec<u8>, byte: u8, out: &mut Vec<u8>) {
    match held.first() {
        Some(b'=') => {
            held.push(byte);
            match held[1..] {
                // A soft line break, perhaps with white space before the line's end.
                [.., b'\n'] if held[1..].iter().all(u8::is_ascii_whitespace) => held.clear(),
                [b'\r' | b' ' | b'\t', ..] if byte.is_ascii_whitespace() && held.len() < HELD_BACK => {}
                [high] if high.is_ascii_hexdigit() => {}
                [high, low] if low.is_ascii_hexdigit() && high.is_ascii_hexdigit() => {
                    let digit = |b: u8| (b as char).to_digit(16).unwrap_or_default() as u8;
                    out.push(digit(high) << 4 | digit(low));
                    held.clear();
                }
                // No escape after all: it stays as it is.
                _ => out.append(held),
            }
        }
        Some(_) => match byte {
            b' ' | b'\t' if held.len() < HELD_BACK => held.push(byte),
            b'\n' => {
                // White space at a line's end was added on the way.
                let return_too = held.last() == Some(&b'\r');
                held.clear();
                if return_too {
                    out.push(b'\r');
                }
                out.push(b'\n');
            }
            b'\r' => {
                if held.last() == Some(&b'\r') {
                    out.append(held);
                }
                held.push(byte);
            }
            _ => {
                out.append(held);
                quoted_printable(held, byte, out);
            }
        },
        None => match byte {
            b'=' | b' ' | b'\t' => held.push(byte),
            _ => out.push(byte),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_text_are_as_their_bytes_one_by_one() {
        let mut state = 1u32;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..2000 {
            let text: Vec<u8> = (0..40).map(|_| b"ab \t\r\n=3D"[next(9)]).collect();
            let whole = decode("quoted-printable", &text, text.len());
            let single = decode("quoted-printable", &text, 1);
            assert_eq!(whole, single, "{:?}", String::from_utf8_lossy(&text));
        }
    }

    fn decode(encoding: &str, text: &[u8], chunk: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(encoding.as_bytes()).unwrap();
        let mut out = Vec::new();
        text.chunks(chunk).for_each(|part| decoder.feed(part, &mut out));
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn decodes_alike_in_chunks_of_any_size() {
        for (encoding, text, plain) in [
            ("base64", &b"SGVs\r\nbG8h"[..], &b"Hello!"[..]),
            ("base64", b"SGU=SGU=", b"HeHe"),
            ("base64", b"SG?!Vs", b"Hel"),
            ("quoted-printable", b"a=3Db=\r\nc =\r\nd=C3=bc", b"a=bc d\xc3\xbc"),
            (
                "quoted-printable",
                b"end  \r\nnext=  \r\nx=zz =4",
                b"end\r\nnextx=zz =4",
            ),
            ("quoted-printable", b"a \t b\r\n \r\nc", b"a \t b\r\n\r\nc"),
            ("8bit", b"x=3D", b"x=3D"),
        ] {
            for chunk in [1, 2, 3, 5, 100] {
                assert_eq!(
                    decode(encoding, text, chunk),
                    plain,
                    "{encoding} {text:?} by {chunk}"
                );
            }
        }
        assert!(Decoder::new(b"x-uuencode").is_none());
    }
}
