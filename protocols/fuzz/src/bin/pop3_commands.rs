//! Bytes from a POP3 client: command lines and SASL responses; and a message on its way to one without UTF8.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::structure::Structure;
use ringpost_pop3::{Downgrade, Stuffer, parse, parse_plain};

/// Headers rewritten and dots doubled, slice by slice.
fn sent(source: &[u8], size: usize) -> Vec<u8> {
    let mut downgrade = Downgrade::new(&Structure::of(source));
    let (mut stuffer, mut out, mut spare) = (Stuffer::new(None), Vec::new(), Vec::new());
    for slice in source.chunks(size) {
        let from = out.len();
        out.extend_from_slice(slice);
        downgrade.push(&mut out, from, &mut spare);
        stuffer.encode(&mut out, from, &mut spare);
    }
    stuffer.finish(&mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    for line in data.split(|&byte| byte == b'\n') {
        let _ = parse(line);
    }
    let text = String::from_utf8_lossy(data);
    let _ = parse_plain(&text);

    // However it is cut, a message goes out the same; and its end is never inside of it.
    let whole = sent(data, data.len().max(1));
    assert_eq!(whole, sent(data, 1));
    let end = memchr::memmem::find(&whole, b"\r\n.\r\n").map(|at| at + 5);
    assert!(whole == b".\r\n" || end == Some(whole.len()));

    // A header that is UTF-8 becomes ASCII.
    let header = Structure::of(text.as_bytes()).root.header;
    if let Some(header) = text.as_bytes().get(header.start as usize..header.end as usize) {
        let mut out = header.to_vec();
        Downgrade::new(&Structure::of(header)).push(&mut out, 0, &mut Vec::new());
        assert!(out.is_ascii(), "{}", String::from_utf8_lossy(&out));
    }
});
