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

/// The ACL category of a command's family, without its `@`; Redis has none for what is about the server.
pub(crate) fn category(spec: &Spec) -> Option<String> {
    match (spec.category, spec.family) {
        (Some(category), _) => Some(category.to_owned()),
        (None, Family::Server) => None,
        (None, Family::Generic) => Some("keyspace".to_owned()),
        (None, family) => Some(format!("{family:?}").to_ascii_lowercase()),
    }
}

/// The ACL categories that follow from flags.
pub(crate) fn categories_of(flags: Flags) -> impl Iterator<Item = &'static str> {
    let admin = Flags::ADMIN | Flags::ADMIN_CATEGORY;
    let named = [
        (flags.has(Flags::READ), "read"),
        (flags.has(Flags::WRITE), "write"),
        (flags.has(admin), "admin"),
        (flags.has(admin | Flags::DANGEROUS), "dangerous"),
        (flags.has(Flags::FAST), "fast"),
        (!flags.has(Flags::FAST), "slow"),
    ];
    named.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name)
}
