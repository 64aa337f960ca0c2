//! Opening, which refuses what is not a run of this workflow before it changes anything.
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi, params};
use uuid::Uuid;

use super::{
    Driven, Open,
    checkpoint::{Checkpoints, checkpoint, log_of},
    fail::Fail,
    migrate::{self, migrate, read_as_today},
    overview::Overview,
    row::{natural, optional},
    schema::{APPLICATION, CREATE, FORMAT, TABLES, VIEWS},
    states::{States, Stranger},
};
use crate::{
    Backoff, Error, Rate, Saved, StateId, Timestamp, Tuning, UnknownState, Workflow,
    nearest::nearest,
    store::{
        Header, Learned, LimiterName, key_name,
        lock::{Lock, canonical},
    },
};

/// How long to wait for somebody who holds the file for a moment, such as a `sqlite3` shell in a transaction.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn drive<W: Workflow>(path: &Path) -> Result<(Open, Header<W>), Error> {
    let path = canonical(path)?;
    let lock = Lock::take(&path)?;
    open_to_drive(&path, lock).map_err(|fail| fail.on(&path, "open it"))
}

pub(super) fn read<W: Workflow>(path: &Path) -> Result<(Open, Header<W>), Error> {
    let (path, conn) = reader(path)?;
    open_to_read(&path, conn).map_err(|fail| fail.on(&path, "open it"))
}

/// A connection that changes nothing, and the canonical path, beside which SQLite has its log.
pub(super) fn reader(path: &Path) -> Result<(PathBuf, Connection), Error> {
    let no_run = || Error::NoRun { path: path.to_owned() };
    if !path.try_exists().map_err(Error::disk(path, "open it"))? {
        return Err(no_run());
    }
    let path = canonical(path)?;
    let connect = || {
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let new = is_new(&conn)?;
        if !new {
            check_format(&path, &conn)?;
        }
        Ok((conn, new))
    };
    let (conn, new) = connect()
        .or_else(|fail: Fail| {
            if !fail.is(ffi::SQLITE_READONLY_ROLLBACK) {
                return Err(fail);
            }
            // Somebody was cut while closing it: SQLite takes back what is half done when it may write.
            is_new(&self::connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)?;
            connect()
        })
        .map_err(|fail| fail.on(&path, "open it"))?;
    if new { Err(no_run()) } else { Ok((path, conn)) }
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Fail> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(64);
    // Nothing here is better off with an index that is made for one question: it would go through all jobs.
    conn.pragma_update(None, "automatic_index", false)?;
    Ok(conn)
}

fn open_to_drive<W: Workflow>(path: &Path, lock: Lock) -> Result<(Open, Header<W>), Fail> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut conn = connect(path, flags)?;
    if conn.is_readonly("main")? {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        return Err(Error::disk(path, "open it for writing")(denied).into());
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    let format = if is_new(&conn)? {
        create::<W>(&mut conn)?;
        FORMAT
    } else {
        let format = check_format(path, &conn)?;
        check_workflow::<W>(path, &conn)?;
        format
    };
    let (mut states, strangers) = States::read::<W>(&conn)?;
    refuse::<W>(path, &conn, &strangers)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let why = "SQLite cannot keep a write-ahead log on this filesystem";
        return Err(Error::disk(path, "open it for writing")(why).into());
    }
    secure(path, &conn)?;
    migrate(&mut conn, format)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Checkpoints are made elsewhere.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    renew_views(&mut conn)?;
    if !states.adopted::<W>() {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        states.adopt::<W>(&transaction)?;
        transaction.commit()?;
        states = States::read::<W>(&conn)?.0;
    }
    let checkpoints = Checkpoints::start(path)?;
    let driven = Some(Driven { checkpoints, _lock: lock });
    let overview = Overview::read::<W>(&conn, &states)?;
    let open = Open { conn, states, overview, keys: None, driven };
    let header = header(&open)?;
    Ok((open, header))
}

/// A process that was killed may have written a commit and not synced it. Steps start on it, so it must survive a cut of the
/// power from now on.
fn secure(path: &Path, conn: &Connection) -> Result<(), Fail> {
    let log = checkpoint(conn, "PASSIVE")?;
    if log.done < log.frames {
        // Somebody reads, so it stays in the log for now.
        let file = File::open(log_of(path)).and_then(|log| log.sync_all());
        file.map_err(Error::disk(path, "sync its log"))?;
    }
    Ok(())
}

/// Of what is read again and again: the inner pages of trees, and the jobs that move.
const CACHE_KIB: i32 = 32 * 1024;

fn open_to_read<W: Workflow>(path: &Path, conn: Connection) -> Result<(Open, Header<W>), Fail> {
    // All that is said is of one moment.
    conn.execute_batch("BEGIN")?;
    read_as_today(&conn)?;
    check_workflow::<W>(path, &conn)?;
    let (states, strangers) = States::read::<W>(&conn)?;
    refuse::<W>(path, &conn, &strangers)?;
    let overview = Overview::read::<W>(&conn, &states)?;
    let open = Open { conn, states, overview, keys: None, driven: None };
    let header = header(&open)?;
    open.conn.execute_batch("COMMIT")?;
    Ok((open, header))
}

/// Nobody has written to it, or somebody was cut while making it.
fn is_new(conn: &Connection) -> Result<bool, Fail> {
    Ok(conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))? == 0)
}

/// All of it or nothing: a crash leaves an empty file, or a journal from which SQLite makes one.
fn create<W: Workflow>(conn: &mut Connection) -> Result<(), Fail> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(CREATE)?;
    create_views(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.execute(
        "INSERT INTO run VALUES (1, ?1, ?2, ?3, ?4, 'no', 1, 0, 1, 1, 1, 0, 0, 0)",
        params![
            Uuid::new_v4().to_string(),
            W::NAME,
            super::int(Timestamp::now().0),
            env!("CARGO_PKG_VERSION")
        ],
    )?;
    transaction.commit()?;
    Ok(())
}

/// The views of an older version give way to today's.
fn renew_views(conn: &mut Connection) -> Result<(), Fail> {
    let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name = ?1 AND sql = ?2";
    for (name, sql) in VIEWS {
        if conn.query_row(known, [name, sql], |row| row.get::<_, i64>(0))? == 0 {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            create_views(&transaction)?;
            transaction.commit()?;
            return Ok(());
        }
    }
    Ok(())
}

fn create_views(conn: &Connection) -> Result<(), Fail> {
    for (name, sql) in VIEWS {
        conn.execute_batch(&format!("DROP VIEW IF EXISTS {name}; {sql}"))?;
    }
    Ok(())
}

/// It is a run, as far as can be seen at once; and its format.
fn check_format(path: &Path, conn: &Connection) -> Result<u32, Fail> {
    let application: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION {
        let reason = "it is a SQLite database of another program".into();
        return Err(Error::NotARun { path: path.to_owned(), reason }.into());
    }
    let found = migrate::format(conn)?;
    if found > FORMAT {
        return Err(Error::Format { path: path.to_owned(), found, known: FORMAT }.into());
    }
    if found == 0 {
        return Err(Fail::Damaged("its format is 0, which no version of jorb has written".into()));
    }
    let mut known = conn.prepare("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    for table in &TABLES[..TABLES.len() - [5, 3, 0][(found as usize).clamp(1, 3) - 1]] {
        if known.query_row([table], |row| row.get::<_, i64>(0))? == 0 {
            return Err(Fail::Damaged(format!("table `{table}` is missing")));
        }
    }
    check_length(path, conn)?;
    Ok(found)
}

/// A file that lost its end. The order of looking matters: somebody may just now bring a log into the file.
fn check_length(path: &Path, conn: &Connection) -> Result<(), Fail> {
    let pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let expected = conn.query_row(pages, [], |row| Ok(natural(row, 0)))??;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // With a log, the end may be there.
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let found = std::fs::metadata(path).map_err(Error::disk(path, "open it"))?.len();
    if found < expected {
        return Err(Fail::Damaged(format!("it is cut: {found} of {expected} bytes are left")));
    }
    Ok(())
}

fn check_workflow<W: Workflow>(path: &Path, conn: &Connection) -> Result<(), Fail> {
    let found: String = conn.query_row("SELECT workflow FROM run", [], |row| row.get(0))?;
    if found != W::NAME {
        return Err(Error::OtherWorkflow { path: path.to_owned(), found, expected: W::NAME }.into());
    }
    Ok(())
}

/// No job may be in a state that the program does not have.
fn refuse<W: Workflow>(path: &Path, conn: &Connection, strangers: &[Stranger]) -> Result<(), Fail> {
    let mut states = Vec::new();
    for Stranger { id, name } in strangers {
        let sum = "SELECT coalesce(sum(jobs), 0) FROM count WHERE state = ?1";
        let jobs = conn.query_row(sum, [id], |row| Ok(natural(row, 0)))??;
        if jobs > 0 {
            let nearest = nearest(name, StateId::<W>::all().map(StateId::name));
            states.push(UnknownState { name: name.clone(), jobs, nearest });
        }
    }
    if states.is_empty() {
        return Ok(());
    }
    Err(Error::UnknownStates { path: path.to_owned(), workflow: W::NAME, states }.into())
}

fn header<W: Workflow>(open: &Open) -> Result<Header<W>, Fail> {
    let Open { conn, states, overview, .. } = open;
    let (run, created) = conn.query_row("SELECT uuid, created FROM run", [], |row| {
        Ok((row.get::<_, String>(0)?, natural(row, 1)))
    })?;
    let run = Uuid::parse_str(&run).map_err(|e| Fail::Damaged(format!("the run's UUID: {e}")))?;
    let mut overall = conn.prepare("SELECT context FROM overall")?;
    let overall = overall.query_map([], |row| row.get::<_, String>(0))?.next().transpose()?;
    let mut read = conn.prepare("SELECT state FROM held")?;
    let mut rows = read.query([])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        held.extend(states.state(row.get(0)?));
    }
    let mut read = conn.prepare("SELECT name, due_at FROM limiter JOIN state ON state.id = limiter.state")?;
    let mut rows = read.query([])?;
    let mut limiters = BTreeMap::new();
    while let Some(row) = rows.next()? {
        limiters.insert(row.get::<_, String>(0)?.into(), Timestamp(natural(row, 1)?));
    }
    let (mut learned, tuned) = (learned(conn)?, tuned(conn)?);
    keyed(conn, &mut limiters, &mut learned)?;
    let Overview { seeding, next, fresh, counts, clean } = overview.clone();
    let overall = overall.map(|text| Saved::Json(text.into()));
    Ok(Header {
        run,
        created: Timestamp(created?),
        overall,
        seeding,
        next,
        fresh,
        counts,
        held,
        held_keys: held_keys(conn)?,
        limiters,
        learned,
        tuned,
        clean,
    })
}

fn held_keys(conn: &Connection) -> Result<BTreeMap<LimiterName, Timestamp>, Fail> {
    let mut read =
        conn.prepare("SELECT name, key, since FROM held_key JOIN state ON state.id = held_key.limiter")?;
    let mut rows = read.query([])?;
    let mut held = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name = key_name(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        held.insert(name, Timestamp(natural(row, 2)?));
    }
    Ok(held)
}

/// What is known of keys.
fn keyed(
    conn: &Connection,
    limiters: &mut BTreeMap<LimiterName, Timestamp>,
    learned: &mut BTreeMap<LimiterName, Learned>,
) -> Result<(), Fail> {
    let mut read = conn.prepare(
        "SELECT name, key, due_at, rate, ceiling FROM keyed JOIN state ON state.id = keyed.limiter",
    )?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let name = key_name(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        if let Some(due_at) = optional(row, 2)? {
            limiters.insert(name.clone(), Timestamp(due_at));
        }
        if let Some(rate) = row.get(3)? {
            learned.insert(name, Learned { rate, ceiling: row.get(4)? });
        }
    }
    Ok(())
}

fn learned(conn: &Connection) -> Result<BTreeMap<LimiterName, Learned>, Fail> {
    let mut read =
        conn.prepare("SELECT name, rate, ceiling FROM learned JOIN state ON state.id = learned.state")?;
    let learned = read.query_map([], |row| {
        Ok((row.get::<_, String>(0)?.into(), Learned { rate: row.get(1)?, ceiling: row.get(2)? }))
    })?;
    Ok(learned.collect::<Result<_, _>>()?)
}

fn tuned(conn: &Connection) -> Result<Vec<(LimiterName, Tuning)>, Fail> {
    let sql = "SELECT name, rate, burst, concurrency, retries, backoff
       FROM tuned JOIN state ON state.id = tuned.state";
    let mut read = conn.prepare(sql)?;
    let mut rows = read.query([])?;
    let mut tuned = Vec::new();
    while let Some(row) = rows.next()? {
        let rate = row.get::<_, Option<String>>(1)?.map(|rate| rate.parse::<Rate>()).transpose();
        let rate = rate.map_err(|e| Fail::Damaged(format!("a tuned rate: {e}")))?;
        let concurrency = optional(row, 3)?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let backoff = row.get::<_, Option<String>>(5)?.map(|text| text.parse::<Backoff>()).transpose();
        let backoff = backoff.map_err(|e| Fail::Damaged(format!("a tuned backoff: {e}")))?;
        let tuning = Tuning { rate, burst: row.get(2)?, concurrency, retries: row.get(4)?, backoff };
        tuned.push((row.get::<_, String>(0)?.into(), tuning));
    }
    Ok(tuned)
}
