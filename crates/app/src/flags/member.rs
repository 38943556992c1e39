//! The flags of `quorate member ...`.

use super::{CommandTable, Family, Flag, OUTPUT, PASSWORD};

const ADDR: Flag = Flag::value("addr", "HOST:PORT", "A member, where it listens for HTTP clients.")
    .default("127.0.0.1:7400");
const MEMBER: Flag = Flag::word("member", "MEMBER", "Its name, or its address.");
const FORCE: Flag = Flag::switch(
    "force",
    "Do it even if no majority of the voters could be reached then: nothing is answered until one is back, \
     and if it never is, only `quorate recover` helps.",
)
.on_command_line_only();
const NO_WAIT: Flag = Flag::switch(
    "no-wait",
    "Return when the change is decided, not when the new node has caught up.",
)
.on_command_line_only();
/// Not from the environment: where a node is started by its variables, these would be that node's.
const ID: Flag = Flag::value("id", "NAME", "Its name: another node at that address is refused.")
    .on_command_line_only();
const LEARNER: Flag =
    Flag::switch("learner", "It stays a learner: it serves reads and never votes.")
        .on_command_line_only();

const AFTER: &str = "Any member can be asked; it passes the request on to the leader. Exit code 0 when it is done, 1 \
                     when it is refused or not known to be done, 2 for wrong usage. --addr, --password-file and \
                     --output can also be given as environment variables (QUORATE_ADDR for --addr).";

const fn table(
    name: &'static str,
    about: &'static str,
    families: &'static [Family],
) -> CommandTable {
    CommandTable { name, about, after: AFTER, env_prefix: "QUORATE_", families }
}

const fn family(flags: &'static [Flag]) -> Family {
    Family { heading: "Options", flags }
}

pub(super) const LIST: CommandTable = table(
    "member list",
    "Shows the members, who is silent, and what can be done about it",
    &[family(&[ADDR, PASSWORD, OUTPUT])],
);

pub(super) const ADD: CommandTable = table(
    "member add",
    "Adds a node that waits: started with neither --bootstrap nor --join",
    &[family(&[
        Flag::word("node", "HOST:PORT", "Where the new node takes peers."),
        ID,
        LEARNER,
        NO_WAIT,
        ADDR,
        PASSWORD,
        OUTPUT,
    ])],
);

pub(super) const REMOVE: CommandTable = table(
    "member remove",
    "Removes a member for good; its name is never used again",
    &[family(&[MEMBER, FORCE, ADDR, PASSWORD, OUTPUT])],
);

pub(super) const PROMOTE: CommandTable = table(
    "member promote",
    "Gives a learner a vote, as soon as it has caught up",
    &[family(&[MEMBER, NO_WAIT, ADDR, PASSWORD, OUTPUT])],
);

pub(super) const DEMOTE: CommandTable = table(
    "member demote",
    "Takes a voter's vote away; it stays as a learner and serves reads",
    &[family(&[MEMBER, FORCE, ADDR, PASSWORD, OUTPUT])],
);

pub(super) const TRANSFER: CommandTable = table(
    "member transfer",
    "Hands leadership over, to the given member or to the most advanced voter",
    &[family(&[
        Flag::word("member", "MEMBER", "Its name, or its address; any: the most advanced voter.")
            .default("any"),
        ADDR,
        PASSWORD,
        OUTPUT,
    ])],
);

pub(super) const REPLACE: CommandTable = table(
    "member replace",
    "Puts a new node that waits in a voter's place: one gets the vote and the other leaves in one step",
    &[family(&[
        MEMBER,
        Flag::word("with", "HOST:PORT", "Where the new node takes peers."),
        ID,
        NO_WAIT,
        ADDR,
        PASSWORD,
        OUTPUT,
    ])],
);
