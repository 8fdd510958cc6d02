//! Messages that can be told apart, and checked byte for byte: a number is all that they are made from.

use std::fmt::Write as _;

use crate::random::Random;

/// A message's number, in its header.
const TOKEN: &str = "X-Token: ";
const LINE_BYTES: usize = 72;
const WORDS: [&str; 16] = [
    "invoice", "meeting", "the", "of", "tomorrow", "agenda", "please", "find", "attached", "regards",
    "budget", "and", "quarter", "draft", "review", "again",
];

/// The message with this number. Most are of a few kilobytes; one in eight is so large, and so hard to
/// compress, that its content is a file of its own.
pub(crate) fn source(token: u64) -> Vec<u8> {
    let mut random = Random::new(token.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut text = format!(
        "From: sender{token}@example.org\r\nTo: somebody@example.test\r\nSubject: Message {token}\r\n\
         Message-ID: <{token}@durability.example.org>\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n{TOKEN}{token}\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    if random.percent(12) {
        noise(&mut text, 110_000 + random.below(200_000), &mut random);
    } else {
        words(&mut text, 300 + random.below(20_000), &mut random);
    }
    text.into_bytes()
}

fn words(text: &mut String, bytes: usize, random: &mut Random) {
    let end = text.len() + bytes;
    let mut column = 0;
    while text.len() < end {
        let word = WORDS[random.below(WORDS.len())];
        let _ = write!(text, "{word} ");
        column += word.len() + 1;
        if column > LINE_BYTES {
            text.push_str("\r\n");
            column = 0;
        }
    }
    text.push_str("\r\n");
}

fn noise(text: &mut String, bytes: usize, random: &mut Random) {
    let end = text.len() + bytes;
    while text.len() < end {
        for _ in 0..LINE_BYTES / 8 {
            for byte in random.next().to_le_bytes() {
                text.push(char::from(b'A' + byte % 58));
            }
        }
        text.push_str("\r\n");
    }
}

/// The number of a message. `None`: nobody here made it.
pub(crate) fn token(source: &[u8]) -> Option<u64> {
    let head = &source[..source.len().min(4096)];
    let text = String::from_utf8_lossy(head);
    let (_, rest) = text.split_once(TOKEN)?;
    rest.split("\r\n").next()?.parse().ok()
}

/// Whether this is the whole message with this number; a server that received it may have put its own header
/// fields before it.
pub(crate) fn is_whole(found: &[u8], token: u64) -> bool {
    found.ends_with(&source(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_again_and_any_damage_seen() {
        for number in 0..200 {
            let message = source(number);
            assert_eq!(token(&message), Some(number));
            assert!(is_whole(&message, number));
            assert!(is_whole(&[b"Received: by us\r\n", &*message].concat(), number));
            assert!(!is_whole(&message[..message.len() - 1], number));
            let mut damaged = message.clone();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            assert!(!is_whole(&damaged, number));
            assert!(!is_whole(&message, number + 1));
        }
        let large = (0..200).filter(|number| source(*number).len() > 100_000).count();
        assert!((10..50).contains(&large), "{large} of 200 are large");
    }
}
