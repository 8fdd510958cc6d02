//! The notation of the tables.

/// Declares the directives of one file: a typed constant for each and `TABLE` of all.
///
/// ```text
/// directives! {
///     file Imap;
///     /// What it does, in one line.
///     IMAP_CONN_TIMEOUT: duration(1..=MAX) = "3 minutes", restart, Effective;
/// }
/// ```
///
/// After the name come the kind with its bounds (durations in seconds), the default as the manual writes
/// it, whether SIGHUP applies a change (`hup` or `restart`), and the [`crate::Effect`].
macro_rules! directives {
    (
        file $file:ident;
        $(
            $(#[doc = $doc:literal])+
            $name:ident : $kind:ident $(( $($argument:tt)* ))? = $default:literal, $reload:ident, $effect:expr;
        )*
    ) => {
        #[allow(unused_imports, reason = "not every file has all effects and bounds")]
        use crate::directive::{Directive, Effect::*, File, Kind, MAX, lower_case};

        $(
            $(#[doc = $doc])+
            pub const $name: key_type!($kind) = {
                const DIRECTIVE: &Directive = &Directive {
                name: {
                    const UPPER: &str = stringify!($name);
                    const LOWER: [u8; UPPER.len()] = lower_case(UPPER);
                    match str::from_utf8(&LOWER) {
                        Ok(name) => name,
                        Err(_) => panic!("an identifier is UTF-8"),
                    }
                },
                file: File::$file,
                kind: kind!($kind $(( $($argument)* ))?),
                default: $default,
                reload: reload!($reload),
                effect: $effect,
                documentation: &[$($doc),+],
                };
                <key_type!($kind)>::new(DIRECTIVE)
            };
        )*

        /// All of this file, in the manual's order.
        pub const TABLE: &[&Directive] = &[$($name.directive()),*];
    };
}

macro_rules! key_type {
    (quantity) => {
        crate::directive::Quantity
    };
    (duration) => {
        crate::directive::TimeSpan
    };
    (exact_duration) => {
        crate::directive::TimeSpan
    };
    (boolean) => {
        crate::directive::Boolean
    };
    (text) => {
        crate::directive::Text
    };
    (secret) => {
        crate::directive::Text
    };
    (choice) => {
        crate::directive::Text
    };
    (host_name) => {
        crate::directive::Text
    };
    (repeated) => {
        crate::directive::Repeated
    };
    (host) => {
        crate::directive::Host
    };
    (hosts) => {
        crate::directive::Hosts
    };
    (networks) => {
        crate::directive::Networks
    };
    (sockets) => {
        crate::directive::Sockets
    };
    (path) => {
        crate::directive::Path
    };
    (paths) => {
        crate::directive::Paths
    };
    (compression) => {
        crate::directive::Compression
    };
}

macro_rules! kind {
    (quantity ($min:literal ..= $max:expr)) => { Kind::Quantity { min: $min, max: $max } };
    (duration) => { Kind::TimeSpan { min: 0, max: MAX, exact: false } };
    (duration ($min:literal ..= $max:expr)) => { Kind::TimeSpan { min: $min, max: $max, exact: false } };
    (exact_duration) => { Kind::TimeSpan { min: 0, max: MAX, exact: true } };
    (boolean) => { Kind::Boolean };
    (text) => { Kind::Text };
    (secret) => { Kind::Secret };
    (choice ($($word:literal),+)) => { Kind::Choice(&[$($word),+]) };
    (host_name) => { Kind::HostName };
    (repeated) => { Kind::Repeated };
    (host) => { Kind::Host };
    (hosts) => { Kind::Hosts };
    (networks) => { Kind::Networks };
    (sockets) => { Kind::Sockets };
    (path) => { Kind::Path };
    (paths) => { Kind::Paths };
    (compression) => { Kind::Compression };
}

macro_rules! reload {
    (hup) => {
        true
    };
    (restart) => {
        false
    };
}
