//! Messages generated from a seed.

use std::fmt::Write;

const WORDS: [&str; 32] = [
    "the", "mail", "server", "report", "please", "meeting", "Thursday", "number", "attached", "question",
    "storage", "kernel", "window", "answer", "project", "garden", "invoice", "measure", "before", "after",
    "between", "quick", "change", "record", "office", "travel", "price", "review", "figure", "table",
    "thanks", "regards",
];

/// A plain text message of about `size` bytes, with CRLF line ends and no line that begins with a dot.
pub(crate) fn generate(seed: u64, size: usize, recipient: &str) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut text = String::with_capacity(size + 128);
    let _ = write!(
        text,
        "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: Load <load@example.org>\r\nTo: <{recipient}>\r\n\
         Subject: {} {} {seed}\r\nMessage-ID: <{seed}.{:x}@load.example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n",
        WORDS[(next() % 32) as usize],
        WORDS[(next() % 32) as usize],
        next(),
    );
    while text.len() + 2 < size {
        let line_end = (text.len() + 70).min(size - 2);
        while text.len() < line_end {
            // Numbers among the words: text that compresses as real mail does, not as a repeated page.
            match next() % 6 {
                0 => drop(write!(text, "{:x} ", next() & 0xff_ffff)),
                _ => drop(write!(text, "{} ", WORDS[(next() % 32) as usize])),
            }
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}
