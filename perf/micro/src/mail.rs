//! Messages of 10 kB by number: text, text and HTML, an attachment; replies and references; header fields as
//! mail has them after two servers and a filter.

use std::fmt::Write as _;

const BYTES: usize = 10_000;
const WORDS: [&str; 24] = [
    "the", "report", "meeting", "on", "Thursday", "number", "attached", "question", "storage", "window",
    "answer", "project", "garden", "invoice", "measure", "before", "after", "between", "change", "record",
    "office", "travel", "review", "figure",
];

/// The `number`-th message, always the same.
pub(crate) fn message(number: u32) -> String {
    let mut dice = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % below as u64) as usize
    };
    let (thread, reply) = (number / 5, number % 5);
    let needle = if number % 100 == 7 { " needle" } else { "" };
    let prefix = if reply > 0 { "Re: " } else { "" };
    let mut text = format!(
        "Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.test with ESMTPS id {number:08x};\r\n\
         \tTue, 24 Nov 2026 02:48:25 +0000\r\n\
         Authentication-Results: mx.example.test; dkim=pass header.d=example.org; spf=pass\r\n\
         Date: Tue, 24 Nov 2026 02:48:24 +0000\r\nFrom: Alice Example <alice{thread}@example.org>\r\n\
         To: Bob Example <bob@example.test>, \"Carol, the third\" <carol@example.test>\r\n\
         Subject: {prefix}{} {} {thread}{needle}\r\nMessage-ID: <{thread}.{reply}@example.org>\r\n",
        WORDS[thread as usize % WORDS.len()],
        WORDS[(thread as usize / 3) % WORDS.len()],
    );
    if reply > 0 {
        let _ = write!(
            text,
            "In-Reply-To: <{thread}.{}@example.org>\r\nReferences:",
            reply - 1
        );
        for earlier in 0..reply {
            let _ = write!(text, " <{thread}.{earlier}@example.org>\r\n");
        }
    }
    text.push_str(
        "User-Agent: Mozilla Thunderbird\r\nX-Spam-Status: No, score=-2.1\r\nMIME-Version: 1.0\r\n",
    );
    let rest = BYTES - text.len() - 500;
    let mut words = |bytes: usize| {
        let mut lines = String::with_capacity(bytes + 80);
        while lines.len() < bytes {
            let end = lines.len() + 66;
            while lines.len() < end {
                lines.push_str(WORDS[next(WORDS.len())]);
                lines.push(' ');
                if next(6) == 0 {
                    let _ = write!(lines, "{:x} ", next(1 << 24));
                }
            }
            lines.push_str("\r\n");
        }
        lines
    };
    match number % 4 {
        0 | 1 => {
            let _ = write!(
                text,
                "Content-Type: text/plain; charset=utf-8\r\n\r\n{}",
                words(rest)
            );
        }
        2 => {
            let _ = write!(
                text,
                "Content-Type: multipart/alternative; boundary=\"=_a\"\r\n\r\n--=_a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
                 {}\r\n--=_a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>{}</p></body></html>\r\n--=_a--\r\n",
                words(rest * 2 / 5),
                words(rest * 3 / 5)
            );
        }
        _ => {
            let base64 = "QSBsaW5lIG9mIGJhc2U2NCB0aGF0IGhhcyB0aGUgdXN1YWwgbGVuZ3RoIG9mIHNldmVudHktc2l4\r\n";
            let _ = write!(
                text,
                "Content-Type: multipart/mixed; boundary=\"=_m\"\r\n\r\n--=_m\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
                 {}\r\n--=_m\r\nContent-Type: application/pdf; name=\"minutes.pdf\"\r\nContent-Disposition: attachment; filename=\"minutes.pdf\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--=_m--\r\n",
                words(rest / 2),
                base64.repeat(rest / 2 / base64.len())
            );
        }
    }
    text
}
