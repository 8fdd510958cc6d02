//! What a next hop answers, and where outgoing mail is told to go.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_queue::{NextHop, Reply};

fuzz_target!(|data: &[u8]| {
    if let Ok(Some((reply, used))) = Reply::parse(data) {
        assert!((200..600).contains(&reply.code) && used <= data.len());
        // However the network cuts it, it is the same reply.
        assert_eq!(Reply::parse(&data[..used]), Ok(Some((reply.clone(), used))));
        assert!(!matches!(Reply::parse(&data[..used - 1]), Ok(Some((_, length))) if length > used - 1));
        let status = reply.status();
        assert_eq!(status.code, reply.code);
        // One line: it goes into reports and logs.
        assert!(!status.to_string().chars().any(char::is_control));
    }
    if let Ok(url) = std::str::from_utf8(data) {
        let _ = NextHop::parse(url).map(|hop| hop.name());
    }
});
