//! Observation: what members show of themselves to judges.

/// Rare branches that a campaign must reach.
pub const BRANCHES: &[&str] = &[];
