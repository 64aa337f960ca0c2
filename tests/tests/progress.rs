//! Progress where standard error is no terminal: one line now and then, the last one at the end.
use std::process::Command;

fn lines(args: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pages"));
    let output = command.arg("--work").arg(folder.path()).args(args).output().unwrap();
    assert!(output.stdout.is_empty(), "standard output is the program's own");
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_last_line_has_the_final_counts_and_comes_before_the_summary() {
    let lines = lines(&[]);
    assert!(lines[0].starts_with("4 of 6 jobs ended, 2 parked, 2 errors, "), "{lines:?}");
    assert!(
        lines[1].starts_with("complete, but for 2 parked jobs; see `report` (7 steps, 2 errors"),
        "{lines:?}"
    );
}

#[test]
fn a_first_line_comes_within_a_second_and_no_escape_codes_at_all() {
    let lines = lines(&["--good", "150", "--slow", "30"]);
    let summary = lines.iter().position(|line| line.starts_with("complete")).unwrap();
    assert!(summary >= 2, "{lines:?}");
    assert!(lines[0].contains(" waiting, ") && lines[0].contains("0:00 elapsed"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:?}");
}
