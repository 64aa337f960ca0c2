//! What handlers work with: the work folder, the outbox, what cargo has on this machine.
use std::{
    fs::{self, File, TryLockError},
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tempfile::TempDir;

use crate::{mail::Outbox, manifest::Cache};

/// Built anew by each process. All that has to survive one is in the run and in the work folder:
///
/// ```text
/// run.jorb              the run
/// packages/NAME/edit    what a step has left: here `Edit`
/// outbox/NAME.patch     the patches
/// outbox.mbox           and as messages
/// attempts/             what steps are working on
/// target/N              what cargo has built, one folder for each cargo that runs at a time
/// lock                  locked by the process that works here
/// ```
pub(crate) struct App {
    work: PathBuf,
    pub(crate) cache: Cache,
    pub(crate) outbox: Outbox,
    targets: Mutex<Targets>,
    /// Unlocked by the system when the process ends, in whatever way.
    _lock: File,
}

/// Folders for cargo, of which each serves one cargo at a time: two would wait for each other's lock.
#[derive(Default)]
struct Targets {
    free: Vec<PathBuf>,
    made: usize,
}

impl App {
    pub(crate) fn open(work: &Path, cargo_home: &Path) -> io::Result<Self> {
        for part in ["attempts", "outbox", "packages", "target"] {
            fs::create_dir_all(work.join(part))?;
        }
        let work = work.canonicalize()?;
        // As in cargo's own target folder: git should not offer to commit it.
        fs::write(work.join(".gitignore"), "*\n")?;
        let lock = File::create(work.join("lock"))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                io::Error::other(format!("another process works in {}", work.display()))
            }
            TryLockError::Error(e) => e,
        })?;
        // What a killed process was working on. Its git or cargo may still be at it and bring a folder back: that
        // does no harm, because nobody uses a folder there twice.
        for left in fs::read_dir(work.join("attempts"))? {
            let _ = fs::remove_dir_all(left?.path());
        }
        let outbox = Outbox::open(&work.join("outbox.mbox"))?;
        Ok(App { cache: Cache::read(cargo_home)?, outbox, targets: Mutex::default(), work, _lock: lock })
    }

    /// What the step `step` has left of a package.
    pub(crate) fn tree(&self, package: &str, step: &str) -> PathBuf {
        self.work.join("packages").join(package).join(step)
    }

    /// The patch of a package.
    pub(crate) fn patch(&self, package: &str) -> PathBuf {
        self.work.join("outbox").join(format!("{package}.patch"))
    }

    /// A folder that no other attempt has or has had.
    pub(crate) fn attempt(&self) -> io::Result<Attempt> {
        Ok(Attempt(tempfile::tempdir_in(self.work.join("attempts"))?))
    }

    /// A folder for one cargo to build in, given back when it is dropped. What is built there serves the next one.
    pub(crate) fn target(&self) -> Target<'_> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = targets.free.pop().unwrap_or_else(|| {
            targets.made += 1;
            self.work.join("target").join(targets.made.to_string())
        });
        Target { folder, targets: &self.targets }
    }
}

/// The folder of one attempt at a step, removed when the attempt is over.
///
/// That makes the step idempotent: it never changes what the step before it has left. It takes a copy, works on that,
/// and puts it, finished, in its place with one rename. So wherever it is cut short, by a timeout, by Ctrl-C or by
/// `kill -9`, the next attempt starts from the same. (A machine that loses its power may lose files that were not
/// flushed, which would be slow here. Then the next step parks its job, and `redrive --to Checkout` starts it over.)
pub(crate) struct Attempt(TempDir);

impl Attempt {
    /// Where to work.
    pub(crate) fn tree(&self) -> PathBuf {
        self.0.path().join("tree")
    }

    /// The work is done: puts what is at [`Attempt::tree`] at `place`, and drops what is there from an attempt that was
    /// not committed, or from before a redrive.
    pub(crate) fn keep(self, place: &Path) -> io::Result<()> {
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        // A folder cannot be renamed over another.
        match fs::rename(place, self.0.path().join("old")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => fs::rename(self.tree(), place),
        }
    }
}

pub(crate) struct Target<'a> {
    folder: PathBuf,
    targets: &'a Mutex<Targets>,
}

impl Deref for Target<'_> {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        self.targets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .free
            .push(std::mem::take(&mut self.folder));
    }
}

/// Copies a folder with all that is in it, but for links.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&path, &to)?;
        } else if kind.is_file() {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

/// How many bytes it holds.
pub(crate) fn size(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}
