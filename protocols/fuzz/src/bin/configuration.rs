//! Configuration files and the values in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_config::{Configuration, address, parse_boolean, parse_quantity, parse_time_span};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = Configuration::from_text(&text);
    let _ = parse_quantity(&text);
    let _ = parse_time_span(&text);
    parse_boolean(&text);
    let _ = address::parse_hosts(&text);
    for network in address::parse_networks(&text).unwrap_or_default() {
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    let _ = address::parse_sockets(&text);
});
