//! RTF and HTML bodies: read, turned into each other, and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::{
    html,
    rtf::{
        compressed,
        extract::{self, Encapsulated, encapsulated},
        writer,
    },
};

fuzz_target!(|data: &[u8]| {
    let _ = compressed::decompress(data);
    let stream = compressed::compress(data).expect("short enough");
    assert_eq!(compressed::decompress(&stream).as_deref(), Ok(data));
    let _ = extract::to_text(data);
    let _ = extract::to_html(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = html::to_text(text);
        let _ = html::to_text(&html::from_text(text));
        // Control characters are no part of a body.
        let clean: String = text
            .chars()
            .filter(|c| !c.is_control() || matches!(c, '\t'))
            .collect();
        assert_eq!(
            encapsulated(&writer::from_html(&clean)),
            Some(Encapsulated::Html(clean.clone()))
        );
        assert_eq!(
            encapsulated(&writer::from_text(&clean)),
            Some(Encapsulated::Text(clean))
        );
    }
});
