//! Several sessions on one mailbox, doing things at random: each client's picture, built only from what it was told,
//! must be the truth; and resynchronising from any earlier state must yield the difference.
mod support;

use std::collections::BTreeMap;

use ringpost_testhost::{Client, TestHost};
use support::*;

/// What a client knows: UID and flags by message number; UID 0 where it was not told yet.
#[derive(Default, Debug)]
struct View {
    messages: Vec<(u32, String)>,
}

/// UIDs with their flags.
type State = BTreeMap<u32, String>;

impl View {
    /// Takes one untagged line.
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["*", count, "EXISTS"] => {
                let count = count.parse().unwrap();
                assert!(count >= self.messages.len(), "{line}: fewer messages than known");
                self.messages.resize(count, (0, String::new()));
            }
            ["*", number, "EXPUNGE"] => {
                self.messages.remove(number.parse::<usize>().unwrap() - 1);
            }
            ["*", "VANISHED", uids] => {
                for uid in uid_list(uids) {
                    let before = self.messages.len();
                    self.messages.retain(|(known, _)| *known != uid);
                    assert_eq!(self.messages.len() + 1, before, "{line}: not known");
                }
            }
            ["*", number, "FETCH", ..] if line.contains("FLAGS (") => {
                let (uid, flags) = uid_and_flags(line);
                let place = &mut self.messages[number.parse::<usize>().unwrap() - 1];
                assert!(
                    place.0 == 0 || place.0 == uid,
                    "{line}: that number is UID {}",
                    place.0
                );
                *place = (uid, flags);
            }
            _ => {}
        }
    }

    fn state(&self) -> State {
        self.messages.iter().cloned().collect()
    }
}

fn uid_list(text: &str) -> Vec<u32> {
    text.split(',')
        .flat_map(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            first.parse::<u32>().unwrap()..=last.parse().unwrap()
        })
        .collect()
}

/// UID and flags of a FETCH line, `\Recent` left out: it belongs to one session.
fn uid_and_flags(line: &str) -> (u32, String) {
    let flags = line.split_once("FLAGS (").unwrap().1.split_once(')').unwrap().0;
    let mut flags: Vec<&str> = flags
        .split(' ')
        .filter(|flag| !flag.is_empty() && *flag != "\\Recent")
        .collect();
    flags.sort_unstable();
    (number_after(line, "UID") as u32, flags.join(" "))
}

/// A client with its picture.
struct Session {
    client: Client,
    view: View,
}

impl Session {
    async fn new(host: &TestHost, enable: &str) -> Self {
        let mut client = login(host).await;
        if !enable.is_empty() {
            talk(
                &mut client,
                &format!("C: e ENABLE {enable}\nS: * ENABLED {enable}\nS: e OK …"),
            )
            .await;
        }
        let mut session = Self {
            client,
            view: View::default(),
        };
        session.run("SELECT INBOX").await;
        session
    }

    /// Runs a command, takes what it told, and asks for messages that are new.
    async fn run(&mut self, command: &str) -> String {
        self.client.send(format!("t {command}\r\n"));
        let mut lines = self.client.lines_until("t ").await;
        let answer = lines.pop().unwrap();
        for line in &lines {
            self.view.take(line);
        }
        if let Some(first) = self.view.messages.iter().position(|(uid, _)| *uid == 0) {
            self.client
                .send(format!("n FETCH {}:* (UID FLAGS)\r\n", first + 1));
            for line in self.client.lines_until("n ").await {
                self.view.take(&line);
            }
        }
        answer
    }
}

/// The truth, as a new session sees it, and its HIGHESTMODSEQ and UIDVALIDITY.
async fn truth(host: &TestHost) -> (State, u64, u64) {
    let mut client = login(host).await;
    client.send("x EXAMINE INBOX\r\n");
    let lines = client.lines_until("x ").await;
    client.send("y UID FETCH 1:* FLAGS\r\n");
    let fetched = client.lines_until("y ").await;
    let state = fetched[..fetched.len() - 1]
        .iter()
        .map(|line| uid_and_flags(line))
        .collect();
    (
        state,
        number_in(&lines, "HIGHESTMODSEQ"),
        number_in(&lines, "UIDVALIDITY"),
    )
}

/// Brings an earlier state up to date by QRESYNC.
async fn resynchronise(host: &TestHost, mut state: State, mod_seq: u64, validity: u64) -> State {
    let mut client = login(host).await;
    client.send(format!(
        "q ENABLE QRESYNC\r\nx SELECT INBOX (QRESYNC ({validity} {mod_seq}))\r\n"
    ));
    for line in client.lines_until("x ").await {
        if let Some(uids) = line.strip_prefix("* VANISHED (EARLIER) ") {
            for uid in uid_list(uids) {
                state.remove(&uid);
            }
        } else if line.contains(" FETCH (") {
            let (uid, flags) = uid_and_flags(&line);
            state.insert(uid, flags);
        }
    }
    state
}

/// Xorshift: the same numbers on every run of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

async fn play(host: &TestHost, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut sessions = Vec::new();
    for enable in ["", "QRESYNC", "CONDSTORE", ""] {
        sessions.push(Session::new(host, enable).await);
    }
    sessions[0].run("CREATE Other").await;
    let mut snapshots = Vec::new();
    for step in 0..steps {
        let index = random.below(sessions.len());
        let count = sessions[index].view.messages.len();
        let uid = sessions[index]
            .view
            .messages
            .get(random.below(count))
            .map_or(1, |(uid, _)| *uid);
        let number = random.below(count) + 1;
        let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Forwarded", "Work", "Later"][random.below(6)];
        let command = match random.below(12) {
            0..3 => format!("APPEND INBOX ({flag}) {{20+}}\r\nSubject: x\r\n\r\nabcdef"),
            3 => format!("UID STORE {uid}:* +FLAGS ({flag})"),
            4 => format!("UID STORE {uid} -FLAGS.SILENT ({flag})"),
            5 => format!("UID STORE {uid} FLAGS (\\Answered {flag})"),
            6 => "EXPUNGE".to_owned(),
            7 => format!("UID EXPUNGE 1:{uid}"),
            8 => format!("UID MOVE {uid} Other"),
            9 => format!("COPY {number} INBOX"),
            10 => format!("UID FETCH {uid} (FLAGS BODY[TEXT])"),
            _ => "NOOP".to_owned(),
        };
        let silent = command.contains(".SILENT");
        let answer = sessions[index].run(&command).await;
        assert!(
            answer.starts_with("t OK")
                || answer.contains("EXPUNGEISSUED")
                // A number of a mailbox without messages.
                || answer.starts_with("t BAD") && count == 0 && command.starts_with("COPY "),
            "seed {seed} step {step}: {command}: {answer}"
        );
        if silent {
            // The client knows the result of its own silent change; here it simply looks.
            sessions[index].run("UID FETCH 1:* FLAGS").await;
        }
        if step % 10 == 9 {
            let (state, mod_seq, validity) = truth(host).await;
            for (place, session) in sessions.iter_mut().enumerate() {
                session.run("NOOP").await;
                assert_eq!(
                    session.view.state(),
                    state,
                    "seed {seed} step {step}: session {place}"
                );
            }
            snapshots.push((state.clone(), mod_seq));
            let (earlier, since) = snapshots[random.below(snapshots.len())].clone();
            let now = resynchronise(host, earlier, since, validity).await;
            assert_eq!(now, state, "seed {seed} step {step}: since {since}");
        }
    }
}

#[test]
fn random_sessions_agree() {
    for seed in 1..=6 {
        let host = host();
        host.run(play(&host, 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed), 200));
    }
}
