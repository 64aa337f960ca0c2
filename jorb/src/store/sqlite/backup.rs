//! A copy of a run.
use std::{fs::File, io, path::Path};

use super::{fail::Fail, open};
use crate::{Error, store::lock::canonical};

pub(super) fn backup(from: &Path, to: &Path) -> Result<(), Error> {
    const DOING: &str = "write a copy to it";
    let (_, conn) = open::reader(from)?;
    let to = canonical(to)?;
    let disk = || Error::disk::<io::Error>(&to, DOING);
    if to.try_exists().map_err(disk())? {
        return Err(disk()(io::ErrorKind::AlreadyExists.into()));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let remove = |_: &Error| drop(std::fs::remove_file(part));
    // Left over from a copy that was cut.
    match std::fs::remove_file(part) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(disk()(e)),
        _ => {}
    }
    let Some(name) = part.to_str() else {
        return Err(disk()(io::Error::new(io::ErrorKind::InvalidFilename, "the path is not UTF-8")));
    };
    conn.execute("VACUUM INTO ?1", [name]).map_err(|e| Fail::from(e).on(&to, DOING)).inspect_err(remove)?;
    // SQLite does not wait until the copy is on the disk.
    let settle = || {
        File::open(part)?.sync_all()?;
        std::fs::rename(part, &to)?;
        to.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    settle().map_err(disk()).inspect_err(remove)
}
