//! Messages for the demo: varied in structure, language and age, the same at every start.
//!
//! Each is made from its number alone: conversations between the demo's users with replies, newsletters,
//! messages with attachments, inline images, attached messages, other charsets, long ones.

use std::fmt::Write as _;

/// A message of the demo and where it goes.
pub(super) struct DemoMessage {
    /// RFC 5322 source with CRLF line ends.
    pub source: Vec<u8>,
    /// When it was received, in seconds since 1970.
    pub received: i64,
    /// Whether its reader has seen it.
    pub seen: bool,
    /// Whether its reader marked it.
    pub flagged: bool,
}

/// Messages a mailbox gets.
pub(super) const MESSAGES_PER_USER: u32 = 120;

const SUBJECTS: [&str; 10] = [
    "Rack 14 power budget",
    "Lunch on Thursday?",
    "Migration window for the mail cluster",
    "Draft of the quarterly report",
    "Photos from the summit",
    "=?utf-8?Q?Caf=C3=A9_=26_cr=C3=AApes?=",
    "Your invoice",
    "[storage-list] WAL checkpoints under load",
    "Moving day",
    "Re-cabling the second floor",
];

const SENTENCES: [&str; 12] = [
    "The numbers are in the attached sheet; row seven is the one to look at.",
    "I have walked through it twice and could not find anything odd.",
    "Could you check the second paragraph before we send it out?",
    "The new disks arrived this morning and are already in the rack.",
    "If nobody objects by Friday, we take the shorter route.",
    "It was raining the whole day, but the view was worth it.",
    "Please keep the old host running until the last mailbox has moved.",
    "Bob said he would bring the adapter, and the long cable too.",
    "There is a small table below, in case the figures help.",
    "Thanks for the quick answer, that clears it up.",
    "We measured it three times; the median barely moved.",
    "See you at the usual place.",
];

/// A 1×1 PNG.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The `number`-th message of `reader`'s mailbox; `base` is the time of the newest, in seconds since 1970.
pub(super) fn message(reader: &str, number: u32, base: i64) -> DemoMessage {
    let people = ["alice", "bob", "carol"];
    let mut dice = Dice::new(reader, number);
    let sender = people[dice.below(3)];
    let received = base - i64::from(MESSAGES_PER_USER - number) * 5_400 - dice.below(3_000) as i64;
    let thread = number / 4;
    let subject = SUBJECTS[thread as usize % SUBJECTS.len()];
    let reply = number % 4;

    let mut header = String::new();
    let _ = write!(
        header,
        "Date: {}\r\nFrom: {} <{sender}@example.test>\r\nTo: {} <{reader}@example.test>\r\n",
        rfc5322_date(received),
        capitalised(sender),
        capitalised(reader),
    );
    if dice.below(4) == 0 {
        header.push_str("Cc: \"Team, Infrastructure\" <team@example.test>\r\n");
    }
    let prefix = if reply > 0 { "Re: " } else { "" };
    let _ = write!(
        header,
        "Subject: {prefix}{subject}\r\nMessage-ID: <{reader}.{thread}.{reply}@example.test>\r\n"
    );
    if reply > 0 {
        let parents: Vec<String> = (0..reply)
            .map(|r| format!("<{reader}.{thread}.{r}@example.test>"))
            .collect();
        let _ = write!(header, "In-Reply-To: {}\r\n", parents[parents.len() - 1]);
        let _ = write!(header, "References: {}\r\n", parents.join("\r\n "));
    }
    if dice.below(9) == 0 {
        header.push_str("X-Priority: 1\r\nImportance: high\r\n");
    }
    header.push_str("MIME-Version: 1.0\r\n");

    let boundary = format!("=_{reader}_{number}");
    let body = match number % 12 {
        1 | 7 => alternative(&mut dice, &boundary),
        2 => attachment(&mut dice, &boundary),
        3 => inline_image(&mut dice, &boundary),
        5 => attached_message(&mut dice, &boundary, received),
        6 => latin1(),
        8 => newsletter(&mut dice, &mut header),
        9 => long(&mut dice),
        11 => invitation(&boundary, received, subject),
        _ => plain(&mut dice),
    };
    let source = [header.as_bytes(), body.as_slice()].concat();
    DemoMessage {
        source,
        received,
        seen: number + 25 < MESSAGES_PER_USER,
        flagged: dice.below(15) == 0,
    }
}

fn plain(dice: &mut Dice) -> Vec<u8> {
    format!(
        "Content-Type: text/plain; charset=utf-8\r\n\r\n{}",
        paragraphs(dice, 3)
    )
    .into_bytes()
}

fn long(dice: &mut Dice) -> Vec<u8> {
    format!(
        "Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\n{}",
        paragraphs(dice, 160)
    )
    .into_bytes()
}

fn latin1() -> Vec<u8> {
    let mut body =
        b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".to_vec();
    body.extend_from_slice(
        b"Gr\xfc\xdfe aus K\xf6ln! Der Caf\xe9 war gut, die Br\xfccke ist noch gesperrt.\r\n",
    );
    body
}

fn alternative(dice: &mut Dice, boundary: &str) -> Vec<u8> {
    let text = paragraphs(dice, 4);
    let html = format!(
        "<html><body><p>{}</p></body></html>",
        text.trim_end().replace("\r\n\r\n", "</p>\r\n<p>")
    );
    multipart(
        "alternative",
        boundary,
        &[
            format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"),
            format!("Content-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n"),
        ],
    )
}

fn attachment(dice: &mut Dice, boundary: &str) -> Vec<u8> {
    let rows = (0..40 + dice.below(400)).fold(String::from("rack,slot,watts\r\n"), |mut csv, row| {
        let _ = write!(csv, "{},{},{}\r\n", row / 20, row % 20, 180 + dice.below(240));
        csv
    });
    multipart(
        "mixed",
        boundary,
        &[
            format!(
                "Content-Type: text/plain; charset=utf-8\r\n\r\n{}",
                paragraphs(dice, 2)
            ),
            format!(
                "Content-Type: text/csv; name=\"power.csv\"\r\nContent-Disposition: attachment; filename=\"power.csv\"\r\n\r\n{rows}"
            ),
        ],
    )
}

fn inline_image(dice: &mut Dice, boundary: &str) -> Vec<u8> {
    multipart(
        "related",
        boundary,
        &[
            format!(
                "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>{}</p><img src=\"cid:pixel@example.test\"></body></html>\r\n",
                SENTENCES[dice.below(SENTENCES.len())]
            ),
            format!(
                "Content-Type: image/png; name=\"pixel.png\"\r\nContent-ID: <pixel@example.test>\r\n\
             Content-Disposition: inline; filename=\"pixel.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{PIXEL}\r\n"
            ),
        ],
    )
}

fn attached_message(dice: &mut Dice, boundary: &str, received: i64) -> Vec<u8> {
    multipart(
        "mixed",
        boundary,
        &[
            "Content-Type: text/plain; charset=utf-8\r\n\r\nFor your information.\r\n".to_owned(),
            format!(
                "Content-Type: message/rfc822\r\n\r\nDate: {}\r\nFrom: Dana <dana@example.org>\r\nTo: alice@example.test\r\n\
             Subject: The original\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{}",
                rfc5322_date(received - 86_400),
                paragraphs(dice, 2)
            ),
        ],
    )
}

fn newsletter(dice: &mut Dice, header: &mut String) -> Vec<u8> {
    header.push_str(
        "List-Id: Storage list <storage-list.example.test>\r\nList-Post: <mailto:storage-list@example.test>\r\n\
         List-Unsubscribe: <mailto:storage-list-leave@example.test>\r\nPrecedence: list\r\n",
    );
    format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}=E2=80=94 the list=\r\n keeper\r\n",
        paragraphs(dice, 8)
    )
    .into_bytes()
}

fn invitation(boundary: &str, received: i64, subject: &str) -> Vec<u8> {
    let start = received + 7 * 86_400;
    multipart(
        "alternative",
        boundary,
        &[
            "Content-Type: text/plain; charset=utf-8\r\n\r\nYou are invited.\r\n".to_owned(),
            format!(
                "Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\n\
             PRODID:-//ringpost//demo//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:{boundary}@example.test\r\n\
             DTSTAMP:{}\r\nDTSTART:{}\r\nDTEND:{}\r\nSUMMARY:{subject}\r\nORGANIZER:mailto:bob@example.test\r\n\
             ATTENDEE:mailto:alice@example.test\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
                ical_time(received),
                ical_time(start),
                ical_time(start + 3_600)
            ),
        ],
    )
}

fn multipart(subtype: &str, boundary: &str, parts: &[String]) -> Vec<u8> {
    let mut body = format!("Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n");
    for part in parts {
        let _ = write!(body, "--{boundary}\r\n{part}\r\n");
    }
    let _ = write!(body, "--{boundary}--\r\n");
    body.into_bytes()
}

fn paragraphs(dice: &mut Dice, count: usize) -> String {
    (0..count).fold(String::new(), |mut text, _| {
        for _ in 0..=dice.below(3) {
            text.push_str(SENTENCES[dice.below(SENTENCES.len())]);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text
    })
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_uppercase() + rest
}

fn rfc5322_date(seconds: i64) -> String {
    utc(seconds, "%a, %d %b %Y %H:%M:%S +0000")
}

fn ical_time(seconds: i64) -> String {
    utc(seconds, "%Y%m%dT%H%M%SZ")
}

fn utc(seconds: i64, format: &str) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::UTC)
        .strftime(format)
        .to_string()
}

/// A small generator (splitmix64) seeded by the message's identity.
struct Dice(u64);

impl Dice {
    fn new(reader: &str, number: u32) -> Self {
        Self(reader.bytes().fold(u64::from(number), |seed, byte| {
            seed.wrapping_mul(131) + u64::from(byte)
        }))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(rfc5322_date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(rfc5322_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(ical_time(1_709_251_199), "20240229T235959Z");
    }

    #[test]
    fn messages_are_the_same_each_time_and_have_crlf_only() {
        for number in 0..MESSAGES_PER_USER {
            let first = message("alice", number, 1_800_000_000).source;
            assert_eq!(first, message("alice", number, 1_800_000_000).source);
            let text = String::from_utf8_lossy(&first).replace("\r\n", "");
            assert!(!text.contains(['\r', '\n']), "bare line end in message {number}");
        }
    }
}
