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

    /// Whether it has a line end, which no line has.
    pub(crate) fn has_line_end(&self) -> bool {
        memchr::memchr(b'\n', self.finder.needle()).is_some()
    }

    /// Whether it is ASCII without spaces, and not empty: text that is ASCII, too, has it only as it stands.
    pub(crate) fn is_visible_ascii(&self) -> bool {
        self.length() > 0 && self.finder.needle().iter().all(u8::is_ascii_graphic)
    }

    /// Whether a header's line as it came does not have it, whatever decoding the line would give. Of a needle that
    /// [`Self::is_visible_ascii`].
    pub(crate) fn is_surely_not_in(&self, line: &[u8]) -> bool {
        const AT_ONCE: usize = 256;
        let mut folded = [0; AT_ONCE];
        let Some(folded) = folded.get_mut(..line.len()) else {
            return false;
        };
        folded.copy_from_slice(line);
        folded.make_ascii_lowercase();
        // An encoded word may stand for anything.
        let plain = folded.is_ascii() && memchr::memmem::find(folded, b"=?").is_none();
        plain && !self.is_in_bytes(folded)
    }

    /// Where folded text has it; it is not empty.
    pub(crate) fn places<'a>(&'a self, folded: &'a str) -> impl Iterator<Item = usize> + 'a {
        debug_assert!(!self.is_empty());
        self.finder.find_iter(folded.as_bytes())
    }

    /// Whether it is found everywhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.length() == 0
    }

    /// Whether text that was folded ([`fold`]) has it.
    pub(crate) fn is_in_folded(&self, folded: &str) -> bool {
        self.is_in_bytes(folded.as_bytes())
    }

    fn is_in_bytes(&self, folded: &[u8]) -> bool {
        self.length() == 0 || self.finder.find(folded).is_some()
    }

    fn length(&self) -> usize {
        self.finder.needle().len()
    }

    /// Whether decoded text has it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.is_in_folded(&fold(text.to_owned()))
    }
}

/// What texts and needles are compared by.
pub(crate) fn fold(mut text: String) -> String {
    if text.is_ascii() {
        text.make_ascii_lowercase();
        text
    } else {
        text.to_lowercase()
    }
}

/// Working memory for looking through whole texts.
#[derive(Default)]
pub(crate) struct Scratch {
    decoded: Vec<u8>,
    folded: Vec<u8>,
}

impl Scratch {
    /// Marks those of `wanted` needles that a header has.
    pub(crate) fn search_header(
        &mut self,
        raw: &[u8],
        needles: &[Needle],
        wanted: &[usize],
        found: &mut [bool],
    ) {
        if wanted.iter().all(|&needle| found[needle]) {
            return;
        }
        // Without encoded words decoding only unfolds.
        if raw.is_ascii() && memchr::memmem::find(raw, b"=?").is_none() {
            self.folded.clear();
            let bytes = raw.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
            self.folded.extend(bytes.map(u8::to_ascii_lowercase));
            mark(&self.folded, needles, wanted, found);
        } else {
            let text = fold(super::header::decode(raw));
            mark(text.as_bytes(), needles, wanted, found);
        }
    }

    /// Marks those of `wanted` needles that a text part's body has; `form` is its transfer encoding and charset.
    pub(crate) fn search_body(
        &mut self,
        raw: &[u8],
        form: (&[u8], Option<&[u8]>),
        needles: &[Needle],
        wanted: &[usize],
        found: &mut [bool],
    ) {
        if wanted.iter().all(|&needle| found[needle]) {
            return;
        }
        let charset = charset(form.1);
        let bytes = match Decoder::new(form.0).unwrap_or(Decoder::Identity) {
            Decoder::Identity => raw,
            mut decoder => {
                self.decoded.clear();
                decoder.feed(raw, &mut self.decoded);
                decoder.finish(&mut self.decoded);
                &self.decoded
            }
        };
        if bytes.is_ascii() && charset.is_ascii_compatible() {
            self.folded.clear();
            self.folded.extend_from_slice(bytes);
            self.folded.make_ascii_lowercase();
            mark(&self.folded, needles, wanted, found);
        } else {
            let text = charset.decode_without_bom_handling(bytes).0;
            mark(fold(text.into_owned()).as_bytes(), needles, wanted, found);
        }
    }
}

fn mark(folded: &[u8], needles: &[Needle], wanted: &[usize], found: &mut [bool]) {
    for &needle in wanted {
        found[needle] = found[needle] || needles[needle].is_in_bytes(folded);
    }
}

/// The charset of a part by its parameter; unknown ones are read as Windows-1252, which maps every byte.
fn charset(label: Option<&[u8]>) -> &'static Encoding {
    match label {
        None => encoding_rs::UTF_8,
        Some(label) => Encoding::for_label_no_replacement(label).unwrap_or(encoding_rs::WINDOWS_1252),
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
    /// `label` is the charset parameter of Content-Type.
    pub(crate) fn new(encoding: &[u8], label: Option<&[u8]>) -> Self {
        Self {
            transfer: Decoder::new(encoding).unwrap_or(Decoder::Identity),
            charset: charset(label).new_decoder_without_bom_handling(),
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
    fn headers_are_unfolded_and_decoded() {
        let needles = [
            Needle::new("LONG\tsubject"),
            Needle::new("ANDRÉ"),
            Needle::new(""),
        ];
        let mut scratch = Scratch::default();
        let mut found = [false; 3];
        scratch.search_header(
            b"Subject: a long\r\n\tsubject\r\n",
            &needles,
            &[0, 1, 2],
            &mut found,
        );
        assert_eq!(found, [true, false, true]);
        scratch.search_header(
            b"From: =?iso-8859-1?Q?Andr=E9?= <a@b>\r\n",
            &needles,
            &[1],
            &mut found,
        );
        assert_eq!(found, [true, true, true]);
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
            let needles = [Needle::new("GRÜße AUS"), Needle::new("köln"), Needle::new("bonn")];
            let mut found = [false; 3];
            Scratch::default().search_body(source, (encoding, Some(charset)), &needles, &[1, 2], &mut found);
            assert_eq!(found, [false, true, false], "{encoding:?} whole");
        }
    }
}
