//! The words for a command's family and categories, derived so that a new family needs no change.

use quorate_api::Spec;
use quorate_api::command::{Family, Flags};

/// `SortedSet` becomes `sorted-set`.
fn kebab(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// The `group` of COMMAND DOCS.
pub(crate) fn group(family: Family) -> String {
    if family == Family::Transaction {
        return "transactions".to_owned();
    }
    kebab(&format!("{family:?}"))
}

/// The ACL categories, without their `@`.
pub(crate) fn categories(spec: &Spec) -> Vec<String> {
    let mut all = Vec::new();
    for (flag, name) in [(Flags::READ, "read"), (Flags::WRITE, "write"), (Flags::ADMIN, "admin")] {
        if spec.flags.has(flag) {
            all.push(name.to_owned());
        }
    }
    all.push(match spec.family {
        Family::Generic => "keyspace".to_owned(),
        family => format!("{family:?}").to_ascii_lowercase(),
    });
    all.push(if spec.flags.has(Flags::FAST) { "fast" } else { "slow" }.to_owned());
    if spec.flags.has(Flags::ADMIN | Flags::SLOW_SCAN) {
        all.push("dangerous".to_owned());
    }
    all
}
