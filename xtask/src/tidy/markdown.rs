//! As much of markdown as the rules need: headings, links and anchors, outside of code.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) line: usize,
    pub(super) level: usize,
    pub(super) text: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) target: String,
}

pub(super) fn headings(text: &str) -> Vec<Heading> {
    let mut headings = Vec::new();
    for (line, content) in lines_outside_code(text) {
        let level = content.chars().take_while(|c| *c == '#').count();
        let rest = content.trim_start_matches('#');
        if (1..=6).contains(&level) && rest.starts_with(' ') {
            headings.push(Heading { line, level, text: rest.trim().to_owned() });
        } else if content.trim_start().starts_with("<h1") {
            headings.push(Heading {
                line,
                level: 1,
                text: without_tags(content).trim().to_owned(),
            });
        }
    }
    headings
}

/// Inline links, images, reference definitions and the links of embedded HTML.
pub(super) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, content) in lines_outside_code(text) {
        let masked = mask_code_spans(content);
        for (middle, _) in masked.match_indices("](") {
            if let Some(target) = masked.get(middle + 2..).and_then(up_to_closing) {
                let start =
                    masked.get(..middle).and_then(|it| it.rfind('[')).map_or(middle, |it| it + 1);
                let text = content.get(start..middle).unwrap_or_default().to_owned();
                links.push(Link { line, text, target: target_of(target) });
            }
        }
        if let Some((_, target)) =
            masked.trim_start().strip_prefix('[').and_then(|it| it.split_once("]: "))
        {
            links.push(Link { line, text: String::new(), target: target_of(target) });
        }
        for attribute in ["href=\"", "src=\""] {
            for target in masked.split(attribute).skip(1) {
                let target = target.split('"').next().unwrap_or_default().to_owned();
                links.push(Link { line, text: String::new(), target });
            }
        }
    }
    links
}

/// What `#...` may name in the file: headings as GitHub spells them, and explicit ids.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for heading in headings(text) {
        let slug = slug(&heading.text);
        let times = seen.entry(slug.clone()).or_default();
        anchors.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    for (_, content) in lines_outside_code(text) {
        for attribute in [" id=\"", " name=\""] {
            for id in content.split(attribute).skip(1) {
                anchors.insert(id.split('"').next().unwrap_or_default().to_owned());
            }
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    // A link in a heading counts with its text only.
    let mut text = heading.to_owned();
    while let Some((before, rest)) = text.split_once("](") {
        let after = rest.split_once(')').map_or("", |(_, after)| after);
        text = format!("{before}{after}");
    }
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The lines that are not in a fenced block, numbered from 1.
fn lines_outside_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let mark = fence_mark(line);
        match (fence, mark) {
            (None, Some(opening)) => fence = Some(opening),
            (Some(opening), Some(mark)) if mark.starts_with(opening) && is_only(line, mark) => {
                fence = None;
            }
            (Some(_), _) => {}
            (None, None) => return Some((index + 1, line)),
        }
        None
    })
}

/// The run of at least three backticks or tildes that a line starts with.
fn fence_mark(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '>']);
    let first = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.chars().take_while(|c| *c == first).count();
    line.get(..length).filter(|it| it.len() >= 3)
}

fn is_only(line: &str, mark: &str) -> bool {
    line.trim_matches([' ', '>']) == mark
}

/// The line with the bytes in code spans that could be taken for a link replaced; positions stay.
fn mask_code_spans(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let (before, from_mark) = rest.split_at(start);
        masked.push_str(before);
        let length = from_mark.len() - from_mark.trim_start_matches('`').len();
        let (mark, behind) = from_mark.split_at(length);
        masked.push_str(mark);
        rest = behind;
        if let Some(end) = closing_run(behind, mark) {
            let (code, behind) = behind.split_at(end);
            masked.push_str(&code.replace(['[', ']', '(', ')', '<', '"'], "\u{1}"));
            masked.push_str(mark);
            rest = behind.strip_prefix(mark).unwrap_or(behind);
        }
    }
    masked.push_str(rest);
    masked
}

/// Where the run of backticks starts that closes a span opened by `mark`: one of the same length.
fn closing_run(text: &str, mark: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let behind = text.get(at..)?;
        let start = behind.find('`')?;
        let run = behind.get(start..)?;
        let length = run.len() - run.trim_start_matches('`').len();
        if length == mark.len() {
            return Some(at + start);
        }
        at += start + length;
    }
}

/// The text up to the parenthesis that closes one opened before it.
fn up_to_closing(text: &str) -> Option<&str> {
    let mut depth = 0;
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return text.get(..index),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The target without its title and angle brackets.
fn target_of(text: &str) -> String {
    let text = text.trim();
    let target = match text.strip_prefix('<') {
        Some(rest) => rest.split('>').next(),
        None => text.split_whitespace().next(),
    };
    target.unwrap_or_default().to_owned()
}

fn without_tags(line: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in line.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if !in_tag => text.push(c),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        links(text).into_iter().map(|link| link.target).collect()
    }

    #[test]
    fn links_of_all_kinds_are_found() {
        assert_eq!(targets("see [a](x.md) and ![b](y.png \"title\")"), ["x.md", "y.png"]);
        assert_eq!(targets("[a](<my file.md>) [b](f(1).md)"), ["my file.md", "f(1).md"]);
        assert_eq!(
            targets("[ref]: z.md\n<img src=\"i.svg\"> <a href=\"#h\">"),
            ["z.md", "#h", "i.svg"]
        );
        assert_eq!(targets("[![badge](b.svg)](ci.md)"), ["b.svg", "ci.md"]);
    }

    #[test]
    fn text_of_a_link_is_kept() {
        assert_eq!(links("[`Group::propose`](g.rs)")[0].text, "`Group::propose`");
    }

    #[test]
    fn code_has_no_links() {
        assert_eq!(targets("`[a](x.md)` and ``[`](y.md)``\n"), Vec::<String>::new());
        assert_eq!(targets("```\n[a](x.md)\n```\n~~~text\n[b](y.md)\n~~~\n[c](z.md)"), ["z.md"]);
        assert_eq!(targets("an open ` tick [a](x.md)"), ["x.md"]);
    }

    #[test]
    fn anchors_are_spelled_as_github_does() {
        let text = "# The `SET` path, in short\n## A_b: c-d\n## Twice\n## Twice\n<a id=\"here\"></a>\n## [L](x.md) end\n";
        let anchors = anchors(text);
        for anchor in ["the-set-path-in-short", "a_b-c-d", "twice", "twice-1", "here", "l-end"] {
            assert!(anchors.contains(anchor), "{anchor} in {anchors:?}");
        }
    }
}
