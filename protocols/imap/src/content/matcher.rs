//! Finds a string in text without regard to case, in one piece or as a stream of encoded bytes.

use encoding_rs::Encoding;
use memchr::memmem::Finder;

use super::transfer::Decoder;

/// A string to look for, with case folded. An empty one is found everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    finder: Finder<'static>,
}

impl Needle {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            finder: Finder::new(fold(text.to_owned()).as_bytes()).into_owned(),
        }
    }

    fn length(&self) -> usize {
        self.finder.needle().len()
    }

    /// Whether decoded text has it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.length() == 0 || self.finder.find(fold(text.to_owned()).as_bytes()).is_some()
    }
}

fn fold(mut text: String) -> String {
    if text.is_ascii() {
        text.make_ascii_lowercase();
        text
    } else {
        text.to_lowercase()
    }
}

/// Looks for several strings in one part's body as its bytes come.
pub(crate) struct BodySearch {
    transfer: Decoder,
    charset: encoding_rs::Decoder,
    decoded: Vec<u8>,
    text: String,
    /// The end of what was searched, so that a hit across two chunks is seen.
    tail: Vec<u8>,
}

impl BodySearch {
    /// `charset` is the parameter of Content-Type; unknown ones are read as Windows-1252, which maps every byte.
    pub(crate) fn new(encoding: &[u8], charset: Option<&[u8]>) -> Self {
        let charset = match charset {
            None => encoding_rs::UTF_8,
            Some(label) => Encoding::for_label_no_replacement(label).unwrap_or(encoding_rs::WINDOWS_1252),
        };
        Self {
            transfer: Decoder::new(encoding).unwrap_or(Decoder::Identity),
            charset: charset.new_decoder_without_bom_handling(),
            decoded: Vec::new(),
            text: String::new(),
            tail: Vec::new(),
        }
    }

    /// Takes the next bytes and marks the needles that are found.
    pub(crate) fn feed(&mut self, input: &[u8], last: bool, needles: &[Needle], found: &mut [bool]) {
        self.decoded.clear();
        self.transfer.feed(input, &mut self.decoded);
        if last {
            self.transfer.finish(&mut self.decoded);
        }
        self.text.clear();
        let room = self
            .charset
            .max_utf8_buffer_length(self.decoded.len())
            .unwrap_or(self.decoded.len() * 3 + 16);
        self.text.reserve(room);
        let _ = self.charset.decode_to_string(&self.decoded, &mut self.text, last);
        let folded = fold(std::mem::take(&mut self.text)).into_bytes();
        self.tail.extend_from_slice(&folded);
        self.text = String::from_utf8(folded).unwrap_or_default();
        for (needle, found) in needles.iter().zip(found) {
            *found = *found || needle.length() == 0 || needle.finder.find(&self.tail).is_some();
        }
        let keep = needles
            .iter()
            .map(Needle::length)
            .max()
            .unwrap_or(0)
            .saturating_sub(1);
        let cut = self.tail.len().saturating_sub(keep);
        self.tail.drain(..cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_any_case() {
        assert!(Needle::new("MÜLL").is_in("der müller"));
        assert!(Needle::new("").is_in(""));
        assert!(!Needle::new("x").is_in("y"));
    }

    #[test]
    fn bodies_in_any_chunks_and_charsets() {
        let cases = [
            (
                &b"quoted-printable"[..],
                &b"utf-8"[..],
                &b"Gr=C3=\r\n=BC=C3=9Fe aus K=C3=B6ln"[..],
            ),
            (b"8bit", b"iso-8859-1", b"Gr\xfc\xdfe aus K\xf6ln"),
            (b"base64", b"utf-8", b"R3LDvMOfZSBhdXMgS8O2bG4="),
        ];
        for (encoding, charset, source) in cases {
            for size in [1, 2, 5, 100] {
                let needles = [Needle::new("GRÜße AUS"), Needle::new("köln"), Needle::new("bonn")];
                let mut found = [false; 3];
                let mut search = BodySearch::new(encoding, Some(charset));
                for chunk in source.chunks(size) {
                    search.feed(chunk, false, &needles, &mut found);
                }
                search.feed(b"", true, &needles, &mut found);
                assert_eq!(found, [true, true, false], "{encoding:?} by {size}");
            }
        }
    }
}
