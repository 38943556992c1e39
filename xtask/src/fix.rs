//! What a machine can mend: clippy's own suggestions, formatting, generated parts of the docs.

use crate::command::CommandLine;
use crate::{Outcome, Verdict, generated};

pub(crate) fn run() -> Outcome {
    let mut verdict = Verdict::Passed;
    // Order matters: clippy's edits may need formatting.
    for line in [
        "cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets",
        "cargo fmt --all",
    ] {
        let line = CommandLine::new(line);
        println!("$ {line}");
        if line.run()? == Verdict::Failed {
            verdict = Verdict::Failed;
        }
    }
    for path in generated::write_all()? {
        println!("wrote {path}");
    }
    Ok(verdict)
}
