//! Configuration: every directive in one table, and what is made from it.
//!
//! - [`syntax`] splits files into `key=value` lines; [`number`] and [`address`] read values. They are pure
//!   functions of their text.
//! - [`directive`] is the table, one module a file: name, kind, bounds, default, effect, documentation.
//! - [`Configuration`] is what was loaded: typed values with their origin. What is wrong with the files is
//!   told as [`Diagnostic`]s.
//! - [`report`] is `ringpost check-config`.
//!
//! ```
//! use ringpost_config::{Configuration, directive};
//!
//! let (configuration, diagnostics) = Configuration::from_text("imap_autologout_time = 1h30min");
//! assert!(diagnostics.is_empty());
//! assert_eq!(configuration.duration(directive::IMAP_AUTOLOGOUT_TIME).as_secs(), 5400);
//! ```

pub mod address;
mod configuration;
mod diagnostic;
pub mod directive;
mod nearest;
mod network;
pub mod number;
pub mod report;
pub mod syntax;
mod value;

pub use configuration::{
    Changes, Configuration, DEFAULT_DIRECTORY, Environment, Setting, Source, SystemEnvironment,
};
pub use diagnostic::{Diagnostic, Place, Problem, Severity};
pub use directive::{Directive, Effect, File, Kind};
pub use network::Network;
pub use number::{TimeSpan, parse_boolean, parse_quantity, parse_time_span};
pub use value::{Remark, Value, ValueError};
