//! Numbers with units: read from the command line, and written for people.

use std::fmt;
use std::time::Duration;

/// Reads a size in bytes: `8972`, `64KiB`, `64k`, `8MiB`, `1.5GB`. A bare k, M or G is binary, as
/// buffers and heaps usually are.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => {
            return Err(format!("`{unit}` is no unit of size; use B, KiB, MiB, GiB, kB, MB or GB"));
        }
    };
    let bytes = match digits.parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale),
        Err(_) => digits.parse::<f64>().ok().and_then(|number| {
            let bytes = number * scale as f64;
            // Beyond 2^53 a float no longer counts single bytes.
            (bytes.fract() == 0.0 && bytes < (1_u64 << 53) as f64).then_some(bytes as u64)
        }),
    };
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "not a number of bytes; examples: 8972, 64KiB, 8MiB".to_owned())
}

/// Reads a whole number, decimal or with `0x` hexadecimal, such as an item id.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "not a whole number; examples: 4096, 0x1600".to_owned())
}

/// Reads a time in seconds, or with a unit: `2`, `0.5`, `250ms`, `10us`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "min" => 60.0,
        _ => return Err(format!("`{unit}` is no unit of time; use s, ms, us or min")),
    };
    let seconds = digits.parse::<f64>().ok().map(|number| number * scale);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "not a time; examples: 2, 0.5, 250ms".to_owned())
}

/// Reads a rate in Gb/s: above 0.
pub(crate) fn gigabits(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a rate in Gb/s; example: 4".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("a rate in Gb/s has to be above 0".to_owned())
    }
}

/// Reads a rate in Gb/s, or 0.
pub(crate) fn gigabits_or_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(0.0) => Ok(0.0),
        _ => gigabits(text),
    }
}

/// A chosen size, in the largest binary unit that divides it.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if bytes > 0 && bytes.is_multiple_of(scale) {
                return write!(f, "{} {unit}", bytes / scale);
            }
        }
        if bytes < 10_000 { write!(f, "{bytes} B") } else { Volume(bytes).fmt(f) }
    }
}

/// A measured amount of data, in decimal units with three digits.
pub(crate) struct Volume(pub(crate) u64);

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = match self.0 {
            bytes @ 0..1000 => return write!(f, "{bytes} B"),
            1000..1_000_000 => ("kB", 1e3),
            1_000_000..1_000_000_000 => ("MB", 1e6),
            1_000_000_000..1_000_000_000_000 => ("GB", 1e9),
            _ => ("TB", 1e12),
        };
        let amount = self.0 as f64 / scale;
        let decimals = if amount < 10.0 { 2 } else { usize::from(amount < 100.0) };
        write!(f, "{amount:.decimals$} {unit}")
    }
}

/// Bytes over a time, in bits per second.
pub(crate) struct Rate {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Rate {
    pub(crate) fn gigabits(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e9 / self.time.as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabits = self.gigabits();
        if gigabits >= 0.1 || self.bytes == 0 {
            write!(f, "{gigabits:.2} Gb/s")
        } else {
            write!(f, "{:.2} Mb/s", gigabits * 1e3)
        }
    }
}

/// A count with its noun: `1 heap`, `12 heaps`.
pub(crate) struct Count<'a>(pub(crate) u64, pub(crate) &'a str);

impl fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("8972"), Ok(8972));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("1.5 GB"), Ok(1_500_000_000));
        for bad in ["", "x", "-1", "1.0001k", "99999999999GiB", "1..2", "3 parsecs"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_times_and_rates_are_read() {
        assert_eq!(number("0x1600"), Ok(0x1600));
        assert_eq!(number("4096"), Ok(4096));
        assert!(number("0x").is_err() && number("1e3").is_err());
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert!(duration("-1").is_err() && duration("1h30").is_err());
        assert_eq!(gigabits("4"), Ok(4.0));
        assert_eq!((gigabits_or_zero("0"), gigabits_or_zero("2.5")), (Ok(0.0), Ok(2.5)));
        assert!(gigabits_or_zero("-1").is_err());
        assert!(gigabits("0").is_err() && gigabits("inf").is_err() && gigabits("NaN").is_err());
    }

    #[test]
    fn amounts_are_written_for_people() {
        let shown = |bytes| Bytes(bytes).to_string();
        assert_eq!(shown(65_536), "64 KiB");
        assert_eq!(shown(8972), "8972 B");
        assert_eq!(shown(0), "0 B");
        assert_eq!(Volume(1_234_567).to_string(), "1.23 MB");
        assert_eq!(Volume(65_536).to_string(), "65.5 kB");
        let rate = |bytes| Rate { bytes, time: Duration::from_secs(1) }.to_string();
        assert_eq!(rate(500_000_000), "4.00 Gb/s");
        assert_eq!(rate(125_000), "1.00 Mb/s");
        assert_eq!(Count(1, "heap").to_string(), "1 heap");
        assert_eq!(Count(0, "heap").to_string(), "0 heaps");
    }
}
