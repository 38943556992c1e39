//! The words for a command's family and categories, derived so that a new family needs no change.

use quorate_api::command::{Family, Flags};
use quorate_api::{CommandId, Spec};

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

/// The name of a family.
pub(crate) fn name(family: Family) -> String {
    if family == Family::Transaction {
        return "transactions".to_owned();
    }
    kebab(&format!("{family:?}"))
}

/// The `group` of COMMAND DOCS: Redis', where that is not the family under which we have the command.
pub(crate) fn group(spec: &Spec) -> String {
    let group = match spec.id {
        CommandId::Dbsize | CommandId::Flushdb | CommandId::Flushall | CommandId::Swapdb => {
            "server"
        }
        CommandId::Readonly | CommandId::Readwrite => "cluster",
        CommandId::Wait => "generic",
        _ => return name(spec.family),
    };
    group.to_owned()
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
