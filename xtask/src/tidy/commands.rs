//! Every command that clients can send has a line in docs/commands.md and occurs in a test script.
//!
//! Rows are found in the source, not asked from the crate: the tool must run when the crate does not build.

use super::Finding;
use super::leftovers::has_word;
use super::tree::{Tree, extension, is_recorded};

const TABLE: &str = "crates/api/src/command/";
/// Its rows are of our own front-ends; no client can send them.
const INTERNAL: &str = "crates/api/src/command/internal.rs";
const DOCS: &str = "docs/commands.md";

struct Row<'a> {
    name: &'a str,
    path: &'a str,
    line: usize,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let scripts = scripts(tree);
    let mut findings = Vec::new();
    for Row { name, path, line } in rows(tree) {
        if let Some(docs) = tree.text(DOCS)
            && !docs.lines().any(|line| has_code(line, name))
        {
            findings.push(Finding::new(path, line, format!("{name} has no line in {DOCS}")));
        }
        if !scripts.is_empty() && !scripts.iter().any(|script| has_word(script, name)) {
            findings.push(Finding::new(path, line, format!("{name} is in no test script")));
        }
    }
    findings
}

/// What was looked at, so that a rule without a subject does not pass in silence.
pub(super) fn summary(tree: &Tree) -> String {
    let docs = if tree.text(DOCS).is_some() { "checked" } else { "absent, NOT CHECKED" };
    let scripts = scripts(tree).len();
    format!("commands: {} in the table; {DOCS} {docs}; {scripts} test scripts", rows(tree).len())
}

fn rows(tree: &Tree) -> Vec<Row<'_>> {
    let files =
        tree.texts_with(&["rs"]).filter(|(path, _)| path.starts_with(TABLE) && *path != INTERNAL);
    let mut rows = Vec::new();
    for (path, text) in files {
        for (start, _) in text.match_indices("Spec::new(") {
            // `Spec::new(Id::Get, "GET", ...)`: the number in the log, then the name.
            let (before, behind) = text.split_at(start);
            let mut arguments =
                behind.trim_start_matches("Spec::new(").splitn(3, ',').map(str::trim);
            if let (Some(id), Some(name)) = (arguments.next(), arguments.next())
                && id.contains("Id::")
                && let Some(name) = name.strip_prefix('"').and_then(|it| it.strip_suffix('"'))
            {
                rows.push(Row { name, path, line: before.matches('\n').count() + 1 });
            }
        }
    }
    rows
}

/// In upper case, since a script may write names in any.
fn scripts(tree: &Tree) -> Vec<String> {
    let recorded = tree.texts().filter(|(path, _)| is_recorded(path) || extension(path) == "resp");
    recorded.map(|(_, text)| text.to_uppercase()).collect()
}

/// Whether the line has the name at the start of a code span: `` `GET key` ``.
fn has_code(line: &str, name: &str) -> bool {
    line.split('`').skip(1).step_by(2).any(|code| code.split_whitespace().next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "//! Strings.\nconst C: &[Spec] = &[\n    Spec::new(Id::Get, \"GET\", 2, Family::String),\n    Spec::new(\n        Id::Set,\n        \"SET\",\n        -3,\n    ),\n];\n";

    fn tree(docs: &str, script: &str) -> Tree {
        Tree::of(&[
            ("crates/api/src/command/string.rs", ROWS),
            (INTERNAL, "Spec::new(Id::KvGet, \"KV.GET\", 2)"),
            (DOCS, docs),
            ("crates/resp/testscripts/string/get", script),
        ])
    }

    #[test]
    fn command_without_a_line_in_the_docs_is_reported() {
        let findings = check(&tree(
            "# Commands\n\n| `SET key value` | sets |\n| `GETSET` | GET |\n",
            "get set",
        ));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            findings[0].to_string(),
            "crates/api/src/command/string.rs:3: GET has no line in docs/commands.md"
        );
    }

    #[test]
    fn command_in_no_script_is_reported() {
        let findings = check(&tree("`SET` `GET`\n", "> get key\n"));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.starts_with("SET is in no"));
    }

    #[test]
    fn without_docs_and_scripts_nothing_is_reported_but_said() {
        let tree = Tree::of(&[("crates/api/src/command/string.rs", ROWS)]);
        assert_eq!(check(&tree), []);
        assert!(
            summary(&tree).contains("2 in the table") && summary(&tree).contains("NOT CHECKED")
        );
    }
}
