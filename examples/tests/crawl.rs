//! The real program, with its own server.
use std::{
    error::Error,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

#[test]
fn a_crawl_that_is_killed_again_and_again_sees_each_page_once() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let crawl = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crawl"));
        command
            .args(["--pages", "150", "--work"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    };
    // A kill at each stage of the start, and some while pages come in.
    for patience in [5, 10, 20, 40, 80, 160, 320, 640] {
        let mut child = crawl().spawn()?;
        sleep(Duration::from_millis(patience));
        assert_eq!(child.try_wait()?, None, "it was too fast to be killed");
        child.kill()?;
        child.wait()?;
    }
    let output = crawl().output()?;
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(String::from_utf8(output.stdout)?, "150 pages, each seen once\n");
    Ok(())
}
