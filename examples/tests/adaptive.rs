//! The real program, with its own server.
use std::{
    error::Error,
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

#[test]
fn a_hidden_capacity_is_found_used_and_found_again_when_it_is_halved() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (json, plot) = (dir.path().join("figures.json"), dir.path().join("plot.png"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_adaptive"));
    command.args(["--seconds", "12", "--json"]).arg(&json).arg("--plot").arg(&plot);
    let output = command.stderr(Stdio::null()).output()?;
    assert!(output.status.success(), "{}", output.status);
    let said = String::from_utf8(output.stdout)?;
    let figures: Value = serde_json::from_slice(&fs::read(json)?)?;
    let figure = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    // On a machine that does other things as well, timers are late and starts are fewer.
    assert!((0.5..=1.06).contains(&figure("steady_used")), "{figures}\n{said}");
    assert!(figure("steady_throttled") < 0.05, "{figures}\n{said}");
    assert!(figure("settle_s") < 3.5, "{figures}\n{said}");
    assert_eq!(fs::read(plot)?.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]));
    Ok(())
}
