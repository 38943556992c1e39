//! The flags behind what the library says of its settings: it speaks to programs, too, which have none.

use quorate::{IdentityError, ServeError, StartError};

/// Why a node does not start, and which flag changes that.
pub(crate) fn on(error: &ServeError) -> String {
    match flag(error) {
        Some(flag) => format!("{error} (--{flag})"),
        None => error.to_string(),
    }
}

fn flag(error: &ServeError) -> Option<&'static str> {
    match error {
        ServeError::Listen { .. } => Some("listen"),
        ServeError::Node(StartError::Identity(error)) => match error {
            IdentityError::Locked { .. }
            | IdentityError::File { .. }
            | IdentityError::Foreign { .. }
            | IdentityError::Removed { .. } => Some("data-dir"),
            IdentityError::OtherEngine { .. } => Some("engine"),
            IdentityError::OtherName { .. } | IdentityError::Damaged { .. } => Some("id"),
            IdentityError::Io { .. } | IdentityError::Newer { .. } => None,
        },
        ServeError::Node(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVE;

    #[test]
    fn what_a_flag_mends_names_it() {
        let dir = || "d".to_owned();
        let (found, asked) = ("n1".to_owned(), "n2".to_owned());
        let source = || std::io::Error::other("x");
        for (error, named) in [
            (IdentityError::Locked { dir: dir() }, Some("data-dir")),
            (IdentityError::OtherName { dir: dir(), found, asked }, Some("id")),
            (IdentityError::Io { dir: dir(), source: source() }, None),
        ] {
            let error = ServeError::Node(StartError::Identity(error));
            assert_eq!(flag(&error), named, "{error}");
            assert!(named.is_none_or(|it| on(&error).ends_with(&format!(" (--{it})"))));
            assert!(named.is_none_or(|it| SERVE.flag(it).is_some()));
        }
        let taken = ServeError::Listen { addr: "h:1".to_owned(), source: source() };
        assert!(on(&taken).ends_with("Choose another address (--listen)"), "{}", on(&taken));
    }
}
