//! Raw settings: what flags, environment, file and defaults say, as text, and who wins.
//!
//! The first of two stages; nothing is judged here but the words for true and false. The second is
//! `settings.rs`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::failure::Failure;
use crate::flags::{CommandTable, Kind};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Env,
    /// A file of this name.
    File(String),
    /// Nobody has said anything.
    Default,
}

/// What one source says.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    source: Source,
    values: BTreeMap<&'static str, String>,
}

impl Layer {
    /// A source that says nothing.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, values: BTreeMap::new() }
    }

    /// Says something.
    pub(crate) fn put(&mut self, name: &'static str, text: impl Into<String>) {
        drop(self.values.insert(name, text.into()));
    }

    /// What it says.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What the environment says. An empty variable says nothing: many tools can't leave one out.
    ///
    /// # Errors
    /// A variable is not UTF-8.
    pub(crate) fn of_env(
        table: &CommandTable,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let mut layer = Self::new(Source::Env);
        for flag in table.flags().filter(|flag| !flag.on_command_line_only) {
            let name = table.env(flag);
            let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
            let text = value.into_string();
            layer.put(flag.name, text.map_err(|_| Failure::usage(format!("{name} is not UTF-8")))?);
        }
        Ok(layer)
    }

    /// What is so when nobody says anything.
    pub(crate) fn of_defaults(table: &CommandTable) -> Self {
        let mut layer = Self::new(Source::Default);
        for flag in table.flags().filter(|flag| !flag.default.is_empty()) {
            layer.put(flag.name, flag.default);
        }
        layer
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given<'a> {
    /// The value.
    pub(crate) text: &'a str,
    /// Who says so.
    pub(crate) source: &'a Source,
    /// How to name the setting to whoever gave it.
    pub(crate) place: String,
}

/// All sources, the one that wins first.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Whose flags these are.
    pub(crate) table: &'static CommandTable,
    layers: Vec<Layer>,
}

impl Layers {
    /// Of these sources, the one that wins first.
    pub(crate) fn new(table: &'static CommandTable, layers: Vec<Layer>) -> Self {
        Self { table, layers }
    }

    /// The value of `name` from the source that wins.
    pub(crate) fn get(&self, name: &str) -> Option<Given<'_>> {
        self.layers.iter().find_map(|layer| self.given(layer, name))
    }

    /// The values of `names` from the highest source that has any of them: settings that exclude each
    /// other win and lose together.
    pub(crate) fn get_together<const N: usize>(&self, names: [&str; N]) -> [Option<Given<'_>>; N] {
        let has_any = |layer: &&Layer| names.iter().any(|name| layer.get(name).is_some());
        let winner = self.layers.iter().find(has_any);
        names.map(|name| winner.and_then(|layer| self.given(layer, name)))
    }

    fn given<'a>(&self, layer: &'a Layer, name: &str) -> Option<Given<'a>> {
        let text = layer.get(name)?;
        let place = match (&layer.source, self.table.flag(name)) {
            (Source::Env, Some(flag)) => self.table.env(flag),
            (Source::File(file), _) => format!("{name} in {file}"),
            // It has no name on the command line.
            (_, Some(flag)) if flag.kind == Kind::Word => flag.value.to_owned(),
            _ => format!("--{name}"),
        };
        Some(Given { text, source: &layer.source, place })
    }

    /// The value of `name`, parsed; `None` when nobody gives one.
    ///
    /// # Errors
    /// `parse` refuses it, with what it must be.
    pub(crate) fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        self.get(name).map(|given| given.parse(parse)).transpose()
    }

    /// As [`Layers::parse`], for a setting that must be there.
    ///
    /// # Errors
    /// It is not, or `parse` refuses it.
    pub(crate) fn require<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
        advice: &str,
    ) -> Result<T, Failure> {
        let missing = || Failure::usage(format!("--{name} is missing: {advice}"));
        self.parse(name, parse)?.ok_or_else(missing)
    }

    /// Whether a switch is on.
    ///
    /// # Errors
    /// It says neither yes nor no.
    pub(crate) fn is_on(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.parse(name, truth)?.unwrap_or_default())
    }

    /// The settings in force, as a file that could be given with `--config`.
    pub(crate) fn as_toml(&self) -> String {
        let mut text = String::new();
        let flags = self.table.flags().filter(|flag| !flag.on_command_line_only);
        for flag in flags.filter(|flag| flag.name != "config") {
            let Some(given) = self.get(flag.name) else {
                text.push_str(&format!("# {} is not set\n", flag.name));
                continue;
            };
            let value = match flag.kind {
                Kind::Switch => truth(given.text).unwrap_or_default().to_string(),
                Kind::Value | Kind::Word => quoted(given.text),
                Kind::List => {
                    let items: Vec<String> = items(given.text).map(quoted).collect();
                    format!("[{}]", items.join(", "))
                }
            };
            let origin = match given.source {
                Source::Flag | Source::Env => given.place,
                Source::File(file) => file.clone(),
                Source::Default => "default".to_owned(),
            };
            text.push_str(&format!("{} = {value} # {origin}\n", flag.name));
        }
        text
    }
}

impl Given<'_> {
    /// The value, parsed.
    ///
    /// # Errors
    /// `parse` refuses it, with what it must be.
    pub(crate) fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        parse(self.text).map_err(|advice| self.refused(&advice))
    }

    /// Why this value can't be.
    pub(crate) fn refused(&self, advice: &str) -> Failure {
        Failure::usage(format!("{} is {:?}: {advice}", self.place, self.text))
    }
}

/// The items of a list.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// True or false, as people write it in environments.
pub(crate) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

fn quoted(text: &str) -> String {
    match text.parse::<u32>() {
        Ok(number) => number.to_string(),
        Err(_) => toml::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVE;

    fn layer(source: Source, values: &[(&'static str, &str)]) -> Layer {
        let mut layer = Layer::new(source);
        for (name, text) in values {
            layer.put(name, *text);
        }
        layer
    }

    #[test]
    fn the_environment_is_read_by_the_flags_names() {
        let layer = Layer::of_env(SERVE, |name| match name {
            "QUORATE_TICK_MS" => Some("7".into()),
            "QUORATE_JOIN" => Some(OsString::new()),
            "QUORATE_PRINT_CONFIG" => Some("true".into()),
            _ => None,
        });
        let layer = layer.unwrap();
        assert_eq!(layer.get("tick-ms"), Some("7"));
        assert_eq!(layer.get("join"), None, "an empty variable says nothing");
        assert_eq!(layer.get("print-config"), None, "only the command line asks for that");
    }

    #[test]
    fn the_first_layer_that_says_something_wins() {
        let layers = Layers::new(
            SERVE,
            vec![
                layer(Source::Flag, &[("id", "flag")]),
                layer(Source::Env, &[("id", "env"), ("listen", "env:1")]),
                layer(Source::File("q.toml".to_owned()), &[("listen", "file:1"), ("tick-ms", "9")]),
                Layer::of_defaults(SERVE),
            ],
        );
        let place = |name| layers.get(name).map(|given| (given.text.to_owned(), given.place));
        let expected = |text: &str, place: &str| Some((text.to_owned(), place.to_owned()));
        assert_eq!(place("id"), expected("flag", "--id"));
        assert_eq!(place("listen"), expected("env:1", "QUORATE_LISTEN"));
        assert_eq!(place("tick-ms"), expected("9", "tick-ms in q.toml"));
        assert_eq!(place("log-level"), expected("info", "--log-level"));
        assert_eq!(place("advertise"), None);
    }

    #[test]
    fn settings_that_exclude_each_other_come_from_one_layer() {
        let layers = Layers::new(
            SERVE,
            vec![
                layer(Source::Flag, &[("join", "a:1")]),
                layer(Source::File("q.toml".to_owned()), &[("bootstrap", "true")]),
            ],
        );
        let [bootstrap, join] = layers.get_together(["bootstrap", "join"]);
        assert_eq!(bootstrap, None);
        assert_eq!(join.unwrap().text, "a:1");
    }

    #[test]
    fn a_printed_configuration_reads_back_as_the_same() {
        let layers = Layers::new(
            SERVE,
            vec![
                layer(Source::Flag, &[("id", "n\"1"), ("join", "a:1, b:2"), ("insecure", "yes")]),
                Layer::of_defaults(SERVE),
            ],
        );
        let text = layers.as_toml();
        assert!(text.contains("listen = \"127.0.0.1:7400\" # default\n"), "{text}");
        assert!(text.contains("# advertise is not set\n"), "{text}");
        let read = crate::file::layer(SERVE, "q.toml", &text).unwrap();
        assert_eq!(read.get("id"), Some("n\"1"));
        assert_eq!(read.get("join"), Some("a:1,b:2"));
        assert_eq!(read.get("insecure"), Some("true"));
        assert_eq!(read.get("tick-ms"), Some("30"));
    }
}
