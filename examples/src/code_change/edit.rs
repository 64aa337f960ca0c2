//! The change itself: one line in the crate root.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Item};

/// What is added.
pub(crate) const LINE: &str = "#![forbid(unsafe_code)]";

/// Changes the package in `tree`. Says whether there was anything to change.
pub(crate) fn forbid_unsafe_code(tree: &Path) -> io::Result<bool> {
    let manifest: DocumentMut =
        fs::read_to_string(tree.join("Cargo.toml"))?.parse().map_err(io::Error::other)?;
    let root = tree.join(crate_root(tree, &manifest)?);
    let source = fs::read_to_string(&root)?;
    let forbidden_for_all = manifest
        .get("lints")
        .and_then(|lints| lints.get("rust")?.get("unsafe_code"))
        .is_some_and(|level| level.as_str().or_else(|| level.get("level")?.as_str()) == Some("forbid"));
    if forbidden_for_all || forbids(&source) {
        return Ok(false);
    }
    fs::write(root, with_line(&source))?;
    Ok(true)
}

/// Where the library starts, or else the first program.
fn crate_root(tree: &Path, manifest: &DocumentMut) -> io::Result<PathBuf> {
    let path = |target: &Item| Some(PathBuf::from(target.get("path")?.as_str()?));
    let library = manifest.get("lib").and_then(path);
    let program = || path(manifest.get("bin")?.get(0)?);
    let usual =
        || ["src/lib.rs", "src/main.rs"].map(PathBuf::from).into_iter().find(|p| tree.join(p).exists());
    library.or_else(usual).or_else(program).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no crate root: neither `[lib]` nor `src/main.rs`")
    })
}

/// Some inner attribute forbids it, also as one of several lints, under a condition, or over several lines.
fn forbids(source: &str) -> bool {
    let mut attribute = String::new();
    for line in source.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if !attribute.is_empty() || line.starts_with("#![") {
            attribute.extend(line.chars().filter(|c| !c.is_whitespace()));
            if attribute.contains("forbid(") && attribute.contains("unsafe_code") {
                return true;
            }
            if line.ends_with(']') {
                attribute.clear();
            }
        }
    }
    false
}

/// Behind the crate's documentation, which comes first by custom; else at the top.
fn with_line(source: &str) -> String {
    let newline = if source.contains("\r\n") { "\r\n" } else { "\n" };
    let (mut at, mut read) = (0, 0);
    for line in source.split_inclusive('\n') {
        read += line.len();
        let text = line.trim_start_matches('\u{feff}').trim();
        let script = read == line.len() && text.starts_with("#!/");
        if text.starts_with("//!") || script {
            at = read;
        } else if !text.is_empty() && !text.starts_with("//") {
            break;
        }
    }
    if at == 0 && source.starts_with('\u{feff}') {
        at = '\u{feff}'.len_utf8();
    }
    let (before, after) = source.split_at(at);
    let gap = if before.trim_start_matches('\u{feff}').is_empty() { "" } else { newline };
    format!("{before}{gap}{LINE}{newline}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_comes_behind_the_documentation() {
        for (source, edited) in [
            ("fn a() {}\n", "#![forbid(unsafe_code)]\nfn a() {}\n"),
            ("//! A.\n\n//! B.\nfn a() {}\n", "//! A.\n\n//! B.\n\n#![forbid(unsafe_code)]\nfn a() {}\n"),
            ("// (c)\n\n/// A.\nfn a() {}\n", "#![forbid(unsafe_code)]\n// (c)\n\n/// A.\nfn a() {}\n"),
            ("#!/bin/x\nfn a() {}\n", "#!/bin/x\n\n#![forbid(unsafe_code)]\nfn a() {}\n"),
            ("\u{feff}fn a() {}", "\u{feff}#![forbid(unsafe_code)]\nfn a() {}"),
            ("//! A.\r\nfn a() {}\r\n", "//! A.\r\n\r\n#![forbid(unsafe_code)]\r\nfn a() {}\r\n"),
            ("//! A.", "//! A.\n#![forbid(unsafe_code)]\n"),
            ("", "#![forbid(unsafe_code)]\n"),
        ] {
            assert_eq!(with_line(source), edited);
            assert!(!forbids(source) && forbids(edited));
        }
    }

    #[test]
    fn a_line_that_is_there_is_seen() {
        for source in [
            "#![forbid(unsafe_code)]",
            "#![no_std]\n#![forbid(missing_docs, unsafe_code)]",
            "#![forbid(\n    missing_docs,\n    unsafe_code,\n)]",
            "#![cfg_attr(not(test), forbid(unsafe_code))]",
        ] {
            assert!(forbids(source), "{source}");
        }
        for source in
            ["#![deny(unsafe_code)]", "// #![forbid(unsafe_code)]", "#![no_std]\nforbid(unsafe_code)"]
        {
            assert!(!forbids(source), "{source}");
        }
    }
}
