//! The size of files, tests not counted: a wall, a list to look at, and the median and p90 that we aim at.

use super::Finding;
use super::tree::{Tree, directories, file_name};

const LINES_MAX: usize = 1_000;
const LINES_LISTED: usize = 800;
const MEDIAN_AIM: usize = 200;
const P90_AIM: usize = 500;

const _: () = assert!(P90_AIM < LINES_LISTED && LINES_LISTED < LINES_MAX);

const EXTENSIONS: &[&str] = &["rs", "js", "css", "html", "py", "sh"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let too_long = sizes(tree, EXTENSIONS).into_iter().filter(|(lines, _)| *lines > LINES_MAX);
    too_long
        .map(|(lines, path)| {
            Finding::new(
                path,
                0,
                format!("{lines} lines without tests, the wall is at {LINES_MAX}"),
            )
        })
        .collect()
}

pub(super) fn listing(tree: &Tree) -> String {
    let mut sizes = sizes(tree, &["rs"]);
    sizes.sort_unstable();
    let mut text = format!(
        "lines per .rs file, tests not counted: median {} (aim {MEDIAN_AIM}), p90 {} (aim {P90_AIM}), {} files",
        percentile(&sizes, 50),
        percentile(&sizes, 90),
        sizes.len(),
    );
    for (lines, path) in sizes.iter().rev().take_while(|(lines, _)| *lines > LINES_LISTED) {
        text.push_str(&format!("\n  {lines:>5} {path}: worth a look, what could move out?"));
    }
    text
}

fn sizes<'a>(tree: &'a Tree, extensions: &'a [&str]) -> Vec<(usize, &'a str)> {
    tree.texts_with(extensions)
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (lines_without_tests(text), path))
        .collect()
}

/// The smallest size that `percent` of the files do not exceed; `sizes` is sorted.
fn percentile(sizes: &[(usize, &str)], percent: usize) -> usize {
    let rank = (sizes.len() * percent).div_ceil(100).saturating_sub(1);
    sizes.get(rank).map_or(0, |(lines, _)| *lines)
}

fn is_test_file(path: &str) -> bool {
    file_name(path) == "tests.rs" || directories(path).any(|it| it == "tests")
}

/// Leaves out modules under `#[cfg(test)]`: rustfmt puts their closing brace at the indentation of the opening.
fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        count += 1;
        let Some(indent) = line.strip_suffix("#[cfg(test)]").filter(|it| it.trim().is_empty())
        else {
            continue;
        };
        let opening = lines.by_ref().find(|line| !line.trim_start().starts_with("#["));
        if opening.is_some_and(|it| it.trim_start().starts_with("mod ") && it.ends_with('{')) {
            count -= 1;
            let closing = format!("{indent}}}");
            let _ = lines.by_ref().find(|line| *line == closing);
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_beyond_the_wall_is_reported_and_its_tests_are_not_counted() {
        let code = "fn f() {}\n".repeat(LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // x\n".repeat(500));
        let good = Tree::of(&[
            ("src/a.rs", &format!("{code}{tests}")),
            ("src/a/tests.rs", &code.repeat(2)),
        ]);
        assert_eq!(check(&good), []);
        let bad = Tree::of(&[("src/a.rs", &format!("{code}fn g() {{}}\n{tests}"))]);
        assert_eq!(check(&bad).len(), 1);
        assert!(check(&bad)[0].message.starts_with("1001 lines"));
    }

    #[test]
    fn code_after_tests_and_test_only_items_count() {
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests {\n    b\n}\nc\n"), 2);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nc\n"), 4);
        assert_eq!(lines_without_tests("    #[cfg(test)]\n    fn f() {}\nc\n"), 3);
    }

    #[test]
    fn median_and_p90() {
        let sizes: Vec<(usize, &str)> = (1..=10).map(|lines| (lines, "")).collect();
        assert_eq!(percentile(&sizes, 50), 5);
        assert_eq!(percentile(&sizes, 90), 9);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn long_files_are_listed() {
        let tree = Tree::of(&[("src/a.rs", &"x\n".repeat(801)), ("src/b.rs", "x\n")]);
        assert!(listing(&tree).contains("801 src/a.rs"));
        assert!(!listing(&tree).contains("src/b.rs"));
    }
}
