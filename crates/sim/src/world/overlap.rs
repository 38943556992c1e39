//! Overlaps: faults of one kind that last at the same time, each with a measure of its own.

/// What lasts now, in the order in which it began.
#[derive(Clone, Debug)]
pub(crate) struct Overlap<T>(Vec<T>);

impl<T> Default for Overlap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + PartialEq> Overlap<T> {
    pub(crate) fn begin(&mut self, measure: T) {
        self.0.push(measure);
    }

    /// Ends one of those with this measure, and none of the others.
    pub(crate) fn end(&mut self, measure: T) {
        if let Some(place) = self.0.iter().position(|it| *it == measure) {
            self.0.remove(place);
        }
    }

    pub(crate) fn end_all(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = T> {
        self.0.iter().copied()
    }
}

impl Overlap<u32> {
    /// The slowest of several slow ways is what there is.
    pub(crate) fn factor(&self) -> u32 {
        self.iter().max().unwrap_or(1).max(1)
    }
}
