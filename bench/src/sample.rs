//! Numbers of one run, and what is left of several.

/// One run of one contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ops_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Microseconds per operation, all nodes together.
    pub(crate) cpu_us: f64,
    /// Of that, the node that was asked.
    pub(crate) asked_us: f64,
    pub(crate) peak_mib: f64,
    /// Operations that shared a log entry or a read round, where the server tells.
    pub(crate) batch: Option<f64>,
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// How far the runs lie apart, as a part of their median; `None` for a single one.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let most = values.iter().copied().max_by(f64::total_cmp)?;
    Some((most - least) / median(values.iter().copied())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_one() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([]), None);
        assert_eq!(spread(&[3.0]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(1.0));
    }
}
