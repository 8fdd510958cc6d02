//! Scenarios: small TOML files that say who connects, when, and what they do.
//!
//! The format is described for users in `loadgen/README.md`; the built-in ones in `scenarios/` are examples.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::record::OperationId;

/// The built-in scenarios: name and text.
const BUILT_IN: [(&str, &str); 19] = [
    ("deliver", include_str!("../scenarios/deliver.toml")),
    ("smtp", include_str!("../scenarios/smtp.toml")),
    ("fetch-all", include_str!("../scenarios/fetch-all.toml")),
    ("envelope", include_str!("../scenarios/envelope.toml")),
    ("append", include_str!("../scenarios/append.toml")),
    ("search", include_str!("../scenarios/search.toml")),
    ("store", include_str!("../scenarios/store.toml")),
    ("copy", include_str!("../scenarios/copy.toml")),
    ("move", include_str!("../scenarios/move.toml")),
    ("select", include_str!("../scenarios/select.toml")),
    ("logins", include_str!("../scenarios/logins.toml")),
    ("pop3-download", include_str!("../scenarios/pop3-download.toml")),
    (
        "idle-with-deliveries",
        include_str!("../scenarios/idle-with-deliveries.toml"),
    ),
    ("day-at-work", include_str!("../scenarios/day-at-work.toml")),
    (
        "sync-after-offline",
        include_str!("../scenarios/sync-after-offline.toml"),
    ),
    ("huge-mailbox", include_str!("../scenarios/huge-mailbox.toml")),
    ("many-tenants", include_str!("../scenarios/many-tenants.toml")),
    ("noop", include_str!("../scenarios/noop.toml")),
    ("commands", include_str!("../scenarios/commands.toml")),
];

/// The most operations a scenario may name: each costs a histogram a second.
const MAX_OPERATIONS: usize = 1000;

/// What a scenario file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// One line for `--help` and reports.
    pub(crate) description: String,
    /// Connections unless `--connections` says otherwise.
    #[serde(default = "one")]
    pub(crate) connections: u64,
    /// Mailboxes unless `--mailboxes` says otherwise.
    #[serde(default = "one")]
    pub(crate) mailboxes: u64,
    /// Arrivals a second unless `--rate` says otherwise.
    #[serde(default = "default_rate")]
    pub(crate) rate: f64,
    /// Seconds unless `--duration` or `--count` says otherwise.
    #[serde(default = "default_duration")]
    pub(crate) duration: f64,
    /// Values for `${name}` in this file, which `--set name=value` changes.
    #[serde(default, rename = "set")]
    _set: BTreeMap<String, toml::Value>,
    #[serde(rename = "group")]
    pub(crate) groups: Vec<Group>,
    /// The names of all operations, in the order of their numbers.
    #[serde(skip)]
    pub(crate) operations: Vec<String>,
}

/// Connections that do alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) protocol: Protocol,
    /// So many connections, whatever `--connections` says.
    pub(crate) connections: Option<u64>,
    /// Or this part of them.
    #[serde(default = "whole")]
    pub(crate) share: f64,
    /// When its connections act.
    #[serde(default)]
    pub(crate) pace: Pace,
    /// Of the arrivals, this part is this group's.
    #[serde(default = "whole")]
    pub(crate) rate_share: f64,
    /// Seconds between two actions of a connection, in the mean: `pace = "think"`.
    #[serde(default = "default_think")]
    pub(crate) think_s: f64,
    /// Whose mailbox is next.
    #[serde(default)]
    pub(crate) mailbox: Choice,
    /// The exponent of Zipf's law.
    #[serde(default = "whole")]
    pub(crate) zipf: f64,
    /// Connects for each arrival, and disconnects after it.
    #[serde(default)]
    pub(crate) visit: bool,
    /// The name under which connecting and logging in is measured.
    login: Option<String>,
    /// The name under which all of an arrival is measured.
    whole: Option<String>,
    /// Leaves the group out where its protocol's server was not given.
    #[serde(default)]
    pub(crate) optional: bool,
    /// After the login, not measured.
    #[serde(default)]
    pub(crate) setup: Vec<Step>,
    /// What an arrival does.
    #[serde(default)]
    steps: Vec<Step>,
    /// Or one of these, by weight.
    #[serde(default, rename = "activity")]
    pub(crate) activities: Vec<Activity>,
    #[serde(skip)]
    pub(crate) login_operation: Option<OperationId>,
    #[serde(skip)]
    pub(crate) whole_operation: Option<OperationId>,
}

/// One of several things that an arrival may do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activity {
    #[serde(default = "whole")]
    pub(crate) weight: f64,
    pub(crate) steps: Vec<Step>,
}

/// One request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// What it is measured as; by default, what it does.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(crate) name: Option<String>,
    #[serde(rename = "do")]
    action: Option<String>,
    /// An IMAP command without its tag.
    pub(crate) command: Option<String>,
    /// A regular expression that the response must match.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(crate) expect: Option<String>,
    /// How many messages the response must be about: `all`, `named` or a number.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(crate) messages: Option<String>,
    /// Compare the content of messages with what was generated.
    #[serde(default)]
    pub(crate) verify: bool,
    /// A mailbox's name, for the actions that have one.
    pub(crate) mailbox: Option<String>,
    /// `idle` is begun anew after so many seconds.
    #[serde(default = "default_renewal")]
    pub(crate) renew_s: f64,
    /// Set to false, it is done but not measured.
    #[serde(default = "yes")]
    measured: bool,
    #[serde(skip)]
    pub(crate) operation: Option<OperationId>,
}

/// The protocols of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Lmtp,
    Smtp,
    Imap,
    Pop3,
}

/// When connections act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pace {
    /// At the arrivals of a Poisson process, whether or not the last was answered.
    #[default]
    Open,
    /// At arrivals of equal distance.
    Steady,
    /// Each connection at its own, a think time apart.
    Think,
    /// When the last was answered.
    Closed,
    /// Never: it listens.
    Listen,
}

/// Whose mailbox is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// One after the other.
    #[default]
    Turn,
    Random,
    /// By Zipf's law: few have most of the traffic.
    Zipf,
    /// Those that connections of a `listen` group watch.
    Watched,
}

impl Step {
    /// What it does.
    pub(crate) fn action(&self) -> &str {
        match (&self.action, &self.command) {
            (Some(action), _) => action,
            (None, Some(_)) => "command",
            (None, None) => "nothing",
        }
    }

    fn display_name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match &self.command {
            None => self.action().to_owned(),
            Some(command) => command
                .split_ascii_whitespace()
                .filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()))
                .take(3)
                .collect::<Vec<_>>()
                .join("-")
                .to_ascii_lowercase(),
        }
    }
}

/// The names and descriptions of the built-in scenarios.
pub(crate) fn built_in() -> impl Iterator<Item = (&'static str, String)> {
    BUILT_IN.iter().map(|(name, text)| {
        let description = text
            .lines()
            .find_map(|line| line.strip_prefix("description = "))
            .unwrap_or_default();
        (*name, description.trim_matches('"').to_owned())
    })
}

/// The text of a built-in scenario or a file.
pub(crate) fn text(name: &str) -> Result<String> {
    match BUILT_IN.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => Ok((*text).to_owned()),
        None if Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "toml") =>
        {
            std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))
        }
        None => bail!(
            "there is no scenario {name}; built in are {}, and a path must end with .toml",
            BUILT_IN.map(|(name, _)| name).join(", ")
        ),
    }
}

/// Loads a scenario with the values that `--set` gave.
pub(crate) fn load(name: &str, settings: &[(String, String)]) -> Result<Scenario> {
    parse(&text(name)?, settings).with_context(|| format!("scenario {name}"))
}

fn parse(text: &str, settings: &[(String, String)]) -> Result<Scenario> {
    let mut table: toml::Table = text.parse()?;
    let mut values = BTreeMap::new();
    if let Some(toml::Value::Table(set)) = table.get("set") {
        for (key, value) in set {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            values.insert(key.clone(), value);
        }
    }
    // Steps given as commands replace those of the scenario `commands`, in their order.
    let mut commands = Vec::new();
    for (key, value) in settings {
        ensure!(
            values.contains_key(key),
            "--set {key}: this scenario has {}",
            if values.is_empty() {
                "nothing to set".to_owned()
            } else {
                values.keys().cloned().collect::<Vec<_>>().join(", ")
            }
        );
        if key == "command" {
            commands.push(value.clone());
        } else {
            values.insert(key.clone(), value.clone());
        }
    }
    if let Some(command) = values.get("command") {
        if commands.is_empty() {
            commands.push(command.clone());
        }
        give_commands(&mut table, &commands);
    }
    for (_, value) in &mut table {
        substitute(value, &values)?;
    }
    let mut scenario: Scenario = table.try_into()?;
    scenario.check()?;
    Ok(scenario)
}

/// Repeats the one step of a scenario with `${command}` for each command given.
fn give_commands(table: &mut toml::Table, commands: &[String]) {
    let groups = table.get_mut("group").and_then(toml::Value::as_array_mut);
    for group in groups.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        let Some(steps) = group.get_mut("steps").and_then(toml::Value::as_array_mut) else {
            continue;
        };
        let is_template =
            |step: &toml::Value| step.get("command").and_then(toml::Value::as_str) == Some("${command}");
        let Some(place) = steps.iter().position(is_template) else {
            continue;
        };
        let template = steps.remove(place);
        for command in commands.iter().rev() {
            let mut step = template.clone();
            if let Some(step) = step.as_table_mut() {
                step.insert("command".to_owned(), toml::Value::String(command.clone()));
            }
            steps.insert(place, step);
        }
    }
}

/// Replaces `${name}` in all strings; a string that is nothing else becomes what its value looks like. Empty values
/// leave their key out.
fn substitute(value: &mut toml::Value, values: &BTreeMap<String, String>) -> Result<()> {
    match value {
        toml::Value::Table(table) => {
            let mut left_out = Vec::new();
            for (key, value) in table.iter_mut() {
                substitute(value, values)?;
                if value.as_str() == Some("") {
                    left_out.push(key.clone());
                }
            }
            for key in left_out {
                table.remove(&key);
            }
        }
        toml::Value::Array(array) => {
            for value in array {
                substitute(value, values)?;
            }
        }
        toml::Value::String(text) => {
            let Some(first) = text.find("${") else {
                return Ok(());
            };
            let whole = first == 0 && text.find('}') == Some(text.len() - 1);
            let mut done = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("${") {
                let (name, after) = after
                    .split_once('}')
                    .ok_or_else(|| anyhow!("`${{` without `}}` in {text}"))?;
                done.push_str(before);
                done.push_str(
                    values
                        .get(name)
                        .ok_or_else(|| anyhow!("${{{name}}} is not in [set]"))?,
                );
                rest = after;
            }
            done.push_str(rest);
            *value = match (
                whole,
                done.parse::<i64>(),
                done.parse::<f64>(),
                done.parse::<bool>(),
            ) {
                (true, Ok(number), ..) => toml::Value::Integer(number),
                (true, _, Ok(number), _) => toml::Value::Float(number),
                (true, _, _, Ok(flag)) => toml::Value::Boolean(flag),
                _ => toml::Value::String(done),
            };
        }
        _ => {}
    }
    Ok(())
}

impl Scenario {
    /// Checks what the types do not, and gives the operations their numbers.
    fn check(&mut self) -> Result<()> {
        ensure!(!self.groups.is_empty(), "there is no [[group]]");
        ensure!(
            self.connections > 0 && self.mailboxes > 0,
            "connections and mailboxes must not be 0"
        );
        ensure!(
            self.rate > 0.0 && self.duration > 0.0,
            "rate and duration must be above 0"
        );
        let mut operations: Vec<String> = Vec::new();
        let mut number_of = |name: &str| {
            let found = operations.iter().position(|known| known == name);
            OperationId(found.unwrap_or_else(|| {
                operations.push(name.to_owned());
                operations.len() - 1
            }) as u16)
        };
        for group in &mut self.groups {
            let steps = std::mem::take(&mut group.steps);
            if !steps.is_empty() {
                group.activities.push(Activity { weight: 1.0, steps });
            }
            ensure!(
                group.pace == Pace::Listen || !group.activities.is_empty() || group.login.is_some(),
                "a group has no steps"
            );
            ensure!(
                group.activities.iter().all(|activity| activity.weight > 0.0),
                "weights must be above 0"
            );
            ensure!(
                !(group.visit && (group.pace == Pace::Listen || !group.setup.is_empty())),
                "a visit has steps only, no setup, and doesn't listen"
            );
            ensure!(group.think_s > 0.0 && group.share > 0.0 && group.rate_share > 0.0);
            group.login_operation = group.login.as_deref().map(&mut number_of);
            group.whole_operation = group.whole.as_deref().map(&mut number_of);
            for step in &mut group.setup {
                step.operation = (step.action() == "idle").then(|| number_of(&step.display_name()));
            }
            for step in group
                .activities
                .iter_mut()
                .flat_map(|activity| &mut activity.steps)
            {
                step.operation = step.measured.then(|| number_of(&step.display_name()));
            }
        }
        ensure!(
            operations
                .iter()
                .all(|name| !name.contains([' ', ',', '\r', '\n'])),
            "names of operations have no blanks and commas"
        );
        ensure!(
            operations.len() <= MAX_OPERATIONS,
            "more than {MAX_OPERATIONS} operations"
        );
        self.operations = operations;
        Ok(())
    }
}

fn one() -> u64 {
    1
}

fn whole() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

fn default_rate() -> f64 {
    10.0
}

fn default_duration() -> f64 {
    10.0
}

fn default_renewal() -> f64 {
    1500.0
}

fn default_think() -> f64 {
    30.0
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn every_built_in_scenario_is_sound_and_described() {
        for (name, description) in built_in() {
            let scenario = load(name, &[]).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(
                !description.is_empty() && !scenario.description.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn commands_become_steps_with_names_of_their_own() {
        let scenario = load(
            "commands",
            &set(&[
                ("command", "UID SEARCH SUBJECT \"a b\""),
                ("command", "UID THREAD REFERENCES UTF-8 ALL"),
                ("select", "Archive"),
                ("expect", r"^\* "),
            ]),
        )
        .unwrap();
        let steps = &scenario.groups[0].activities[0].steps;
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].command.as_deref(), Some("UID SEARCH SUBJECT \"a b\""));
        assert_eq!(steps[0].expect.as_deref(), Some(r"^\* "));
        assert_eq!(scenario.groups[0].setup[0].mailbox.as_deref(), Some("Archive"));
        assert_eq!(
            scenario.operations,
            ["uid-search-subject", "uid-thread-references"]
        );
    }

    #[test]
    fn unknown_settings_and_keys_are_refused() {
        assert!(load("noop", &set(&[("colour", "red")])).is_err());
        assert!(load("nonsense", &[]).is_err());
        let text =
            "description = 'x'\n[[group]]\nprotocol = 'imap'\nsteps = [{ do = 'noop', colour = 'red' }]";
        assert!(parse(text, &[]).is_err());
        let text = "description = 'x'\n[[group]]\nprotocol = 'imap'\nsteps = [{ command = '${no}' }]";
        assert!(parse(text, &[]).is_err());
    }

    #[test]
    fn values_take_their_place_as_what_they_look_like() {
        let text = "description = 'x'\n[set]\nthink = 5\nword = 'a'\n[[group]]\nprotocol = 'imap'\n\
                    think_s = '${think}'\nsteps = [{ command = 'X ${word}', messages = 3, expect = '' }]";
        let scenario = parse(text, &set(&[("think", "0.5")])).unwrap();
        let group = &scenario.groups[0];
        assert!((group.think_s - 0.5).abs() < 1e-9);
        let step = &group.activities[0].steps[0];
        assert_eq!(step.command.as_deref(), Some("X a"));
        assert_eq!(
            (step.messages.as_deref(), step.expect.as_deref()),
            (Some("3"), None)
        );
    }
}
