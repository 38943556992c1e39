//! Marks of unfinished work: they belong into an issue, not into the tree.

use super::Finding;
use super::tree::{Tree, is_recorded};

/// In two halves, so that this file does not report itself.
const MARKS: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
];

const EXTENSIONS: &[&str] = &["rs", "toml", "sh", "py", "js", "css", "html", "yml", "md"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_with(EXTENSIONS).filter(|(path, _)| !is_recorded(path)) {
        for (index, line) in text.lines().enumerate() {
            for mark in MARKS.iter().filter(|mark| has_word(line, mark)) {
                findings.push(Finding::new(path, index + 1, format!("`{mark}` left")));
            }
        }
    }
    findings
}

/// Whether `word` is there with nothing of a word directly before or behind it.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|it| it.chars().next_back());
        let after = line.get(start + word.len()..).and_then(|it| it.chars().next());
        // What ends in a mark of its own (`!`) can't go on as a word.
        let goes_on = word.ends_with(is_word) && after.is_some_and(is_word);
        !before.is_some_and(is_word) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_reported() {
        for mark in MARKS {
            let tree = Tree::of(&[("src/a.rs", &format!("fn f() {{}}\n// {mark}: later\n"))]);
            assert_eq!(check(&tree), [Finding::new("src/a.rs", 2, format!("`{mark}` left"))]);
        }
    }

    #[test]
    fn parts_of_words_and_recorded_bytes_are_not() {
        let marked = format!("SET key {}\n", MARKS[1]);
        let tree =
            Tree::of(&[("src/a.rs", "// TEXXXT HACKNEY\n"), ("x/testscripts/set.md", &marked)]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("a get b", "get") && has_word("get", "get") && has_word("`get`", "get"));
        assert!(
            !has_word("getset", "get") && !has_word("mget", "get") && !has_word("get_x", "get")
        );
        assert!(has_word("mget get", "get"));
    }
}
