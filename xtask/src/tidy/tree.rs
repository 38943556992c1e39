//! The files of the checkout as git sees them: tracked, and untracked but not ignored.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use crate::command::CommandLine;

/// File contents by path; paths are relative to the workspace root, with `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    pub(super) fn of_checkout() -> Result<Self, Box<dyn Error>> {
        let list =
            CommandLine::new("git ls-files -z --cached --others --exclude-standard").output()?;
        let mut tree = Self::default();
        for path in String::from_utf8(list)?.split('\0') {
            // Deleted but not yet staged, or a link: nothing of its own to look at.
            let is_file = fs::symlink_metadata(Path::new(path)).is_ok_and(|it| it.is_file());
            if is_file {
                tree.files.insert(path.to_owned(), fs::read(path)?);
            }
        }
        Ok(tree)
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// All files that are text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter_map(|(path, bytes)| Some((path, as_text(bytes)?)))
    }

    /// Text files whose name ends in one of `extensions`.
    pub(super) fn texts_with<'a>(
        &'a self,
        extensions: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| extensions.contains(&extension(path)))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        as_text(self.files.get(path)?)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.has_directory(path)
    }

    fn has_directory(&self, path: &str) -> bool {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self
                .files
                .range(prefix.clone()..)
                .next()
                .is_some_and(|(it, _)| it.starts_with(&prefix))
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        Self { files: files.collect() }
    }

    #[cfg(test)]
    pub(super) fn of_bytes(path: &str, bytes: &[u8]) -> Self {
        Self { files: BTreeMap::from([(path.to_owned(), bytes.to_vec())]) }
    }
}

/// `None` for what is binary.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) fn extension(path: &str) -> &str {
    file_name(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

pub(super) fn directories(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit_once('/').map_or("", |(directories, _)| directories).split('/')
}

/// Recorded inputs and outputs, whose bytes are what they are.
pub(super) fn is_recorded(path: &str) -> bool {
    let in_tests_data = path.contains("tests/data/") || path.contains("tests/scripts/");
    in_tests_data || directories(path).any(|it| it == "testscripts" || it == "corpus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_exist_when_a_file_is_in_them() {
        let tree = Tree::of(&[("docs/decisions/0001-x.md", ""), ("docs-old", "")]);
        assert!(tree.has("docs/decisions/0001-x.md"));
        assert!(tree.has("docs/decisions") && tree.has("docs/") && tree.has(""));
        assert!(!tree.has("docs/dec"));
    }

    #[test]
    fn bytes_with_a_nul_or_not_utf8_are_binary() {
        assert_eq!(as_text(b"abc"), Some("abc"));
        assert_eq!(as_text(b"a\0c"), None);
        assert_eq!(as_text(b"\xff\xfe"), None);
    }

    #[test]
    fn parts_of_a_path() {
        assert_eq!(file_name("a/b/c.rs"), "c.rs");
        assert_eq!(extension("a.b/c.tar.gz"), "gz");
        assert_eq!(extension("a.b/Makefile"), "");
        assert_eq!(directories("a/b/c.rs").collect::<Vec<_>>(), ["a", "b"]);
        assert!(is_recorded("crates/resp/testscripts/set/get"));
        assert!(!is_recorded("crates/resp/src/data/mod.rs"));
    }
}
