use super::*;

fn message(messages: &Messages, mailbox: u64, number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    messages.write(mailbox, number, &format!("load{mailbox}@example.test"), &mut out);
    out
}

#[test]
fn the_same_seed_gives_the_same_messages_and_another_gives_others() {
    let (first, again, other) = (
        Messages::new(1, Size::Real),
        Messages::new(1, Size::Real),
        Messages::new(2, Size::Real),
    );
    for number in 0..50 {
        assert_eq!(message(&first, 3, number), message(&again, 3, number));
        assert_ne!(message(&first, 3, number), message(&other, 3, number));
        assert_ne!(message(&first, 3, number), message(&first, 4, number));
    }
}

#[test]
fn every_message_is_one_that_mail_programs_may_send() {
    for size in [Size::Bytes(400), Size::Bytes(10_000), Size::Real] {
        let messages = Messages::new(5, size);
        for number in 0..400 {
            let source = message(&messages, 1, number);
            assert!(source.is_ascii() && source.ends_with(b"\r\n"));
            for line in source.split(|&byte| byte == b'\n') {
                assert!(line.is_empty() || line.ends_with(b"\r"), "a bare LF");
                assert!(line.len() <= 999 && !line.starts_with(b"."));
            }
            assert!(memchr::memmem::find(&source, b"\r\n\r\n").is_some());
            assert_eq!(verify(&source), Ok(Seal::Whole { mailbox: 1 }));
        }
    }
}

#[test]
fn fixed_sizes_are_met() {
    for size in [450, 1_000, 10_000, 1_000_000] {
        let messages = Messages::new(5, Size::Bytes(size));
        for number in [0, 1, 999_999] {
            assert_eq!(message(&messages, 12, number).len(), size);
        }
    }
}

#[test]
fn real_sizes_are_spread_as_described() {
    let messages = Messages::new(1, Size::Real);
    let mut sizes: Vec<usize> = (0..4000)
        .map(|number| message(&messages, 0, number).len())
        .collect();
    sizes.sort_unstable();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((2_000..10_000).contains(&sizes[2000]), "median {}", sizes[2000]);
    assert!((25_000..90_000).contains(&mean), "mean {mean}");
    assert!(sizes[3999] > 500_000, "largest {}", sizes[3999]);
}

#[test]
fn replies_name_their_originals() {
    let messages = Messages::new(9, Size::Real);
    let mut replies = 0;
    for number in 0..500 {
        let text = String::from_utf8(message(&messages, 0, number)).unwrap();
        let Some((_, original)) = text.split_once("In-Reply-To: <9.0.") else {
            continue;
        };
        replies += 1;
        let original: u64 = original.split_once('@').unwrap().0.parse().unwrap();
        assert!(original < number);
        let first = String::from_utf8(message(&messages, 0, original)).unwrap();
        let subject = |text: &str| {
            let from = text.split_once("Subject: ").unwrap().1;
            from.split_once("\r\n")
                .unwrap()
                .0
                .trim_start_matches("Re: ")
                .to_owned()
        };
        assert_eq!(subject(&first), subject(&text));
    }
    assert!((120..260).contains(&replies), "{replies}");
}

#[test]
fn a_changed_cut_or_longer_message_is_noticed() {
    let messages = Messages::new(1, Size::Bytes(2000));
    let whole = message(&messages, 1, 1);
    let mut trace = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\n".to_vec();
    trace.extend_from_slice(&whole);
    assert_eq!(verify(&trace), Ok(Seal::Whole { mailbox: 1 }));
    let mut changed = whole.clone();
    changed[1500] ^= 1;
    assert!(matches!(verify(&changed), Err(BrokenSeal::Checksum { .. })));
    assert!(matches!(verify(&whole[..1000]), Err(BrokenSeal::Length { .. })));
    let longer = [&whole[..], b"\r\n"].concat();
    assert!(matches!(verify(&longer), Err(BrokenSeal::Length { .. })));
    assert_eq!(verify(b"Subject: other\r\n\r\nHello\r\n"), Ok(Seal::None));
}

#[test]
fn dates_are_right() {
    for (seconds, text) in [
        (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (FIRST_DATE, "Mon, 2 Sep 2024 08:00:00 +0000"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
    ] {
        let mut out = Vec::new();
        write_date(seconds, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
