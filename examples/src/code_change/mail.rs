//! The outbox: a file of messages, each in it once.
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// An mbox file to which messages are appended, each key once.
///
/// It stands for any service that acts on what it gets: what makes a step idempotent there is a key that the service
/// remembers. Here the key is the `Message-ID`, and the file itself remembers it.
pub(crate) struct Outbox {
    file: Mutex<Mbox>,
}

struct Mbox {
    file: File,
    /// Where the next message goes: what is behind is torn.
    end: u64,
    sent: HashSet<String>,
}

impl Outbox {
    /// Opens the file at `path`, or makes it. Only one process may have it open.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let (end, sent) = read(&content);
        // A machine that lost its power, or a full disk, can leave the first half of a message. Its job did not
        // commit, so it is sent again, and the half goes.
        file.set_len(end)?;
        Ok(Outbox { file: Mutex::new(Mbox { file, end, sent }) })
    }

    /// Appends `patch` as a message, unless the one with this key is there. Says whether it did. It is on disk when
    /// this returns: the job's next state must not know more than the disk does.
    pub(crate) fn send(&self, key: &str, to: &str, patch: &str) -> io::Result<bool> {
        let mut mbox = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if mbox.sent.contains(key) {
            return Ok(false);
        }
        let message = message(key, to, patch)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the patch is no message"))?;
        let at = SeekFrom::Start(mbox.end);
        mbox.file.seek(at)?;
        // After an error the next message overwrites what this one left.
        mbox.file.write_all(message.as_bytes())?;
        mbox.file.sync_data()?;
        mbox.end += message.len() as u64;
        mbox.sent.insert(key.to_owned());
        Ok(true)
    }
}

/// What `git format-patch` wrote, with headers that say what message it is, to whom, and where it ends.
fn message(key: &str, to: &str, patch: &str) -> Option<String> {
    let (from, rest) = patch.split_once('\n')?;
    let (headers, body) = rest.split_once("\n\n")?;
    let length = body.len();
    Some(format!(
        "{from}\nMessage-ID: <{key}@code_change>\nTo: {to}\nContent-Length: {length}\n{headers}\n\n{body}\n"
    ))
}

/// Where the last whole message ends, and the keys of all of them.
fn read(content: &[u8]) -> (u64, HashSet<String>) {
    let (mut end, mut sent) = (0, HashSet::new());
    while let Some((key, length)) = first(&content[end..]) {
        end += length;
        sent.insert(key);
    }
    (end as u64, sent)
}

/// The key and the length of the message that `content` starts with, if it is whole.
fn first(content: &[u8]) -> Option<(String, usize)> {
    let headers = content.windows(2).position(|w| w == b"\n\n")? + 1;
    let (mut key, mut length) = (None, None);
    for line in str::from_utf8(&content[..headers]).ok()?.lines() {
        if let Some(id) = line.strip_prefix("Message-ID: <") {
            key = id.strip_suffix("@code_change>");
        } else if let Some(n) = line.strip_prefix("Content-Length: ") {
            length = n.parse::<usize>().ok();
        }
    }
    let body = headers + 1;
    let end = body.checked_add(length?)?;
    (content.get(end)? == &b'\n').then_some((key?.to_owned(), end + 1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PATCH: &str =
        "From 1234 Mon Sep 17 00:00:00 2001\nFrom: a <a@b>\nSubject: [PATCH] x\n\n---\n+y\n-- \n2\n";

    #[test]
    fn a_key_is_sent_once_also_after_a_restart() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("outbox.mbox");
        for fresh in [true, false] {
            let outbox = Outbox::open(&path)?;
            assert_eq!(outbox.send("run/1/7", "a", PATCH)?, fresh);
            assert_eq!(outbox.send("run/2/7", "b", PATCH)?, fresh);
            assert!(!outbox.send("run/1/7", "a", PATCH)?);
        }
        assert_eq!(fs::read_to_string(path)?.matches("Message-ID: <run/1/7@").count(), 1);
        Ok(())
    }

    #[test]
    fn a_torn_message_is_cut_off_and_sent_again() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("outbox.mbox");
        let outbox = Outbox::open(&path)?;
        outbox.send("1", "a", PATCH)?;
        let first = fs::read(&path)?.len();
        outbox.send("2", "b", PATCH)?;
        let whole = fs::read(&path)?;
        for torn in first..whole.len() {
            fs::write(&path, &whole[..torn])?;
            let outbox = Outbox::open(&path)?;
            assert!(!outbox.send("1", "a", PATCH)?, "the whole message was forgotten at {torn}");
            assert!(outbox.send("2", "b", PATCH)?, "half a message counted as sent at {torn}");
            assert_eq!(fs::read(&path)?, whole);
        }
        Ok(())
    }
}
