//! Moments on the wall clock, as people read them.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long ago; `never` for 0.
pub(crate) fn age(stamp_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(stamp_ms) / 1000;
    match seconds {
        _ if stamp_ms == 0 => "never".to_owned(),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        172_800.. => format!("{} days ago", seconds / 86_400),
    }
}

/// Date, time and age of Unix milliseconds, in UTC; 0 is a moment that nobody knows.
pub(crate) fn show(ms: u64, now_ms: u64) -> String {
    if ms == 0 {
        return "not known".to_owned();
    }
    let (year, month, day) = date(ms / DAY_MS);
    let seconds = ms % DAY_MS / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let moment = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
    // Clocks differ: what lies ahead is not called past.
    if ms > now_ms { moment } else { format!("{moment}, {}", age(ms, now_ms)) }
}

/// Year, month and day of so many days after the first of January 1970. Counted from the first of March, so that
/// a leap day is the last one of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    // From the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, after) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + after, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        for (seconds, expected) in
            [(5, "5 s ago"), (3_600, "60 min ago"), (7_200, "2 h ago"), (864_000, "10 days ago")]
        {
            assert_eq!(age(1_000, 1_000 + seconds * 1000), expected);
        }
        assert_eq!(age(0, 5), "never");
    }

    #[test]
    fn a_moment_is_shown_with_its_date_and_its_age() {
        for (seconds, expected) in [
            (1, "1970-01-01 00:00:01 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_704_067_199, "2023-12-31 23:59:59 UTC"),
            (1_704_067_200, "2024-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(show(seconds * 1000, 0), expected);
        }
        assert_eq!(show(1_000, 121_000), "1970-01-01 00:00:01 UTC, 2 min ago");
        assert_eq!(show(0, 9), "not known");
    }
}
