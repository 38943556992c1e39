//! AUTH: a password, compared in a time that does not depend on it.

use std::hint::black_box;

use quorate_api::{Args, Reply};

use crate::error;
use crate::session::Session;

/// The only user there is.
const USER: &[u8] = b"default";

impl Session {
    pub(crate) fn auth(&mut self, args: Args<'_>) -> Reply {
        match args.len() {
            2 if self.server.password.is_none() => Reply::err(
                "AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ),
            2 => self.prove(USER, args.at(1)),
            3 => self.prove(args.at(1), args.at(2)),
            _ => Reply::syntax(),
        }
    }

    /// Authenticates; `Reply::Ok`, or why not.
    pub(crate) fn prove(&mut self, user: &[u8], password: &[u8]) -> Reply {
        let is_right = match &self.server.password {
            None => true,
            Some(expected) => is_same(password, expected.as_bytes()),
        };
        if user != USER || !is_right {
            tracing::debug!(addr = %self.profile.addr, "wrong user name or password");
            return error::wrong_pass();
        }
        self.authenticated = true;
        Reply::Ok
    }
}

/// Compares without ending at the first difference.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    let cycle = expected.iter().chain(std::iter::once(&0)).cycle();
    for (given, expected) in given.iter().zip(cycle) {
        difference |= usize::from(black_box(given ^ expected));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_is_the_same() {
        assert!(is_same(b"secret", b"secret"));
        for wrong in [b"".as_slice(), b"secre", b"secreT", b"secret\0", b"secret\0secret"] {
            assert!(!is_same(wrong, b"secret"), "{}", wrong.escape_ascii());
        }
        assert!(!is_same(b"x", b""));
    }
}
