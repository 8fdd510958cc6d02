//! The PROXY protocol's header, version 2.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = ringpost_shard::proxy::parse(data);
});
