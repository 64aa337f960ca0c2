//! Makes the library that `torture` preloads into its child.
use std::{env, fs, path::PathBuf, process::Command};

fn main() {
    const SOURCE: &str = "shim/faults.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let library = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("faults.so");
    let is = |key, value| env::var(key).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        // Nothing can be preloaded there, or its files have other functions.
        fs::write(library, []).expect("the output folder can be written");
        return;
    }
    let mut cc: Command = cc::Build::new().opt_level(2).pic(true).get_compiler().to_command();
    cc.args(["-Wall", "-Wextra", "-shared", SOURCE, "-ldl", "-o"]).arg(library);
    let made = cc.status().expect("a C compiler is needed");
    assert!(made.success(), "{cc:?} failed");
}
