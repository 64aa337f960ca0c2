//! Exports from libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jorb_tests::fuzz::import(bytes));
