//! The flags of `quorate completions` and `quorate man`.

use super::{CommandTable, Family, Flag, Offer};

pub(super) const COMPLETIONS: CommandTable = CommandTable {
    name: "completions",
    about: "Prints completions for a shell",
    after: "For bash: quorate completions bash > /etc/bash_completion.d/quorate",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[Flag::word("shell", "SHELL", "bash, zsh, fish, elvish or powershell.")
            .offer(Offer::OneOf(&["bash", "zsh", "fish", "elvish", "powershell"]))],
    }],
};

pub(super) const MAN: CommandTable = CommandTable {
    name: "man",
    about: "Writes the manual pages",
    after: "For this machine: quorate man /usr/local/share/man/man1",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[Flag::word("dir", "DIR", "Where they go; - prints the first page.")
            .offer(Offer::Directory)],
    }],
};
