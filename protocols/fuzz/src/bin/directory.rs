//! What people type and old installations bring: addresses, domains, login names and password hashes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_directory::{
    Address, DOMAIN_MAX, DomainName, LOCAL_PART_MAX,
    auth::LoginName,
    lower_case,
    password::{Scheme, check_format, verify},
};

/// Hashes of these are so cheap to check that the fuzzer may.
const CHEAP: [&str; 4] = [
    "$argon2id$v=19$m=8,t=1,p=1$",
    "$2b$04$",
    "$5$rounds=1000$",
    "$6$rounds=1000$",
];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(address) = Address::parse(&text) {
        assert!(address.local_part().len() <= LOCAL_PART_MAX && address.domain().len() <= DOMAIN_MAX);
        assert!(!address.as_str().contains(['!', ' ', '\r', '\n', '\0']));
        // What was checked once is found again by its own form.
        assert_eq!(Address::parse(address.as_str()).as_ref().ok(), Some(&address));
        assert_eq!(lower_case(address.as_str()), address.as_str());
    }
    if let Ok(domain) = DomainName::parse(&text) {
        assert_eq!(DomainName::parse(domain.as_str()).ok(), Some(domain));
    }
    let login = LoginName::parse(&text);
    assert!(!login.user.contains('!'));
    match check_format(&text) {
        Ok(Scheme::Md5) => drop(verify("demo", &text)),
        Ok(_) if CHEAP.iter().any(|start| text.starts_with(start)) => drop(verify("demo", &text)),
        _ => {}
    }
});
