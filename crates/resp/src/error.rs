//! The spelling of errors on the wire: the only place where `ERR`, `WRONGTYPE`, `CLUSTERDOWN` and
//! their kin are written down.

use std::borrow::Cow;

use quorate_api::{Error, ErrorCode, Reply, ReplyError};

use crate::decode::ProtocolError;

/// The first word of an error that is a result.
pub fn word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Err => "ERR",
        ErrorCode::WrongType => "WRONGTYPE",
        ErrorCode::Oom => "OOM",
        ErrorCode::ExecAbort => "EXECABORT",
        ErrorCode::NoAuth => "NOAUTH",
        ErrorCode::WrongPass => "WRONGPASS",
        ErrorCode::NoProto => "NOPROTO",
        ErrorCode::Conflict => "CONFLICT",
    }
}

/// The first word and the text of a failure: `TRYAGAIN` and `CLUSTERDOWN` promise that nothing was
/// changed, `OVERLOADED` too; `UNKNOWN` promises nothing.
pub fn failure(error: &Error) -> (&'static str, Cow<'_, str>) {
    match error {
        Error::NotApplied { reason, hint } => {
            let word = if is_cluster_down(reason) { "CLUSTERDOWN" } else { "TRYAGAIN" };
            let text = match hint {
                Some(hint) => format!("nothing was changed: {reason} (try {hint})"),
                None => format!("nothing was changed: {reason}"),
            };
            (word, text.into())
        }
        Error::Unknown { reason } => {
            ("UNKNOWN", format!("the command may or may not take effect: {reason}").into())
        }
        Error::Overloaded { reason } => {
            ("OVERLOADED", format!("nothing was changed, retry later: {reason}").into())
        }
        Error::Stopped { reason } => {
            ("CLUSTERDOWN", format!("nothing was changed, this node has stopped: {reason}").into())
        }
    }
}

/// Retrying at once on this node is pointless while nobody leads, or when the node goes.
fn is_cluster_down(reason: &str) -> bool {
    ["no leader", "quorum", "majority", "no cluster", "shutting down"]
        .iter()
        .any(|sign| reason.contains(sign))
}

/// Appends `-WORD text`, a line whatever `text` holds.
pub(crate) fn put(out: &mut Vec<u8>, word: &str, text: impl AsRef<[u8]>) {
    out.push(b'-');
    out.extend_from_slice(word.as_bytes());
    out.push(b' ');
    put_line(out, text);
}

/// Appends `text` and CR LF; line ends within become spaces, as in Redis.
pub(crate) fn put_line(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let plain = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    out.extend(text.as_ref().iter().map(plain));
    out.extend_from_slice(b"\r\n");
}

/// Appends an error that is a result.
pub(crate) fn put_reply(out: &mut Vec<u8>, error: &ReplyError) {
    put(out, word(error.code), &*error.message);
}

/// Appends a failure.
pub(crate) fn put_failure(out: &mut Vec<u8>, error: &Error) {
    let (word, text) = failure(error);
    put(out, word, &*text);
}

/// Bytes that are no request.
pub(crate) fn protocol(error: ProtocolError) -> Reply {
    Reply::err(error.to_string())
}

/// No command has that name: the text of the `ERR`, in which names stand byte for byte as they came.
pub(crate) fn unknown_command(args: quorate_api::Args<'_>) -> Vec<u8> {
    /// Bytes of the name, and of all arguments, that are repeated.
    const SHOWN_BYTES_MAX: usize = 128;
    fn shown(bytes: &[u8], most: usize) -> &[u8] {
        bytes.get(..most).unwrap_or(bytes)
    }
    let mut rest = Vec::new();
    for argument in args.iter_from(1) {
        let Some(room) = SHOWN_BYTES_MAX.checked_sub(rest.len()).filter(|room| *room > 0) else {
            break;
        };
        rest.extend_from_slice(&[b"'", shown(argument, room), b"' "].concat());
    }
    let name = shown(args.at(0), SHOWN_BYTES_MAX);
    [b"unknown command '", name, b"', with args beginning with: ", &rest].concat()
}

/// `name` is the full name in lower case, like `client|id`.
pub(crate) fn wrong_arity(name: &str) -> Reply {
    Reply::err(format!("wrong number of arguments for '{name}' command"))
}

/// No subcommand has that name.
pub(crate) fn unknown_subcommand(container: &str, name: &[u8]) -> Reply {
    let name = String::from_utf8_lossy(name.get(..128).unwrap_or(name));
    Reply::err(format!("unknown subcommand '{name}'. Try {container} HELP."))
}

/// A command before AUTH.
pub(crate) fn no_auth() -> Reply {
    Reply::error(ErrorCode::NoAuth, "Authentication required.")
}

/// AUTH failed.
pub(crate) fn wrong_pass() -> Reply {
    Reply::error(ErrorCode::WrongPass, "invalid username-password pair or user is disabled.")
}

/// EXEC after a command that could not be queued.
pub(crate) fn exec_abort() -> Reply {
    Reply::error(ErrorCode::ExecAbort, "Transaction discarded because of previous errors.")
}

/// EXEC itself could not be executed.
pub(crate) fn exec_abort_because(reason: &str) -> Reply {
    Reply::error(ErrorCode::ExecAbort, format!("Transaction discarded because of: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(error: &Error) -> String {
        let mut out = Vec::new();
        put_failure(&mut out, error);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn failures_say_whether_something_was_changed() {
        assert_eq!(
            spelled(&Error::NotApplied {
                reason: "leadership moved".into(),
                hint: Some("b:1".into())
            }),
            "-TRYAGAIN nothing was changed: leadership moved (try b:1)\r\n"
        );
        assert_eq!(
            spelled(&Error::not_applied("no leader is known")),
            "-CLUSTERDOWN nothing was changed: no leader is known\r\n"
        );
        assert!(spelled(&Error::not_applied("shutting down")).starts_with("-CLUSTERDOWN "));
        assert_eq!(
            spelled(&Error::unknown("the leader fell silent")),
            "-UNKNOWN the command may or may not take effect: the leader fell silent\r\n"
        );
        assert!(spelled(&Error::Overloaded { reason: "x".into() }).starts_with("-OVERLOADED "));
        assert!(spelled(&Error::Stopped { reason: "x".into() }).starts_with("-CLUSTERDOWN "));
    }

    #[test]
    fn a_message_stays_one_line() {
        assert_eq!(spelled(&Error::unknown("a\r\nb")).lines().count(), 1);
        let mut out = Vec::new();
        put(&mut out, "ERR", "a\r\n+OK\n");
        assert_eq!(out, b"-ERR a  +OK \r\n");
    }
}
