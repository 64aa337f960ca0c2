//! One process per run.
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::Error;

/// The right to change a run, until it is dropped or the process ends, however it ends.
///
/// The lock is on a file of its own beside the run: closing any descriptor of a SQLite database would drop SQLite's
/// own locks on it. The file stays behind; removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the run at `path`, which must have been made [`canonical`].
    pub(crate) fn take(path: &Path) -> Result<Lock, Error> {
        if let Some(kind) = network_filesystem(path) {
            return Err(Error::NetworkFilesystem { path: path.to_owned(), kind });
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let disk = |doing| Error::disk::<std::io::Error>(path, doing);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(name)
            .map_err(disk("open its lock file"))?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(Error::InUse { path: path.to_owned(), pid: pid.trim().parse().unwrap_or(0) });
            }
            Err(TryLockError::Error(e)) => return Err(disk("lock it")(e)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(disk("write its lock file"))?;
        Ok(Lock { _file: file })
    }
}

/// Whether somebody has the lock, which is this file: for those who only look, and may write nothing.
pub(crate) fn is_taken(lock: &Path) -> bool {
    // Who takes it at this instant tries again: see `MOMENT`.
    File::open(lock).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// A process that was killed while it started another one leaves its locks to that one for a moment: until it turns
/// into the program it is to run, which closes them.
const MOMENT: Duration = Duration::from_millis(500);

fn lock(file: &File) -> Result<(), TryLockError> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < MOMENT => sleep(Duration::from_millis(10)),
            done => return done,
        }
    }
}

/// The path without links and dots, so that one run has one lock. The file need not exist, its folder must.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, Error> {
    let disk = Error::disk::<std::io::Error>(path, "find its folder");
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let folder = folder.canonicalize().map_err(disk)?;
    Ok(path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)))
}

/// A file beside the run, whichever way that was named.
pub(super) fn beside(path: &Path, suffix: &str) -> Option<PathBuf> {
    let mut name = canonical(path).ok()?.into_os_string();
    name.push(suffix);
    Some(name.into())
}

/// The kind of network filesystem that `path` is on.
#[cfg(target_os = "linux")]
fn network_filesystem(path: &Path) -> Option<&'static str> {
    // From statfs(2).
    let kinds = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x00c3_6400, "Ceph"),
    ];
    let status = rustix::fs::statfs(path.parent()?).ok()?;
    let found = i128::from(status.f_type) & 0xffff_ffff;
    kinds.into_iter().find(|(magic, _)| *magic == found).map(|(_, kind)| kind)
}

#[cfg(not(target_os = "linux"))]
fn network_filesystem(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_first_ones_process() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let path = canonical(&folder.path().join("run")).unwrap();
        let detour = canonical(&folder.path().join("sub/../run")).unwrap();
        let first = Lock::take(&path).unwrap();
        let second = Lock::take(&detour).unwrap_err();
        assert!(matches!(second, Error::InUse { pid, .. } if pid == std::process::id()), "{second}");
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_lock_that_is_let_go_of_a_moment_later_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = canonical(&folder.path().join("run")).unwrap();
        let dying = Lock::take(&path).unwrap();
        let death = std::thread::spawn(move || {
            sleep(MOMENT / 10);
            drop(dying);
        });
        Lock::take(&path).unwrap();
        death.join().unwrap();
    }
}
