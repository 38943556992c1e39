//! How a command shows what it has found.

use crate::failure::Failure;
use crate::layers::Layers;
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
