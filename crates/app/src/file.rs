//! A TOML file as a layer: its keys are the flags' names, and nothing else.

use crate::failure::Failure;
use crate::flags::{CommandTable, Flag, Kind};
use crate::layers::{Layer, Source};

/// Reads the file called `name`.
///
/// # Errors
/// It can't be read or understood.
pub(crate) fn read(table: &CommandTable, name: &str) -> Result<Layer, Failure> {
    let text = std::fs::read_to_string(name);
    let text = text.map_err(|error| Failure::usage(format!("--config is {name:?}: {error}")))?;
    layer(table, name, &text)
}

/// What `text`, the content of the file called `name`, says.
///
/// # Errors
/// It is no TOML, or has keys that are no flags, or values of the wrong kind.
pub(crate) fn layer(table: &CommandTable, name: &str, text: &str) -> Result<Layer, Failure> {
    let document = text.parse::<toml::Table>();
    let document =
        document.map_err(|error| Failure::usage(format!("{name} is no TOML: {error}")))?;
    let mut layer = Layer::new(Source::File(name.to_owned()));
    for (key, value) in document {
        let flag = table
            .flag(&key)
            .filter(|flag| !flag.on_command_line_only && flag.name != "config")
            .ok_or_else(|| Failure::usage(unknown(table, name, &key)))?;
        let text = text_of(flag, &value)
            .ok_or_else(|| Failure::usage(wrong_kind(flag, name, value.type_str())))?;
        if !text.is_empty() || flag.kind == Kind::List {
            layer.put(flag.name, text);
        }
    }
    Ok(layer)
}

/// The value as a flag would have it.
fn text_of(flag: &Flag, value: &toml::Value) -> Option<String> {
    match (flag.kind, value) {
        (Kind::Switch, toml::Value::Boolean(truth)) => Some(truth.to_string()),
        (Kind::Value, toml::Value::Integer(number)) if is_number(flag) => Some(number.to_string()),
        (Kind::Value | Kind::List, toml::Value::String(text)) => Some(text.clone()),
        (Kind::List, toml::Value::Array(values)) => {
            let items: Option<Vec<&str>> = values.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

/// True for a setting that may stand in the file without quotes.
fn is_number(flag: &Flag) -> bool {
    ["NUMBER", "SIZE", "MS"].contains(&flag.value)
}

fn unknown(table: &CommandTable, name: &str, key: &str) -> String {
    let dashed = key.replace('_', "-").to_ascii_lowercase();
    let advice = match table.flag(&dashed) {
        Some(flag) if flag.name != key => format!("it is written {}", flag.name),
        Some(_) => "it belongs on the command line".to_owned(),
        None => format!("`quorate {} --help` lists the settings", table.name),
    };
    format!("{name} has the unknown key {key:?}: {advice}")
}

fn wrong_kind(flag: &Flag, name: &str, kind: &str) -> String {
    let wanted = match flag.kind {
        Kind::Switch => "true or false",
        Kind::Value if is_number(flag) => "a string or a number",
        Kind::Value | Kind::Word => "a string",
        Kind::List => "a string or an array of strings",
    };
    format!("{} in {name} is of the kind {kind}: it must be {wanted}", flag.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVE;

    fn refusal(text: &str) -> String {
        layer(SERVE, "q.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn values_become_what_a_flag_would_have() {
        let text = "id = \"n1\"\ntick-ms = 20\nbootstrap = true\njoin = [\"a:1\", \"b:2\"]\nhttp-host = \"x\"";
        let layer = layer(SERVE, "q.toml", text).unwrap();
        for (name, text) in [
            ("id", "n1"),
            ("tick-ms", "20"),
            ("bootstrap", "true"),
            ("join", "a:1,b:2"),
            ("http-host", "x"),
        ] {
            assert_eq!(layer.get(name), Some(text), "{name}");
        }
    }

    #[test]
    fn unknown_keys_are_errors_with_a_hint() {
        assert!(refusal("lisen = \"x\"").contains("unknown key \"lisen\""));
        assert!(refusal("data_dir = \"x\"").contains("it is written data-dir"));
        assert!(refusal("print-config = true").contains("belongs on the command line"));
        assert!(refusal("[serve]\nid = \"x\"").contains("unknown key \"serve\""));
    }

    #[test]
    fn values_of_the_wrong_kind_are_errors() {
        assert!(refusal("bootstrap = \"true\"").contains("must be true or false"));
        assert!(refusal("tick-ms = true").contains("must be a string or a number"));
        assert!(refusal("data-dir = 5").ends_with("it must be a string"));
        assert!(refusal("id = true").ends_with("it must be a string"));
        assert!(refusal("join = [1]").contains("array of strings"));
        assert!(refusal("id = ").contains("no TOML"));
    }
}
