//! Files are nouns: a name that could hold anything soon does.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{Tree, directories, file_name};

const BANNED: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, _) in tree.files() {
        let stem = file_name(path).split('.').next().unwrap_or_default();
        if BANNED.contains(&stem) {
            findings.push(Finding::new(path, 0, format!("`{stem}` names nothing: what is in it?")));
        }
        if let Some(directory) = directories(path).find(|it| BANNED.contains(it))
            && let Some((before, _)) = path.split_once(&format!("{directory}/"))
            && seen.insert((before, directory))
        {
            let message = format!("the directory `{directory}` names nothing: what is in it?");
            findings.push(Finding::new(&format!("{before}{directory}"), 0, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_file_names_are_reported() {
        for banned in BANNED {
            let path = format!("crates/node/src/{banned}.rs");
            assert_eq!(check(&Tree::of(&[(&path, "")])).len(), 1, "{banned}");
        }
        assert_eq!(check(&Tree::of(&[("src/file_manager.rs", ""), ("src/group.rs", "")])), []);
    }

    #[test]
    fn banned_directory_is_reported_once() {
        let findings = check(&Tree::of(&[("tests/common/a.rs", ""), ("tests/common/b.rs", "")]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "tests/common");
    }
}
