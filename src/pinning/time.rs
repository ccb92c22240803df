//! RFC 3339 dates and times, as `expires` has them.

use super::error::{Invalid, quoted};

const DAY: i64 = 86_400;

/// Reads `2027-03-01T00:00:00Z` as Unix seconds; an offset and a fraction, which is dropped, are
/// allowed.
///
/// # Errors
///
/// Any other form (lower case, a blank for `T`, no zone, a leap second), a date or time that does
/// not exist, and one that lies in UTC outside the years 0 to 9999.
pub(super) fn parse(text: &str) -> Result<i64, Invalid> {
    read(text).filter(|seconds| YEARS.contains(seconds)).ok_or_else(|| {
        Invalid::new(
            format!("{} is not an RFC 3339 date and time", quoted(text)),
            "write it such as `2027-03-01T00:00:00Z`",
        )
    })
}

/// Writes Unix seconds, of the years 0 to 9999, in UTC.
#[must_use]
pub fn format(seconds: i64) -> String {
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// 0000-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

fn read(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = offset(skip_fraction(rest)?)?;
    Some(days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset)
}

/// Three decimal numbers of these lengths with a separator between them.
fn numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == length)?;
        *number = decimal(part)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// As `str::parse`, without a sign.
fn decimal(digits: &str) -> Option<i64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn skip_fraction(text: &str) -> Option<&str> {
    let Some(fraction) = text.strip_prefix('.') else {
        return Some(text);
    };
    let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < fraction.len()).then_some(rest)
}

/// The seconds that local time is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, time) = match zone.split_at_checked(1)? {
        ("+", time) => (1, time),
        ("-", time) => (-1, time),
        _ => return None,
    };
    let (hour, minute) = time.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let (hour, minute) = (decimal(hour)?, decimal(minute)?);
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 3600 + minute * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970-01-01 to a date of the Gregorian calendar.
///
/// The year is taken to begin in March, so that the leap day is its last; an era is the 400 years
/// after which the calendar repeats.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_date_is_read_as_unix_seconds() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2027-03-01T00:00:00Z", 1_803_859_200),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
            assert_eq!(format(seconds), text);
        }
        for (text, seconds) in [
            ("2027-03-01T00:00:00.000Z", 1_803_859_200),
            ("2027-03-01T00:00:00.999999999Z", 1_803_859_200),
            ("2027-03-01T02:00:00+02:00", 1_803_859_200),
            ("2027-02-28T18:30:00-05:30", 1_803_859_200),
            ("2027-03-01T00:00:00-00:00", 1_803_859_200),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "2027",
            "2027-03-01",
            "2027-03-01T00:00:00",
            "2027-03-01 00:00:00Z",
            "2027-03-01t00:00:00Z",
            "2027-03-01T00:00:00z",
            "2027-03-01T00:00Z",
            "2027-3-1T00:00:00Z",
            "27-03-01T00:00:00Z",
            "+027-03-01T00:00:00Z",
            "-027-03-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-03-00T00:00:00Z",
            "2027-04-31T00:00:00Z",
            "2027-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2027-03-01T24:00:00Z",
            "2027-03-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "2027-03-01T00:00:00.Z",
            "2027-03-01T00:00:00,5Z",
            "2027-03-01T00:00:00+0200",
            "2027-03-01T00:00:00+24:00",
            "2027-03-01T00:00:00+02:60",
            "2027-03-01T00:00:00+02",
            "2027-03-01T00:00:00ZZ",
            "2027-03-01T00:00:00Z ",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "２027-03-01T00:00:00Z",
            "1803859200",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.problem.contains("RFC 3339"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_second_round_trips(seconds in YEARS) {
            prop_assert_eq!(parse(&format(seconds)), Ok(seconds));
        }

        #[test]
        fn parsing_never_panics(text in ".*|[0-9TZ:+.-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
