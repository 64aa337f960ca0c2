//! The real program, with its stand-in for a provider.
use std::{
    error::Error,
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

const PROMPTS: usize = 120;

#[test]
fn a_batch_uses_its_budget_of_tokens_and_exceeds_no_limit() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm_batch"));
        command.args(args).arg("--work").arg(dir.path()).stderr(Stdio::null()).output()
    };
    let json = dir.path().join("figures.json");
    let output = run(&["--count", &PROMPTS.to_string(), "--json", &json.display().to_string()])?;
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&fs::read(json)?)?;
    assert_eq!(figures["answered"], PROMPTS, "{figures}");
    assert_eq!(figures["throttled"], 0, "{figures}");
    // What failed was tried again.
    assert_eq!(figures["failed"], PROMPTS / 50, "{figures}");
    // Its ends weigh more in a short run.
    let used = figures["tokens_used"].as_f64().unwrap_or(f64::NAN);
    assert!((0.85..1.1).contains(&used), "{figures}");

    // It is kept: nothing is asked twice.
    let output = run(&["--count", &PROMPTS.to_string(), "--quiet"])?;
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let answers = String::from_utf8(run(&["answers"])?.stdout)?;
    let first: Value = serde_json::from_str(answers.lines().next().ok_or("no answer")?)?;
    assert!(first["answer"].as_str().is_some_and(|text| text.ends_with(" tokens.")), "{first}");
    assert_eq!(answers.lines().count(), PROMPTS);
    Ok(())
}
