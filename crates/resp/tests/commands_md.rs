//! `docs/commands.md` is the command table, in words.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "the page is a file of the repository")]
fn commands_md_is_generated_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let expected = quorate_resp::commands_markdown();
    if std::env::var_os("QUORATE_BLESS").is_some() {
        std::fs::write(path, expected).unwrap();
        return;
    }
    let actual = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        actual == expected,
        "docs/commands.md is out of date: QUORATE_BLESS=1 cargo test -p quorate-resp commands_md"
    );
}
