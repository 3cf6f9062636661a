//! Time as an argument.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z. The core never reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

const DAY: i64 = 86_400;

/// Days in 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

impl fmt::Display for UnixTime {
    /// RFC 3339 in UTC, such as `2024-05-12T05:17:42Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // Years that begin on 1 March, so that the leap day is the last of its year; day 0 of the
        // first era is 0000-03-01, 719,468 days before 1970-01-01.
        let (era, day) = ((days + 719_468).div_euclid(ERA), (days + 719_468).rem_euclid(ERA));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let year = era * 400 + year + i64::from(month >= 10);
        let month = if month < 10 { month + 3 } else { month - 9 };
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `date -u -d @N +%FT%TZ`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (second, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_715_491_062, "2024-05-12T05:17:42Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(UnixTime(second).to_string(), text);
        }
        for extreme in [i64::MIN, i64::MAX] {
            assert!(UnixTime(extreme).to_string().ends_with('Z'));
        }
    }
}
