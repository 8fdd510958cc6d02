//! Searches, sorts and threads from an index that follows what sessions do, against one that is made anew.
mod support;

use std::fmt::Write;

use ringpost_host::{Host, MailboxRef};
use ringpost_store::Mailbox;
use ringpost_testhost::{Client, TestHost};
use support::*;

/// What is found in header fields.
const FIELDS: [&str; 8] = [
    "HEADER Message-ID <m",
    "HEADER Message-ID <again",
    "HEADER References \"m1\"",
    "HEADER X-Tag \"\"",
    "HEADER X-Tag \"two three\"",
    "HEADER X-Tag \u{dc}b",
    "NOT HEADER X-Tag one HEADER Message-ID x>",
    "OR HEADER X-Tag one SUBJECT s2",
];
const QUESTIONS: [&str; 16] = [
    "SEARCH ALL",
    "SEARCH FLAGGED UNSEEN",
    "SEARCH NOT KEYWORD Work",
    "SEARCH OR SUBJECT s1 FROM \"<f2@\"",
    "SEARCH SENTON 3-Jan-2020",
    "SEARCH SINCE 1-Feb-2021 SUBJECT \"\"",
    "SEARCH FROM \"\" BODY body",
    "SEARCH LARGER 240",
    "SEARCH UNFLAGGED SAVEDSINCE 1-Jan-2022",
    "SEARCH OR SAVEDBEFORE 1-Jan-2022 SUBJECT s2",
    "SEARCH SUBJECT s TEXT body",
    "SORT (SUBJECT) UTF-8 ALL",
    "SORT (REVERSE DATE SUBJECT) UTF-8 UNFLAGGED",
    "SORT (REVERSE ARRIVAL) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
    "THREAD ORDEREDSUBJECT UTF-8 UNDELETED",
];

/// Xorshift: the same numbers on every run of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

async fn run(client: &mut Client, command: &str) -> Vec<String> {
    client.send(format!("t {command}\r\n"));
    client.lines_until("t ").await
}

/// What the questions are answered with.
async fn ask(client: &mut Client) -> Vec<Vec<String>> {
    run(client, "NOOP").await;
    let mut answers = Vec::new();
    let fields = FIELDS.map(|program| format!("SEARCH CHARSET UTF-8 {program}"));
    for question in QUESTIONS.into_iter().chain(fields.iter().map(String::as_str)) {
        let answer = run(client, &format!("UID {question}")).await;
        assert!(
            answer.last().is_some_and(|line| line.starts_with("t OK")),
            "{question}: {answer:?}"
        );
        answers.push(answer);
    }
    answers
}

/// What a search finds that looks at each message alone, and so into its content.
async fn one_by_one(client: &mut Client, appended: usize, program: &str) -> String {
    let mut found = String::from("* SEARCH");
    for uid in 1..=appended {
        let answer = run(client, &format!("UID SEARCH CHARSET UTF-8 UID {uid} {program}")).await;
        found.push_str(answer[0].strip_prefix("* SEARCH").unwrap());
    }
    found
}

fn append(random: &mut Random, number: usize) -> String {
    let (subject, day, sender) = (random.below(4), random.below(9), random.below(3));
    let mut message = format!(
        "Message-ID: <m{number}@x>\r\nDate: {} Jan 2020 10:00:00 +0100\r\n",
        day + 1
    );
    if subject > 0 {
        let reply = ["", "Re: ", "=?utf-8?Q?=C3=9C?= "][random.below(3) as usize];
        let _ = write!(message, "Subject: {reply}S{subject}\r\n");
    }
    if sender > 0 {
        let _ = write!(message, "From: A <f{sender}@x>, \"B\" <g@y>\r\n");
    }
    if number > 0 && random.below(2) == 0 {
        let ancestor = random.below(number as u64);
        let _ = write!(message, "References: <gone@x> <m{ancestor}@x>\r\n");
    }
    for _ in 0..random.below(3) {
        let tag = [
            "One",
            "two\r\n three",
            "=?utf-8?Q?=C3=BCber?= two",
            "",
            "Two, Three",
        ][random.below(5) as usize];
        let _ = write!(message, "X-Tag: {tag}\r\n");
    }
    if random.below(4) == 0 {
        let _ = write!(message, "MESSAGE-ID: <again{number}@x>\r\n");
    }
    let _ = write!(message, "\r\nbody {}\r\n", "x".repeat(random.below(80) as usize));
    let flags = ["", "\\Flagged", "\\Seen Work", "\\Deleted"][random.below(4) as usize];
    let year = 2020 + random.below(3);
    format!(
        "APPEND INBOX ({flags}) \"01-Mar-{year} 00:00:00 +0000\" {{{}+}}\r\n{message}",
        message.len()
    )
}

fn mailbox(host: &TestHost) -> MailboxRef {
    let account = host.directory().account("smith@example.test").unwrap();
    let mailbox = account.mailbox.clone().unwrap();
    MailboxRef {
        guid: mailbox.guid,
        path: mailbox.path,
    }
}

async fn play(host: &TestHost, seed: u64) {
    let mut random = Random(seed);
    let (mut reader, mut writer) = (login(host).await, login(host).await);
    let mut appended = 0;
    for _ in 0..12 {
        let command = append(&mut random, appended);
        run(&mut writer, &command).await;
        appended += 1;
    }
    run(&mut writer, "CREATE Other").await;
    run(&mut writer, "SELECT INBOX").await;
    run(&mut reader, "SELECT INBOX").await;
    for round in 0..40 {
        for _ in 0..random.below(4) {
            let uid = random.below(appended as u64) + 1;
            let command = match random.below(8) {
                0..3 => {
                    appended += 1;
                    append(&mut random, appended - 1)
                }
                3 => format!("UID STORE {uid}:* +FLAGS.SILENT (\\Flagged)"),
                4 => format!("UID STORE 1:{uid} FLAGS.SILENT (\\Seen Later)"),
                5 => format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted Work)"),
                6 => "EXPUNGE".to_owned(),
                _ => format!("UID MOVE {uid} Other"),
            };
            run(&mut writer, &command).await;
        }
        let kept = ask(&mut reader).await;
        host.with_mailbox(&mailbox(host), Mailbox::trim).unwrap();
        let anew = ask(&mut reader).await;
        if round % 8 == 7 {
            for (program, found) in FIELDS.iter().zip(&kept[QUESTIONS.len()..]) {
                assert_eq!(
                    one_by_one(&mut reader, appended, program).await,
                    found[0],
                    "{program}"
                );
            }
        }
        for (question, (kept, anew)) in QUESTIONS.iter().chain(&FIELDS).zip(kept.iter().zip(&anew)) {
            assert_eq!(kept, anew, "seed {seed} round {round}: {question}");
        }
    }
}

#[test]
fn an_index_follows_what_changes() {
    for seed in 1..=4 {
        let host = host();
        host.run(play(&host, 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed)));
    }
}
