//! Whoever uses the library has no flags: only the binary names them.

use super::Finding;
use super::tree::Tree;

/// Rooms that speak to programs as well as to operators. What describes the binary may say so.
fn is_below_the_binary(path: &str) -> bool {
    let is_code = path.starts_with("src/")
        || path.split_once("/src/").is_some_and(|(room, _)| room.starts_with("crates/"));
    // Both have a command line of their own.
    let is_binary = ["crates/app/", "crates/sim/"].iter().any(|room| path.starts_with(room));
    is_code && !is_binary && !path.ends_with("/documentation.rs")
}

/// A flag in a text; within a whole command of the binary it is one of that command.
fn has_flag(line: &str) -> bool {
    let is_flag = |(start, _)| {
        let before = line.get(..start).and_then(|it| it.chars().next_back());
        let after = line.get(start + 2..).and_then(|it| it.chars().next());
        before.is_some_and(|c| matches!(c, ' ' | '"' | '(' | '`'))
            && after.is_some_and(|c| c.is_ascii_lowercase())
    };
    line.match_indices("--").any(is_flag) && !line.contains("quorate ")
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_with(&["rs"]).filter(|(path, _)| is_below_the_binary(path)) {
        let lines = text.lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if has_flag(line) {
                let message = "a flag of the binary in what programs are told, too";
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, line: &str) -> usize {
        check(&Tree::of(&[(path, &format!("{line}\n"))])).len()
    }

    #[test]
    fn a_flag_below_the_binary_is_reported() {
        for line in ["\"give another --id\",", "\"--join it\"", "(see --secret-file)", "`--x`"] {
            assert_eq!(found("crates/node/src/a.rs", line), 1, "{line}");
            assert_eq!(found("src/a.rs", line), 1, "{line}");
            assert_eq!(found("crates/app/src/a.rs", line), 0, "{line}");
        }
    }

    #[test]
    fn comments_whole_commands_and_dashes_are_not() {
        for line in ["// --id", "\"quorate recover --yes\"", "a - -b", "\"a--b\"", "x --> y", "--1"]
        {
            assert_eq!(found("src/a.rs", line), 0, "{line}");
        }
    }
}
