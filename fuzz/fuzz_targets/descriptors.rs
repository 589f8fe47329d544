#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| speadway::recv::fuzz::descriptors(bytes));
