//! Every .rs file starts with a sentence that says what this room is.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_with(&["rs"]) {
        let paragraph: Vec<&str> = text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        if paragraph.is_empty() {
            findings.push(Finding::new(
                path,
                1,
                "starts without a `//!` sentence: what is this room?",
            ));
        } else if !paragraph.iter().any(|line| ends_a_sentence(line)) {
            findings.push(Finding::new(
                path,
                1,
                "the first `//!` paragraph is no sentence: it has no full stop",
            ));
        }
    }
    findings
}

/// Whether a sentence ends somewhere in the line: at its end, or before a next sentence.
fn ends_a_sentence(line: &str) -> bool {
    line.ends_with(['.', '!', '?', ':']) || line.contains(". ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(text: &str) -> usize {
        check(&Tree::of(&[("src/a.rs", text)])).len()
    }

    #[test]
    fn absent_or_late_header_is_reported() {
        assert_eq!(findings_of("fn f() {}\n"), 1);
        assert_eq!(findings_of("use a;\n//! Late.\n"), 1);
        assert_eq!(findings_of("// No doc.\n"), 1);
        assert_eq!(findings_of(""), 1);
        assert_eq!(findings_of("//!\n//! After a gap.\n"), 1);
    }

    #[test]
    fn header_that_is_no_sentence_is_reported() {
        assert_eq!(findings_of("//! TCP stuff\n"), 1);
    }

    #[test]
    fn sentence_may_span_lines() {
        assert_eq!(findings_of("//! One\n//! sentence.\n//!\n//! More\n"), 0);
        assert_eq!(findings_of("//! A sentence. With more\n"), 0);
    }
}
