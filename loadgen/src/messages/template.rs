//! Bodies of messages: sizes and structures like those of real mail.
//!
//! Of a mailbox of people who work with it, roughly: 45 % short plain text; 35 % text and HTML, from a few lines to
//! newsletters; 13 % with one attachment or more, whose sizes are spread log-normally around 60 kB; 4 % with an image
//! inside the HTML; 3 % long plain reports. The mean is about 50 kB, the median below 10 kB.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{MARK_LENGTH, Size};
use crate::random::Random;

/// The largest attachment, before base64.
const MAX_ATTACHMENT: f64 = 6e6;

pub(super) const PEOPLE: [&str; 24] = [
    "Anna Berger",
    "Bela Kovacs",
    "Chiara Rossi",
    "David Okafor",
    "Elif Yilmaz",
    "Farid Haddad",
    "Greta Lindqvist",
    "Hugo Martin",
    "Ines Costa",
    "Jan Novak",
    "Keiko Tanaka",
    "Liam Murphy",
    "Marta Nowak",
    "Noor Rahman",
    "Olga Petrova",
    "Pedro Alvarez",
    "Quentin Blanc",
    "Rosa Weber",
    "Samuel Cohen",
    "Tuuli Virtanen",
    "Usha Patel",
    "Viktor Horvat",
    "Wei Zhang",
    "Yara Silva",
];

const WORDS: [&str; 96] = [
    "the",
    "mail",
    "server",
    "report",
    "please",
    "meeting",
    "Thursday",
    "number",
    "attached",
    "question",
    "storage",
    "kernel",
    "window",
    "answer",
    "project",
    "garden",
    "invoice",
    "measure",
    "before",
    "after",
    "between",
    "quick",
    "change",
    "record",
    "office",
    "travel",
    "price",
    "review",
    "figure",
    "table",
    "thanks",
    "regards",
    "budget",
    "customer",
    "delivery",
    "contract",
    "signature",
    "deadline",
    "Monday",
    "schedule",
    "agenda",
    "minutes",
    "room",
    "flight",
    "hotel",
    "ticket",
    "version",
    "release",
    "branch",
    "failure",
    "machine",
    "network",
    "cable",
    "printer",
    "password",
    "account",
    "holiday",
    "lunch",
    "coffee",
    "family",
    "weather",
    "school",
    "doctor",
    "address",
    "phone",
    "message",
    "letter",
    "draft",
    "chapter",
    "summary",
    "detail",
    "picture",
    "design",
    "colour",
    "model",
    "sample",
    "order",
    "shipment",
    "refund",
    "payment",
    "quarter",
    "growth",
    "team",
    "interview",
    "candidate",
    "offer",
    "with",
    "about",
    "would",
    "could",
    "there",
    "because",
    "under",
    "through",
    "again",
    "tomorrow",
];

/// One of the words that bodies and subjects are made of.
pub(crate) fn word(random: &mut Random) -> &'static str {
    WORDS[random.below(WORDS.len() as u64) as usize]
}

/// A body and the header fields that describe it.
pub(super) struct Template {
    /// Header fields, each with its CRLF.
    pub(super) fields: String,
    pub(super) body: Vec<u8>,
    /// Where in the body the number of a message is written: one place a part at least.
    pub(super) marks: Vec<usize>,
}

impl Template {
    pub(super) fn new(random: &mut Random, size: Size) -> Self {
        match size {
            Size::Bytes(bytes) => plain(random, bytes.saturating_sub(SHORTEST_HEADER)),
            Size::Real => real(random),
        }
    }
}

/// No header is shorter: what a message of exact size needs at most is its size less this.
const SHORTEST_HEADER: usize = 200;

fn real(random: &mut Random) -> Template {
    match random.below(100) {
        0..45 => {
            let length = log_normal(random, 1500.0, 0.9, 20e3);
            plain(random, length)
        }
        45..80 => {
            let length = log_normal(random, 2500.0, 1.1, 60e3);
            alternative(random, length)
        }
        80..93 => with_attachments(random),
        93..97 => with_inline_image(random),
        _ => {
            let length = log_normal(random, 40e3, 0.7, 300e3);
            plain(random, length)
        }
    }
}

fn log_normal(random: &mut Random, median: f64, sigma: f64, most: f64) -> usize {
    (median * (sigma * random.normal()).exp()).clamp(64.0, most) as usize
}

fn plain(random: &mut Random, length: usize) -> Template {
    let mut body = Body::default();
    body.text(random, length);
    body.finish("Content-Type: text/plain; charset=utf-8\r\n".to_owned())
}

fn alternative(random: &mut Random, length: usize) -> Template {
    let boundary = boundary(random);
    let mut body = Body::default();
    body.alternative(random, &boundary, length);
    body.finish(format!(
        "Content-Type: multipart/alternative;\r\n boundary=\"{boundary}\"\r\n"
    ))
}

fn with_attachments(random: &mut Random) -> Template {
    const KINDS: [(&str, &str); 6] = [
        ("application/pdf", "pdf"),
        ("image/jpeg", "jpg"),
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "docx",
        ),
        (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "xlsx",
        ),
        ("application/zip", "zip"),
        ("text/csv", "csv"),
    ];
    let (outer, inner) = (boundary(random), boundary(random));
    let mut body = Body::default();
    body.push(&format!(
        "--{outer}\r\nContent-Type: multipart/alternative; boundary=\"{inner}\"\r\n\r\n"
    ));
    let length = log_normal(random, 1500.0, 0.8, 20e3);
    body.alternative(random, &inner, length);
    // Most have one, few have many.
    let count = 1 + (random.exponential(0.7) as usize).min(6);
    for _ in 0..count {
        let (kind, extension) = KINDS[random.below(KINDS.len() as u64) as usize];
        let name = format!("{} {}.{extension}", word(random), random.below(1000));
        body.push(&format!(
            "--{outer}\r\nContent-Type: {kind};\r\n name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n"
        ));
        let length = log_normal(random, 60e3, 1.3, MAX_ATTACHMENT);
        body.base64(random, length, extension == "csv");
    }
    body.push(&format!("--{outer}--\r\n"));
    body.finish(format!(
        "Content-Type: multipart/mixed;\r\n boundary=\"{outer}\"\r\n"
    ))
}

fn with_inline_image(random: &mut Random) -> Template {
    let boundary = boundary(random);
    let mut body = Body::default();
    body.push(&format!(
        "--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         <html><body><img src=\"cid:logo\">\r\n"
    ));
    let length = log_normal(random, 2000.0, 0.8, 20e3);
    body.text(random, length);
    body.push(&format!(
        "</body></html>\r\n--{boundary}\r\nContent-Type: image/png; name=\"logo.png\"\r\nContent-ID: <logo>\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=\"logo.png\"\r\n\r\n"
    ));
    let length = log_normal(random, 12e3, 0.9, 200e3);
    body.base64(random, length, false);
    body.push(&format!("--{boundary}--\r\n"));
    body.finish(format!(
        "Content-Type: multipart/related;\r\n boundary=\"{boundary}\"\r\n"
    ))
}

fn boundary(random: &mut Random) -> String {
    format!("=_{:016x}", random.next())
}

#[derive(Default)]
struct Body {
    text: String,
    marks: Vec<usize>,
}

impl Body {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Lines of words, about `length` bytes, the first with room for the message's number.
    fn text(&mut self, random: &mut Random, length: usize) {
        let end = self.text.len() + length;
        self.mark();
        self.push("\r\n");
        while self.text.len() + 2 < end {
            let line_end = (self.text.len() + 50 + random.below(24) as usize).min(end - 2);
            while self.text.len() < line_end {
                // Numbers among the words: text that compresses as real mail does, not as a repeated page.
                let written = match random.below(7) {
                    0 => write!(self.text, "{:x} ", random.next() & 0xff_ffff),
                    _ => write!(self.text, "{} ", word(random)),
                };
                debug_assert!(written.is_ok(), "a String takes everything");
            }
            self.push("\r\n");
        }
    }

    /// The same words as text and as HTML, up to the closing delimiter.
    fn alternative(&mut self, random: &mut Random, boundary: &str, length: usize) {
        self.push(&format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        ));
        let from = self.text.len() + MARK_LENGTH;
        self.text(random, length);
        let paragraphs = self.text[from..].to_owned();
        self.push(&format!(
            "--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             <html><head><style>p {{ font-family: sans-serif; margin: 0 }}</style></head><body>\r\n<p>"
        ));
        self.mark();
        self.push("</p>\r\n");
        for paragraph in paragraphs.lines() {
            self.push(&format!("<p style=\"color: #333\">{paragraph}</p>\r\n"));
        }
        self.push(&format!("</body></html>\r\n--{boundary}--\r\n"));
    }

    /// `length` bytes of content in base64: as incompressible as JPEG and ZIP, or like a table.
    fn base64(&mut self, random: &mut Random, length: usize, compressible: bool) {
        let mut content = Vec::with_capacity(length + 32);
        while content.len() < length {
            if compressible {
                content.extend_from_slice(word(random).as_bytes());
                content.push(b';');
            } else {
                content.extend_from_slice(&random.next().to_le_bytes());
            }
        }
        let encoded = STANDARD.encode(&content);
        for (number, line) in encoded.as_bytes().chunks(76).enumerate() {
            let mut line = std::str::from_utf8(line).expect("base64 is ASCII");
            if number == 0 && line.len() == 76 {
                self.mark();
                line = &line[MARK_LENGTH..];
            }
            self.push(line);
            self.push("\r\n");
        }
    }

    fn mark(&mut self) {
        self.marks.push(self.text.len());
        self.text.extend(std::iter::repeat_n('a', MARK_LENGTH));
    }

    fn finish(self, fields: String) -> Template {
        Template {
            fields,
            body: self.text.into_bytes(),
            marks: self.marks,
        }
    }
}
