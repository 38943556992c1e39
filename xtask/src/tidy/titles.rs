//! A markdown file has one title, first of all headings.

use super::Finding;
use super::markdown::headings;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // GitHub's templates are parts of a page, not pages.
    for (path, text) in tree.texts_with(&["md"]).filter(|(path, _)| !path.starts_with(".github/")) {
        let headings = headings(text);
        let mut titles = headings.iter().filter(|heading| heading.level == 1);
        match (titles.next(), titles.next()) {
            (None, _) => findings.push(Finding::new(path, 1, "has no title (`# ...`)")),
            (Some(title), None) => {
                if let Some(first) = headings.first().filter(|first| first.level != 1) {
                    let message = format!("a heading before the title in line {}", title.line);
                    findings.push(Finding::new(path, first.line, message));
                }
            }
            (Some(_), Some(second)) => {
                findings.push(Finding::new(path, second.line, "a second title"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(text: &str) -> Vec<Finding> {
        check(&Tree::of(&[("docs/a.md", text)]))
    }

    #[test]
    fn none_or_two_titles_are_reported() {
        assert_eq!(findings_of("text\n").len(), 1);
        assert_eq!(
            findings_of("# One\n\n# Two\n"),
            [Finding::new("docs/a.md", 3, "a second title")]
        );
        assert_eq!(findings_of("## Part\n\n# Title\n").len(), 1);
    }

    #[test]
    fn one_title_is_fine_whatever_code_blocks_say() {
        assert_eq!(findings_of("# One\n\n```sh\n# a comment\n```\n## Part\n"), []);
        assert_eq!(findings_of("<h1 align=\"center\">One</h1>\n"), []);
    }
}
