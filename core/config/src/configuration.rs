//! The effective configuration: where each value came from, and what is wrong with it.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Network,
    diagnostic::{Diagnostic, Place, Problem},
    directive::{self, Directive, Effect, File, Kind},
    nearest::nearest_name,
    syntax::{Dialect, Line, parse_lines},
    value::{Remark, Value},
};

/// The manual's configuration folder.
pub const DEFAULT_DIRECTORY: &str = "/etc/gromox";

/// Where a configuration is read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// All files of a folder, [`DEFAULT_DIRECTORY`] usually.
    Directory(PathBuf),
    /// `-c FILE`: one file for the directives of all services. A name that several services share sets it
    /// for each of them; `imap.cfg:host_id=…` sets it for one. Components are still searched in the
    /// services' `config_file_path`; what the file itself says wins over them.
    File(PathBuf),
}

impl Default for Source {
    fn default() -> Self {
        Self::Directory(DEFAULT_DIRECTORY.into())
    }
}

/// What loading needs from outside, so that it can be tested without.
pub trait Environment {
    /// A file's content; `None` if it does not exist.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// This system's name.
    fn host_name(&self) -> String;
}

/// Files of the disk, by blocking reads: for the start, or a helper thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn host_name(&self) -> String {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        if name.is_empty() {
            "localhost".to_owned()
        } else {
            name.to_owned()
        }
    }
}

/// A directive's value and its origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// What it means.
    pub value: Value,
    /// What was written; the default's text if nothing was.
    pub text: String,
    /// Where it was written; `None` is the default.
    pub place: Option<Place>,
}

/// All directives with their effective values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    settings: BTreeMap<(File, &'static str), Setting>,
}

impl Configuration {
    /// Every directive's default. `host_name` is this system's.
    pub fn defaults(host_name: &str) -> Self {
        let setting = |directive: &'static Directive| Setting {
            value: Value::default_of(directive, host_name),
            text: match directive.kind {
                Kind::HostName => host_name.to_owned(),
                _ => directive.default_value().to_owned(),
            },
            place: None,
        };
        let settings = directive::all()
            .map(|directive| ((directive.file, directive.name), setting(directive)))
            .collect();
        Self { settings }
    }

    /// Reads the configuration from the disk, blocking. It always succeeds: whatever could not be used has a
    /// [`Diagnostic`], and one with [`crate::Severity::Error`] should keep a server from starting.
    pub fn load(source: &Source) -> (Self, Vec<Diagnostic>) {
        Self::load_from(source, &SystemEnvironment)
    }

    /// As [`Self::load`], from any environment.
    pub fn load_from(source: &Source, environment: &dyn Environment) -> (Self, Vec<Diagnostic>) {
        let mut loader = Loader {
            configuration: Self::defaults(&environment.host_name()),
            diagnostics: Vec::new(),
            unknown_names: 0,
            environment,
        };
        match source {
            Source::Directory(directory) => {
                loader.move_search_paths(directory);
                for &file in File::ALL.iter().filter(|file| file.host().is_none()) {
                    loader.read_file(file, &directory.join(file.name()));
                }
                loader.read_components();
            }
            Source::File(path) => {
                // Twice, as it sets both the search paths of components and what overrides them.
                let known = loader.diagnostics.len();
                loader.read_single_file(path);
                loader.diagnostics.truncate(known);
                loader.unknown_names = 0;
                loader.read_components();
                loader.read_single_file(path);
            }
        }
        loader.tell_what_has_no_effect();
        (loader.configuration, loader.diagnostics)
    }

    /// Reads text in the form of `-c FILE` on top of the defaults, for tests and generated configurations.
    pub fn from_text(text: &str) -> (Self, Vec<Diagnostic>) {
        struct Text<'text>(&'text str);
        impl Environment for Text<'_> {
            fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
                Ok((path == Path::new(TEXT_NAME)).then(|| self.0.as_bytes().to_vec()))
            }

            fn host_name(&self) -> String {
                SystemEnvironment.host_name()
            }
        }
        const TEXT_NAME: &str = "(text)";
        Self::load_from(&Source::File(TEXT_NAME.into()), &Text(text))
    }

    /// A directive's setting.
    pub fn setting(&self, directive: &Directive) -> &Setting {
        // Every directive of the table has one, and none can be made elsewhere.
        &self.settings[&(directive.file, directive.name)]
    }

    /// All directives with their settings, in the table's order.
    pub fn settings(&self) -> impl Iterator<Item = (&'static Directive, &Setting)> {
        directive::all().map(|directive| (directive, self.setting(directive)))
    }

    /// A number, which can be negative where the directive's bounds say so.
    pub fn quantity(&self, key: directive::Quantity) -> i64 {
        match self.setting(key.directive()).value {
            Value::Quantity(number) => number,
            _ => 0,
        }
    }

    /// A number that can't be negative: sizes in bytes, counts. Negative ones come back as 0.
    pub fn size(&self, key: directive::Quantity) -> usize {
        usize::try_from(self.quantity(key)).unwrap_or(0)
    }

    /// A length of time.
    pub fn duration(&self, key: directive::TimeSpan) -> Duration {
        match self.setting(key.directive()).value {
            Value::Duration(duration) => duration,
            _ => Duration::ZERO,
        }
    }

    /// Yes or no.
    pub fn boolean(&self, key: directive::Boolean) -> bool {
        self.setting(key.directive()).value == Value::Boolean(true)
    }

    /// A text, possibly empty.
    pub fn text(&self, key: directive::Text) -> &str {
        match &self.setting(key.directive()).value {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// The texts of a repeated directive.
    pub fn texts(&self, key: directive::Repeated) -> &[String] {
        match &self.setting(key.directive()).value {
            Value::Texts(texts) => texts,
            _ => &[],
        }
    }

    /// An IP address, if one is set.
    pub fn host(&self, key: directive::Host) -> Option<IpAddr> {
        self.host_list(key.directive()).first().copied()
    }

    /// IP addresses.
    pub fn hosts(&self, key: directive::Hosts) -> &[IpAddr] {
        self.host_list(key.directive())
    }

    /// Networks of IP addresses.
    pub fn networks(&self, key: directive::Networks) -> &[Network] {
        match &self.setting(key.directive()).value {
            Value::Networks(networks) => networks,
            _ => &[],
        }
    }

    fn host_list(&self, directive: &Directive) -> &[IpAddr] {
        match &self.setting(directive).value {
            Value::Hosts(hosts) => hosts,
            _ => &[],
        }
    }

    /// Socket addresses to listen on; an IPv4 address is [`SocketAddr::V4`].
    pub fn addresses(&self, key: directive::Sockets) -> &[SocketAddr] {
        match &self.setting(key.directive()).value {
            Value::Sockets(addresses) => addresses,
            _ => &[],
        }
    }

    /// A path, if one is set.
    pub fn path(&self, key: directive::Path) -> Option<&Path> {
        self.path_list(key.directive()).first().map(PathBuf::as_path)
    }

    /// A list of paths: certificates, or the folders of a search path.
    pub fn paths(&self, key: directive::Paths) -> &[PathBuf] {
        self.path_list(key.directive())
    }

    fn path_list(&self, directive: &Directive) -> &[PathBuf] {
        match &self.setting(directive).value {
            Value::Paths(paths) => paths,
            _ => &[],
        }
    }

    /// zstd's level for new content; `None` does not compress.
    pub fn compression(&self, key: directive::Compression) -> Option<i32> {
        match self.setting(key.directive()).value {
            Value::Compression(level) => level,
            _ => None,
        }
    }

    /// The directives whose values differ in `other`, and what applying them takes.
    pub fn changes(&self, other: &Self) -> Changes {
        let differs =
            |directive: &&'static Directive| self.setting(directive).value != other.setting(directive).value;
        let (reloadable, restart) = directive::all()
            .filter(differs)
            .partition(|directive| directive.reload);
        Changes { reloadable, restart }
    }
}

/// What differs between two configurations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// SIGHUP applies these.
    pub reloadable: Vec<&'static Directive>,
    /// These take a restart; until then the old values hold.
    pub restart: Vec<&'static Directive>,
}

struct Loader<'environment> {
    configuration: Configuration,
    diagnostics: Vec<Diagnostic>,
    unknown_names: usize,
    environment: &'environment dyn Environment,
}

impl Loader<'_> {
    /// The defaults of search paths name the manual's folder; another one takes its place.
    fn move_search_paths(&mut self, directory: &Path) {
        if directory == Path::new(DEFAULT_DIRECTORY) {
            return;
        }
        for ((_, name), setting) in &mut self.configuration.settings {
            let Value::Paths(paths) = &mut setting.value else {
                continue;
            };
            if *name != CONFIG_FILE_PATH {
                continue;
            }
            for path in &mut *paths {
                if let Ok(rest) = path.strip_prefix(DEFAULT_DIRECTORY) {
                    *path = if rest == Path::new("") {
                        directory.to_owned()
                    } else {
                        directory.join(rest)
                    };
                }
            }
            let texts: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
            setting.text = texts.join(":");
        }
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.environment.read(path).unwrap_or_else(|error| {
            let place = Place {
                path: path.to_owned(),
                line: 0,
            };
            self.tell(Some(place), Problem::Unreadable(error.to_string()));
            None
        })
    }

    fn lines(&mut self, path: &Path, content: &[u8], dialect: Dialect) -> Vec<Line> {
        let (lines, errors) = parse_lines(content, dialect);
        for (number, error) in errors {
            self.tell(
                Some(Place {
                    path: path.to_owned(),
                    line: number,
                }),
                Problem::Line(error),
            );
        }
        lines
    }

    /// Whether the file exists.
    fn read_file(&mut self, file: File, path: &Path) -> bool {
        let Some(content) = self.read(path) else {
            return false;
        };
        for line in self.lines(path, &content, file.dialect()) {
            let place = Place {
                path: path.to_owned(),
                line: line.number,
            };
            match file.table().iter().find(|directive| directive.name == line.key) {
                Some(directive) => self.set(directive, &line.value, place),
                None => self.tell_unknown(Some(file), &line.key, place),
            }
        }
        true
    }

    fn read_single_file(&mut self, path: &Path) {
        let Some(content) = self.read(path) else {
            let place = Place {
                path: path.to_owned(),
                line: 0,
            };
            if !self
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.place.as_ref() == Some(&place))
            {
                self.tell(
                    Some(place),
                    Problem::Unreadable("there is no such file".to_owned()),
                );
            }
            return;
        };
        for line in self.lines(path, &content, Dialect::Cfg) {
            let place = Place {
                path: path.to_owned(),
                line: line.number,
            };
            let (file, name) = match line.key.split_once(':') {
                Some((file, name)) => (File::by_name(file.trim()), name.trim()),
                None => (None, line.key.as_str()),
            };
            let matches = |directive: &&'static Directive| {
                directive.name == name && file.is_none_or(|file| directive.file == file)
            };
            let directives: Vec<_> = directive::all().filter(matches).collect();
            if directives.is_empty() || (line.key.contains(':') && file.is_none()) {
                self.tell_unknown(file, name, place);
                continue;
            }
            for directive in directives {
                self.set(directive, &line.value, place.clone());
            }
        }
    }

    /// Finds each component's file by the search path of the service that hosts it: the first that exists.
    fn read_components(&mut self) {
        for &file in File::ALL {
            let Some(host) = file.host() else { continue };
            let folders = self.search_path(host);
            let used = folders
                .iter()
                .map(|folder| folder.join(file.name()))
                .find(|path| self.read_file(file, path));
            self.tell_ignored_copies(file, used.as_deref());
        }
    }

    /// In gromox each service may have its own copy of a component's file. One process reads one.
    fn tell_ignored_copies(&mut self, file: File, used: Option<&Path>) {
        let mut told = Vec::new();
        for &service in File::ALL {
            let paths = self
                .search_path(service)
                .into_iter()
                .map(|folder| folder.join(file.name()));
            let first = paths
                .into_iter()
                .find(|path| matches!(self.environment.read(path), Ok(Some(_))));
            let Some(path) = first.filter(|path| Some(path.as_path()) != used && !told.contains(path)) else {
                continue;
            };
            told.push(path.clone());
            let place = Place { path, line: 0 };
            self.tell(
                Some(place),
                Problem::IgnoredCopy {
                    used: used.map(Path::to_owned),
                },
            );
        }
    }

    fn search_path(&self, service: File) -> Vec<PathBuf> {
        match self.configuration.settings.get(&(service, CONFIG_FILE_PATH)) {
            Some(Setting {
                value: Value::Paths(paths),
                ..
            }) => paths.clone(),
            _ => Vec::new(),
        }
    }

    fn set(&mut self, directive: &'static Directive, text: &str, place: Place) {
        let (value, remark) = match Value::parse(directive, text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.tell(Some(place), Problem::Value { directive, error });
                return;
            }
        };
        match remark {
            Some(Remark::Clamped(used)) => {
                self.tell(
                    Some(place.clone()),
                    Problem::OutOfRange {
                        directive,
                        text: text.to_owned(),
                        used,
                    },
                );
            }
            Some(Remark::OldTls) => {
                self.tell(
                    Some(place.clone()),
                    Problem::OldTls {
                        directive,
                        text: text.to_owned(),
                    },
                );
            }
            Some(Remark::NotRfc4291) => {
                self.tell(Some(place.clone()), Problem::NotRfc4291 { directive });
            }
            None => {}
        }
        let Some(setting) = self
            .configuration
            .settings
            .get_mut(&(directive.file, directive.name))
        else {
            return;
        };
        // A repeated directive collects what one file says; any other file begins anew.
        let value = match (&mut setting.value, value) {
            (Value::Texts(old), Value::Texts(new))
                if setting
                    .place
                    .as_ref()
                    .is_some_and(|old| old.path == place.path && old.line < place.line) =>
            {
                let mut texts = std::mem::take(old);
                texts.extend(new);
                Value::Texts(texts)
            }
            (_, value) => value,
        };
        *setting = Setting {
            value,
            text: text.to_owned(),
            place: Some(place),
        };
    }

    fn tell(&mut self, place: Option<Place>, problem: Problem) {
        self.diagnostics.push(Diagnostic { place, problem });
    }

    fn tell_unknown(&mut self, file: Option<File>, name: &str, place: Place) {
        let elsewhere: Vec<_> = directive::all()
            .filter(|directive| directive.name == name)
            .map(|directive| directive.file)
            .collect();
        let problem = if elsewhere.is_empty() {
            self.unknown_names += 1;
            let nearest = (self.unknown_names <= SUGGESTIONS_MAX).then(|| {
                file.and_then(|file| nearest_name(name, file.table().iter().copied()))
                    .or_else(|| nearest_name(name, directive::all()))
            });
            Problem::UnknownName {
                name: name.to_owned(),
                nearest: nearest.flatten(),
            }
        } else {
            Problem::WrongFile {
                name: name.to_owned(),
                belongs_into: elsewhere,
            }
        };
        self.tell(Some(place), problem);
    }

    fn tell_what_has_no_effect(&mut self) {
        let written: Vec<_> = self
            .configuration
            .settings()
            .filter(|(directive, _)| directive.effect != Effect::Effective)
            .filter_map(|(directive, setting)| Some((directive, setting.place.clone()?)))
            .collect();
        for (directive, place) in written {
            self.tell(Some(place), Problem::NoEffect { directive });
        }
    }
}

/// For how many unknown names the nearest known one is looked up: a file of another kind, read by mistake,
/// would otherwise take seconds.
const SUGGESTIONS_MAX: usize = 20;

/// The directive that names a service's search path.
const CONFIG_FILE_PATH: &str = "config_file_path";

#[cfg(test)]
#[path = "configuration_tests.rs"]
mod tests;
