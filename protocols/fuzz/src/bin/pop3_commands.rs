//! Bytes from a POP3 client: command lines and SASL responses; and a message on its way to one, with UTF8 and
//! without.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::structure::Structure;
use ringpost_pop3::{Downgrade, Stuffer, parse, parse_plain};

/// RETR, and how many lines of the body TOP asks for.
const BODY_LINES: [Option<u32>; 3] = [None, Some(0), Some(2)];

/// The message slice by slice: headers rewritten where there is a downgrade, lines cut off, dots doubled.
fn sent(source: &[u8], size: usize, body_lines: Option<u32>, mut downgrade: Option<Downgrade>) -> Vec<u8> {
    let (mut stuffer, mut out, mut spare) = (Stuffer::new(body_lines), Vec::new(), Vec::new());
    for slice in source.chunks(size) {
        if stuffer.is_done() {
            break;
        }
        let from = out.len();
        out.extend_from_slice(slice);
        if let Some(downgrade) = &mut downgrade {
            downgrade.push(&mut out, from, &mut spare);
        }
        stuffer.encode(&mut out, from, &mut spare);
    }
    stuffer.finish(&mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    for line in data.split(|&byte| byte == b'\n') {
        let _ = parse(line);
        if let Ok(line) = std::str::from_utf8(line) {
            let _ = parse_plain(line);
        }
    }
    // However it is cut, a message goes out the same; and its end is never inside of it.
    let structure = Structure::of(data);
    for body_lines in BODY_LINES {
        for utf8 in [true, false] {
            let send = |size| {
                let downgrade = (!utf8).then(|| Downgrade::new(&structure));
                sent(data, size, body_lines, downgrade)
            };
            let whole = send(data.len().max(1));
            assert_eq!(whole, send(1));
            assert_eq!(whole, send(3));
            let end = memchr::memmem::find(&whole, b"\r\n.\r\n").map(|at| at + 5);
            assert!(whole == b".\r\n" || end == Some(whole.len()));
        }
    }
    // A header that is UTF-8 becomes ASCII.
    let text = String::from_utf8_lossy(data);
    let header = Structure::of(text.as_bytes()).root.header;
    if let Some(header) = text.as_bytes().get(header.start as usize..header.end as usize) {
        let mut out = header.to_vec();
        Downgrade::new(&Structure::of(header)).push(&mut out, 0, &mut Vec::new());
        assert!(out.is_ascii(), "{}", String::from_utf8_lossy(&out));
    }
});
