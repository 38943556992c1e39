//! How a command shows what it has found.

use std::io::{self, Write};

use serde_json::json;

use crate::failure::Failure;
use crate::flags::CommandTable;
use crate::layers::{Layer, Layers};
use crate::settings;

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// People.
    Table,
    /// Programs.
    Json,
}

/// What `--output` says.
///
/// # Errors
/// It is no format.
pub(crate) fn chosen(layers: &Layers) -> Result<Output, Failure> {
    let words = [("table", Output::Table), ("json", Output::Json)];
    let output = layers.parse("output", |text| settings::choice(text, &words))?;
    Ok(output.unwrap_or(Output::Table))
}

/// Standard output, and whether anything was written to it.
#[derive(Debug)]
pub(crate) struct Said<W> {
    inner: W,
    any: bool,
}

impl<W: Write> Said<W> {
    /// With nothing said so far.
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, any: false }
    }

    /// Says why the command failed, for a program that reads what it was promised as JSON: one value, whatever
    /// happens. What has said something already has said this, too.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn fail(&mut self, text: &str) -> io::Result<()> {
        if !self.any {
            writeln!(self, "{:#}", json!({ "error": text }))?;
        }
        self.flush()
    }
}

impl<W: Write> Write for Said<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.any = true;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Whether what the command says is for programs, its failure included. Where it is wrong, or the output is to be
/// a backup, it is not.
pub(crate) fn is_for_programs(table: &'static CommandTable, flags: &Layer) -> bool {
    if table.flag("output").is_none() || flags.get("file") == Some("-") {
        return false;
    }
    let Ok(env) = Layer::of_env(table, |name| std::env::var_os(name)) else { return false };
    matches!(chosen(&Layers::new(table, vec![flags.clone(), env])), Ok(Output::Json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_said_only_where_nothing_was() {
        let mut said = Said::new(Vec::new());
        said.fail("down").unwrap();
        let value: serde_json::Value = serde_json::from_slice(&said.inner).unwrap();
        assert_eq!(value, json!({ "error": "down" }));
        let mut said = Said::new(Vec::new());
        said.write_all(b"{}").unwrap();
        said.fail("down").unwrap();
        assert_eq!(said.inner, b"{}");
    }
}
