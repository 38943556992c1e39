//! Relative links in markdown lead to files of this tree, their anchors to headings, lines or symbols there.
//!
//! A link whose text is code and whose target is a .rs file, such as `Group::propose` to group.rs, names a
//! symbol: its last part must be in that file. That keeps the tour of the house true.

use super::Finding;
use super::leftovers::has_word;
use super::markdown::{Link, anchors, links};
use super::tree::{Tree, extension};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_with(&["md"]) {
        for link in links(text) {
            if let Err(message) = check_link(tree, path, &link) {
                findings.push(Finding::new(
                    path,
                    link.line,
                    format!("link to `{}`: {message}", link.target),
                ));
            }
        }
    }
    findings
}

fn check_link(tree: &Tree, from: &str, link: &Link) -> Result<(), String> {
    if link.target.is_empty() {
        return Err("it has no target".to_owned());
    }
    if leads_outside(&link.target) {
        return Ok(());
    }
    let (target, anchor) = match link.target.split_once('#') {
        Some((target, anchor)) => (target, Some(anchor)),
        None => (link.target.as_str(), None),
    };
    let path = if target.is_empty() { Some(from.to_owned()) } else { resolve(from, target) };
    let path = path.ok_or("it leads out of the tree")?;
    if !tree.has(&path) {
        return Err(format!("no file {path}"));
    }
    let text = tree.text(&path).unwrap_or_default();
    if let Some(anchor) = anchor {
        check_anchor(&path, text, anchor)?;
    }
    match symbol(&link.text) {
        Some(symbol) if extension(&path) == "rs" && !has_word(text, symbol) => {
            Err(format!("`{symbol}` is not in {path}"))
        }
        _ => Ok(()),
    }
}

fn check_anchor(path: &str, text: &str, anchor: &str) -> Result<(), String> {
    let known = match extension(path) {
        "md" => anchors(text).contains(anchor),
        // `L12` or `L12-L20`, as GitHub has it.
        _ => anchor
            .split('-')
            .map(|it| it.strip_prefix('L').and_then(|line| line.parse::<usize>().ok()))
            .all(|line| line.is_some_and(|line| (1..=text.lines().count()).contains(&line))),
    };
    if known { Ok(()) } else { Err(format!("no `#{anchor}` in {path}")) }
}

/// Whether the target has a scheme (`https:`, `mailto:`) or a host.
fn leads_outside(target: &str) -> bool {
    let scheme = target.split(':').next().filter(|it| it.len() < target.len()).unwrap_or_default();
    let is_scheme = !scheme.is_empty()
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme || target.starts_with("//")
}

/// The path that `target` means in the file `from`; `None` when it is above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from
            .rsplit_once('/')
            .map_or_else(Vec::new, |(directory, _)| directory.split('/').collect()),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The last part of a path such as `` `Group::propose()` ``; `None` for any other text.
fn symbol(text: &str) -> Option<&str> {
    let path = text.strip_prefix('`')?.strip_suffix('`')?.trim_end_matches("()");
    let symbol = path.rsplit("::").next()?;
    let is_name = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_alphanumeric() || c == '_');
    (path.split("::").all(is_name)).then_some(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(link: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("README.md", "# Quorate\n\n## How to start\n"),
            ("docs/TOUR.md", &format!("# Tour\n\n{link}\n")),
            ("crates/node/src/group.rs", "//! A group.\nfn propose() {}\n"),
        ]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn dead_links_are_reported() {
        assert_eq!(
            findings_of("[x](GONE.md)"),
            ["docs/TOUR.md:3: link to `GONE.md`: no file docs/GONE.md"]
        );
        assert_eq!(findings_of("[x](../../issues)").len(), 1);
        assert_eq!(findings_of("[x]()").len(), 1);
        assert_eq!(findings_of("<img src=\"film.gif\">").len(), 1);
    }

    #[test]
    fn dead_anchors_are_reported() {
        assert_eq!(
            findings_of("[x](../README.md#how-to-stop)"),
            ["docs/TOUR.md:3: link to `../README.md#how-to-stop`: no `#how-to-stop` in README.md"]
        );
        assert_eq!(findings_of("[x](#nowhere)").len(), 1);
        assert_eq!(findings_of("[x](../crates/node/src/group.rs#L9)").len(), 1);
    }

    #[test]
    fn symbols_that_are_gone_are_reported() {
        let findings = findings_of("[`Group::withdraw`](../crates/node/src/group.rs)");
        assert_eq!(findings.len(), 1);
        assert!(findings[0].ends_with("`withdraw` is not in crates/node/src/group.rs"));
    }

    #[test]
    fn live_links_are_not_reported() {
        for link in [
            "[x](../README.md#how-to-start)",
            "[x](/README.md)",
            "[x](#tour)",
            "[x](../crates/node)",
            "[x](https://raft.github.io/#a) [y](mailto:a@b.c)",
            "[`Group::propose()`](../crates/node/src/group.rs#L1-L2)",
            "[`node/group`](../crates/node/src/group.rs)",
        ] {
            assert_eq!(findings_of(link), Vec::<String>::new(), "{link}");
        }
    }
}
