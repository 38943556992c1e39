//! Who wrote a value: registers get unique values, so a read names its writer.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Command, History, Key, Operation, Outcome, Reply, Value};

/// The writers of a history.
pub(super) struct Writers<'a> {
    by_value: BTreeMap<(&'a Key, &'a Value), &'a Operation>,
    /// Writes of registers that are known to have taken effect, by key.
    acknowledged: BTreeMap<&'a Key, Vec<&'a Operation>>,
    /// Deletions that took effect or may have, by key.
    deletions: BTreeMap<&'a Key, Vec<&'a Operation>>,
    /// Writes of what goes by itself that took effect or may have, by key.
    temporary: BTreeMap<&'a Key, Vec<&'a Operation>>,
    /// Keys to which tokens are appended.
    lists: BTreeSet<&'a Key>,
}

impl<'a> Writers<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut writers = Self {
            by_value: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            deletions: BTreeMap::new(),
            temporary: BTreeMap::new(),
            lists: BTreeSet::new(),
        };
        for operation in &history.operations {
            for (number, command) in operation.commands.iter().enumerate() {
                let reply = operation.replies().and_then(|replies| replies.get(number));
                writers.add(operation, command, reply);
            }
        }
        writers
    }

    fn add(&mut self, operation: &'a Operation, command: &'a Command, reply: Option<&Reply>) {
        let key = command.key();
        // What may go by itself is nowhere missed.
        let stays = !matches!(command, Command::SetPx(..));
        if let Some(value) = command.written() {
            self.by_value.insert((key, value), operation);
            if stays && reply.is_some_and(Reply::is_done) {
                self.acknowledged.entry(key).or_default().push(operation);
            }
        }
        if matches!(command, Command::Append(..)) {
            self.lists.insert(key);
        }
        if matches!(operation.outcome, Outcome::NotApplied(_)) {
            return;
        }
        if command.is_deletion() {
            self.deletions.entry(key).or_default().push(operation);
        }
        if !stays {
            self.temporary.entry(key).or_default().push(operation);
        }
    }

    /// Who wrote this value, or tried to.
    pub(super) fn of(&self, key: &Key, value: &Value) -> Option<&'a Operation> {
        self.by_value.get(&(key, value)).copied()
    }

    /// True when tokens are appended to `key`.
    pub(super) fn is_list(&self, key: &Key) -> bool {
        self.lists.contains(key)
    }

    /// Acknowledged writes of `key` by which what `of` wrote is certainly overwritten.
    pub(super) fn overwriting(&self, key: &Key, of: &Operation) -> Option<&'a Operation> {
        let writes = self.acknowledged.get(key)?;
        writes.iter().find(|write| of.precedes(write)).copied()
    }

    /// An acknowledged write of `key` that no deletion can have undone.
    pub(super) fn never_deleted(&self, key: &Key) -> Option<&'a Operation> {
        let deletions = self.deletions.get(key).map(Vec::as_slice).unwrap_or_default();
        let writes = self.acknowledged.get(key)?;
        writes.iter().find(|write| deletions.iter().all(|it| it.precedes(write))).copied()
    }

    /// True when `read` may have found `key` gone after `written` had taken effect (`None`: nobody knows who wrote what
    /// was there): by a deletion, or because its time had come.
    pub(super) fn may_be_gone(
        &self,
        key: &Key,
        written: Option<&Operation>,
        read: &Operation,
    ) -> bool {
        let all = [&self.deletions, &self.temporary].into_iter().filter_map(|by| by.get(key));
        all.flatten().any(|it| {
            let late = written.is_some_and(|written| it.precedes(written));
            !late && read.returned.is_some_and(|returned| it.called < returned)
        })
    }
}
