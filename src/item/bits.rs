//! Numbers of any number of bits, most significant bit first and without gaps.

/// Reads numbers from bytes. Behind the end there are zeros.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: u64,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next number of `bits` bits, 128 at most.
    pub(super) fn read(&mut self, bits: u32) -> u128 {
        if bits > 64 {
            let high = self.read_short(bits.min(128) - 64);
            return u128::from(high) << 64 | u128::from(self.read_short(64));
        }
        self.read_short(bits).into()
    }

    pub(super) fn skip(&mut self, bits: u64) {
        self.at = self.at.saturating_add(bits);
    }

    /// The next number of 64 bits or less, which lie in 9 bytes at most.
    fn read_short(&mut self, bits: u32) -> u64 {
        let end = self.at + u64::from(bits);
        let (first, last) = (self.at / 8, end.div_ceil(8));
        let window = (first..last).fold(0_u128, |window, at| {
            let byte = usize::try_from(at).ok().and_then(|at| self.bytes.get(at));
            window << 8 | u128::from(byte.copied().unwrap_or(0))
        });
        self.at = end;
        let value = window >> (last * 8 - end);
        // The window begins with bits of the number before.
        (value & ((1 << bits) - 1)) as u64
    }
}

/// Writes numbers to bytes, and fills the last byte up with zeros.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that is not yet whole; as many as `count`, below 8.
    pending: u8,
    count: u32,
}

impl BitWriter {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends the lower `bits` bits, 128 at most.
    pub(super) fn write(&mut self, value: u128, bits: u32) {
        if bits > 64 {
            self.write_short((value >> 64) as u64, bits.min(128) - 64);
            return self.write_short(value as u64, 64);
        }
        self.write_short(value as u64, bits);
    }

    fn write_short(&mut self, value: u64, bits: u32) {
        let value = u128::from(value) & ((1 << bits) - 1);
        let window = u128::from(self.pending) << bits | value;
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((window >> self.count) as u8);
        }
        self.pending = (window & ((1 << self.count) - 1)) as u8;
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending << (8 - self.count));
        }
        self.bytes
    }
}

/// The value of an IEEE 754 half-precision number; all of them fit.
pub(super) fn f16_to_f64(half: u16) -> f64 {
    let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
    let mantissa = f64::from(half & 0x3ff);
    match half >> 10 & 0x1f {
        0 => sign * mantissa * 2_f64.powi(-24),
        0x1f if mantissa == 0.0 => sign * f64::INFINITY,
        0x1f => f64::NAN,
        exponent => sign * (1024.0 + mantissa) * 2_f64.powi(i32::from(exponent) - 25),
    }
}

/// The nearest half-precision number, to even if two are.
pub(super) fn f64_to_f16(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    let half = if size.is_nan() {
        0x7e00
    } else if size >= 65520.0 {
        // Halfway between the largest finite number and what would follow it.
        0x7c00
    } else if size < 2_f64.powi(-14) {
        (size * 2_f64.powi(24)).round_ties_even() as u16
    } else {
        let exponent = (size.to_bits() >> 52) as i32 - 1023;
        let mantissa = (size * 2_f64.powi(10 - exponent)).round_ties_even() as u16;
        // A mantissa rounded up to 2048 carries into the exponent, as it should.
        ((exponent + 14) << 10) as u16 + mantissa
    };
    sign | half
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_make_the_round_trip() {
        for half in 0..=u16::MAX {
            let value = f16_to_f64(half);
            assert!(value.is_nan() || f64_to_f16(value) == half, "{half:#x} is {value}");
        }
        for (value, half) in [
            (1.0, 0x3c00),
            (-1.5, 0xbe00),
            (65519.0, 0x7bff),
            (65520.0, 0x7c00),
            (2_f64.powi(-25), 0),
            (2_f64.powi(-25) * 1.5, 1),
            (1.0 + 2_f64.powi(-11), 0x3c00),
            (1.0 + 3.0 * 2_f64.powi(-11), 0x3c02),
        ] {
            assert_eq!(f64_to_f16(value), half, "{value}");
        }
        assert!(f16_to_f64(f64_to_f16(f64::NAN)).is_nan());
    }

    proptest! {
        #[test]
        fn numbers_make_the_round_trip(
            numbers in prop::collection::vec((any::<u128>(), 1_u32..=128), 0..20),
        ) {
            let mut writer = BitWriter::default();
            for &(number, bits) in &numbers {
                writer.write(number, bits);
            }
            let bytes = writer.finish();
            let total: u32 = numbers.iter().map(|(_, bits)| bits).sum();
            prop_assert_eq!(bytes.len(), total.div_ceil(8) as usize);
            let mut reader = BitReader::new(&bytes);
            for (number, bits) in numbers {
                prop_assert_eq!(reader.read(bits), number & (u128::MAX >> (128 - bits)));
            }
            prop_assert_eq!(reader.read(64) >> 8, 0);
        }
    }
}
