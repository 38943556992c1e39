//! Rules about files, words and links; each is a pure function over the tree, in a file of its own.

mod blobs;
mod commands;
mod flags;
mod headers;
mod leftovers;
mod links;
mod markdown;
mod names;
mod outside;
mod ratchet;
mod titles;
mod tree;
mod whitespace;

use std::fmt;

use crate::{Outcome, Verdict};
use tree::Tree;

/// Something that must be mended, and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// 0 when the file as a whole is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    ratchet::check,
    leftovers::check,
    names::check,
    headers::check,
    links::check,
    titles::check,
    blobs::check,
    whitespace::check,
    outside::check,
    flags::check,
    commands::check,
];

pub(crate) fn run() -> Outcome {
    let tree = Tree::of_checkout()?;
    let findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    for finding in &findings {
        eprintln!("{finding}");
    }
    println!("{}", ratchet::listing(&tree));
    println!("{}", commands::summary(&tree));
    println!("tidy: {} files, {} findings", tree.len(), findings.len());
    Ok(Verdict::passed_if(findings.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_prints_as_a_place_that_editors_open() {
        assert_eq!(Finding::new("src/lib.rs", 3, "bad").to_string(), "src/lib.rs:3: bad");
        assert_eq!(Finding::new("src/utils.rs", 0, "bad").to_string(), "src/utils.rs: bad");
    }
}
