//! No large binary files: git keeps them for ever.

use super::Finding;
use super::tree::{Tree, as_text};

const BYTES_MAX: usize = 64 * 1024;

/// Prefixes of paths that may hold larger ones, each with its reason.
const ALLOWED: &[&str] = &[
    // Images of old formats must stay loadable, byte for byte.
    "tests/data/v",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let blobs = tree.files().filter(|(path, bytes)| {
        bytes.len() > BYTES_MAX
            && as_text(bytes).is_none()
            && !ALLOWED.iter().any(|allowed| path.starts_with(allowed))
    });
    blobs
        .map(|(path, bytes)| {
            Finding::new(path, 0, format!("a binary file of {} KiB, above 64", bytes.len() / 1024))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_binary_is_reported() {
        let blob = vec![0; BYTES_MAX + 1];
        assert_eq!(check(&Tree::of_bytes("docs/film.mp4", &blob)).len(), 1);
    }

    #[test]
    fn small_binary_large_text_and_allowed_places_are_not() {
        assert_eq!(check(&Tree::of_bytes("docs/dot.png", &[0; 100])), []);
        assert_eq!(check(&Tree::of_bytes("Cargo.lock", &vec![b'a'; BYTES_MAX * 2])), []);
        assert_eq!(check(&Tree::of_bytes("tests/data/v1/log", &vec![0; BYTES_MAX * 2])), []);
    }
}
