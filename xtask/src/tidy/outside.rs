//! Nothing of the machine that a file was written on: its paths, its registries.

use super::Finding;
use super::tree::{Tree, is_recorded};

/// Absolute paths; in two halves, so that this file does not report itself.
const PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/ba", "sh_jobs"),
    concat!("/opt/whe", "els"),
];

/// Where packages come from is the business of whoever builds.
const HOSTS: &[&str] = &[
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("py", "pi.org"),
    concat!("files.python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("proxy.gol", "ang.org"),
    concat!("deb.deb", "ian.org"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| !is_recorded(path)) {
        for (index, line) in text.lines().enumerate() {
            let found = PATHS
                .iter()
                .filter(|word| has_absolute(line, word))
                .chain(HOSTS.iter().filter(|word| line.contains(**word)));
            for word in found {
                let message = format!("`{word}` is of this machine, not of the product");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

/// Whether the path starts at the root there, rather than being the end of a longer one.
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        let before = line.get(..start).and_then(|it| it.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_reported() {
        for word in PATHS.iter().chain(HOSTS) {
            let tree = Tree::of(&[("README.md", &format!("# T\nsee `{word}x`\n"))]);
            assert_eq!(check(&tree).len(), 1, "{word}");
        }
    }

    #[test]
    fn relative_paths_with_the_same_end_are_not() {
        let text = PATHS.iter().map(|path| format!("home{path}a ./{path}\n")).collect::<String>();
        assert_eq!(check(&Tree::of(&[("a.txt", &text)])), []);
    }
}
