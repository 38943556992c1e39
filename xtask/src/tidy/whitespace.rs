//! No white space at the end of a line: it is invisible, and diffs trip over it.

use super::Finding;
use super::tree::{Tree, extension, is_recorded};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        if is_recorded(path) || matches!(extension(path), "resp" | "patch" | "diff" | "snap") {
            continue;
        }
        for (index, line) in text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                findings.push(Finding::new(path, index + 1, "white space at the end of the line"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_is_reported() {
        let tree = Tree::of(&[("a.md", "x\ny \n"), ("b.rs", "x\r\n"), ("c", "\t")]);
        let lines: Vec<usize> = check(&tree).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 1, 1]);
    }

    #[test]
    fn recorded_bytes_are_left_alone() {
        let tree = Tree::of(&[("crates/resp/testscripts/a/b", "x \n"), ("a/b.resp", "x\r\n")]);
        assert_eq!(check(&tree), []);
    }
}
