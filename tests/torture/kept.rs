//! Keys with a long time to live, which no clock may shorten.

use std::time::Instant;

use crate::cluster::Cluster;

const KEYS: usize = 20;
const TTL_MS: u64 = 7_200_000;
/// By so much may the clocks of members disagree among whom a leader is elected.
const CLOCK_BOUND_MS: u64 = 5_000;
/// Stamps run faster than time by so much at most.
const SLEW_PERCENT: u64 = 10;

/// The keys, and when they were set.
pub(super) struct Kept(Instant);

impl Kept {
    pub(super) fn set(cluster: &Cluster) -> Self {
        let running = cluster.running();
        for (number, node) in (0..KEYS).zip(running.into_iter().cycle()) {
            let (key, ttl) = (format!("kept{number}"), TTL_MS.to_string());
            cluster.tell(node, &["SET", &key, "v", "PX", &ttl]);
        }
        Self(Instant::now())
    }

    /// They are all there, and no clock has taken more of their time than has passed.
    pub(super) fn violations(&self, cluster: &Cluster) -> Vec<String> {
        let passed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        let least = TTL_MS - passed - passed * SLEW_PERCENT / 100 - CLOCK_BOUND_MS - 1_000;
        let mut violations = Vec::new();
        let running = cluster.running();
        for (number, node) in (0..KEYS).zip(running.into_iter().cycle()) {
            let key = format!("kept{number}");
            let left: i64 = cluster.ask(node, &["PTTL", &key]);
            if !u64::try_from(left).is_ok_and(|left| (least..=TTL_MS).contains(&left)) {
                let bounds = format!("{least} to {TTL_MS}");
                violations
                    .push(format!("{key} has {left} ms to live on n{}, not {bounds}", node + 1));
            }
        }
        violations
    }
}
