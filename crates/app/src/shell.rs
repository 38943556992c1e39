//! `quorate completions` and `quorate man`: made of the same tables as the parser and the help.

use std::io::Write;
use std::path::Path;

use clap::ValueEnum as _;
use clap_complete::Shell;

use crate::cli::{self, Use};
use crate::failure::Failure;
use crate::flags::{COMPLETIONS, MAN};
use crate::layers::{Layer, Layers};

/// `quorate completions`.
///
/// # Errors
/// There is no such shell.
pub(crate) fn completions(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let layers = Layers::new(COMPLETIONS, vec![flags]);
    let known = || {
        let names: Vec<_> = Shell::value_variants().iter().map(Shell::to_string).collect();
        format!("it must be {}", names.join(" or "))
    };
    let parse = |text: &str| text.parse::<Shell>().map_err(|_| known());
    let shell = layers.require("shell", parse, "name a shell")?;
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli::tree(Use::Complete), "quorate", &mut text);
    Ok(out.write_all(&text)?)
}

/// `quorate man`.
///
/// # Errors
/// A page can't be written.
pub(crate) fn man(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let layers = Layers::new(MAN, vec![flags]);
    let text = |text: &str| Ok::<_, String>(text.to_owned());
    let dir = layers.require("dir", text, "say where the pages go")?;
    if dir == "-" {
        return Ok(clap_mangen::Man::new(cli::tree(Use::Read)).render(out)?);
    }
    let failed = |error: std::io::Error| Failure::other(format!("{dir}: {error}"));
    std::fs::create_dir_all(&dir).map_err(failed)?;
    clap_mangen::generate_to(cli::tree(Use::Read), Path::new(&dir)).map_err(failed)?;
    Ok(writeln!(out, "the pages are in {dir}")?)
}
