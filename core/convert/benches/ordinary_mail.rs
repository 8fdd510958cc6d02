//! What delivery and reading cost for an ordinary mail of 10 kB: `cargo bench -p ringpost-convert`.
//!
//! Prints the best of many short rounds, which is steady also on a busy machine. With a name and a count
//! (`-- decode 10000`) it only repeats that one, for a profiler: instructions are counted by
//! `valgrind --tool=callgrind`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ringpost_convert::{message::from_mime, structure::Structure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds a measurement; the fastest counts.
const ROUNDS: usize = 400;
/// Repetitions a round: short, so that some rounds aren't interrupted.
const REPETITIONS: u32 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|text| text != "--bench")
        .collect();
    let plain = plain();
    let rich = rich();
    for (kind, source) in [("plain", plain.as_bytes()), ("rich", rich.as_bytes())] {
        let structure = Structure::of(source);
        let encoded = structure.encode();
        println!(
            "{kind}: {} bytes, structure {} bytes",
            source.len(),
            encoded.len()
        );
        let tasks: [(&str, &dyn Fn()); 5] = [
            ("of", &|| drop(black_box(Structure::of(black_box(source))))),
            ("encode", &|| drop(black_box(black_box(&structure).encode()))),
            ("decode", &|| {
                drop(black_box(Structure::decode(black_box(&encoded))));
            }),
            ("from_mime", &|| {
                drop(black_box(from_mime(black_box(source), &structure)));
            }),
            ("all of delivery", &|| {
                let structure = Structure::of(black_box(source));
                drop(black_box((structure.encode(), from_mime(source, &structure))));
            }),
        ];
        for (name, task) in tasks {
            match &arguments[..] {
                [wanted, count] if wanted == name => {
                    (0..count.parse().unwrap_or(1)).for_each(|_: u32| task());
                }
                [] => println!("  {name:16} {:8.2} µs", best(task).as_secs_f64() * 1e6),
                _ => {}
            }
        }
    }
}

fn best(task: &dyn Fn()) -> Duration {
    let round = || {
        let begin = Instant::now();
        (0..REPETITIONS).for_each(|_| task());
        begin.elapsed() / REPETITIONS
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

/// The header that mail has when it came through two servers and a filter.
const HEADER: &str = "Return-Path: <alice@example.test>\r\n\
    Received: from mx.example.test (mx.example.test [192.0.2.1])\r\n\tby mail.example.test (Postfix) with ESMTPS id 4XyZ\r\n\
    \tfor <bob@example.test>; Tue, 24 Nov 2026 02:48:25 +0000 (UTC)\r\n\
    Received: from [192.0.2.9] (unknown [192.0.2.9])\r\n\tby mx.example.test (Postfix) with ESMTPSA id 4XyY;\r\n\
    \tTue, 24 Nov 2026 02:48:24 +0000 (UTC)\r\n\
    Authentication-Results: mx.example.test; dkim=pass header.d=example.test; spf=pass\r\n\
    DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.test; s=s1; t=1795488504;\r\n\
    \th=from:to:subject:date:message-id:mime-version:content-type;\r\n\
    \tb=dGhpcyBpcyBub3QgYSBzaWduYXR1cmUgYnV0IGl0IGlzIGFzIGxvbmcgYXMgb25lIHdvdWxkIGJlLCBtb3JlIG9yIGxlc3MgYW5k\r\n\
    \t IHdpdGggYSBzZWNvbmQgbGluZSBhcyB3ZWxs\r\n\
    Date: Tue, 24 Nov 2026 02:48:24 +0000\r\nFrom: Alice Example <alice@example.test>\r\n\
    To: Bob Example <bob@example.test>, \"Carol, the third\" <carol@example.test>\r\n\
    Cc: =?utf-8?q?J=C3=BCrgen?= <juergen@example.test>\r\n\
    Subject: =?utf-8?q?Re=3A_Minutes_of_the_meeting_=E2=80=93_draft?=\r\n\
    Message-ID: <0123456789abcdef@mail.example.test>\r\n\
    In-Reply-To: <fedcba9876543210@mail.example.test>\r\n\
    References: <a0@mail.example.test> <fedcba9876543210@mail.example.test>\r\n\
    User-Agent: Mozilla Thunderbird\r\nContent-Language: en-GB\r\nX-Spam-Status: No, score=-2.1\r\nX-Spam-Level: \r\n\
    MIME-Version: 1.0\r\n";

fn text(bytes: usize) -> String {
    "A line of some text that is neither short nor long, -- as people write.\r\n".repeat(bytes / 73)
}

fn plain() -> String {
    format!(
        "{HEADER}Content-Type: text/plain; charset=UTF-8; format=flowed\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n{}",
        text(8_300)
    )
}

/// Text, HTML and an attachment.
fn rich() -> String {
    let base64 = "QSBsaW5lIG9mIGJhc2U2NCB0aGF0IGhhcyB0aGUgdXN1YWwgbGVuZ3RoIG9mIHNldmVudHktc2l4\r\n";
    format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=\"------------mixed0123456789\"\r\n\r\n\
         This is a multi-part message in MIME format.\r\n--------------mixed0123456789\r\n\
         Content-Type: multipart/alternative;\r\n boundary=\"------------alternative0123\"\r\n\r\n\
         --------------alternative0123\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n{}\r\n--------------alternative0123\r\n\
         Content-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<html>{}</html>\r\n\
         --------------alternative0123--\r\n\r\n--------------mixed0123456789\r\n\
         Content-Type: application/pdf; name=\"minutes.pdf\"\r\nContent-Disposition: attachment; filename=\"minutes.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--------------mixed0123456789--\r\n",
        text(1_500),
        text(2_500),
        base64.repeat(40)
    )
}
