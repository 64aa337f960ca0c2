//! What is in the file.
//!
//! Tables hold numbers for states (see `state`), statuses (`Status as i64`) and times (milliseconds since 1970); the
//! views say the same for people. `docs/store-format.md` has it all, and a test that the two agree.

/// `PRAGMA application_id`: "jorb".
pub(super) const APPLICATION: i32 = 0x6a6f_7262;
/// `PRAGMA user_version`: the newest format that is known.
pub(super) const FORMAT: u32 = 3;

/// All tables, to tell a damaged file from a sound one. The last ones are there from formats 2 and 3 on.
pub(super) const TABLES: [&str; 20] = [
    "run", "overall", "state", "count", "fresh", "held", "limiter", "job", "place", "moving", "kick", "line",
    "error", "dropped", "once", "learned", "tuned", "keyed", "joining", "held_key",
];

/// The columns of `job`, in the order in which rows are written and read. The texts come behind the numbers, so that
/// reading a number of a job with a large context does not go through the context's pages. (What came later is behind
/// them, where SQLite can add it to a table in no time; it is read with the texts only.)
macro_rules! job_columns {
    () => {
        "id, state, status, step, attempt, errors, kicked, parent, nth, ready_at, delay, seq, placed, \
         last_line, last_error, data, context, began, priority, key, deadline, children"
    };
}
pub(super) use job_columns;

pub(super) const CREATE: &str = "
-- One row. `next_*` are the numbers to give out next, `time` is when the last commit was; jobs from `fresh_next` until before `fresh_end` were seeded
-- and not looked at since.
CREATE TABLE run(
  id INTEGER PRIMARY KEY CHECK(id = 1),
  uuid TEXT NOT NULL, workflow TEXT NOT NULL, created INTEGER NOT NULL, jorb TEXT NOT NULL,
  seeding TEXT NOT NULL, clean INTEGER NOT NULL,
  next_job INTEGER NOT NULL, next_seq INTEGER NOT NULL, next_line INTEGER NOT NULL, next_error INTEGER NOT NULL,
  time INTEGER NOT NULL,
  fresh_next INTEGER NOT NULL, fresh_end INTEGER NOT NULL) STRICT;
-- The overall context, apart from `run`, which is rewritten with each batch.
CREATE TABLE overall(context TEXT NOT NULL) STRICT;
-- Names of states, and of limiters that states share.
CREATE TABLE state(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE count(state INTEGER, status INTEGER, jobs INTEGER NOT NULL,
  PRIMARY KEY(state, status)) STRICT, WITHOUT ROWID;
CREATE TABLE fresh(state INTEGER PRIMARY KEY, jobs INTEGER NOT NULL) STRICT;
CREATE TABLE held(state INTEGER PRIMARY KEY) STRICT;
CREATE TABLE limiter(state INTEGER PRIMARY KEY, due_at INTEGER NOT NULL) STRICT;
CREATE TABLE learned(state INTEGER PRIMARY KEY, rate REAL NOT NULL, ceiling REAL) STRICT;
CREATE TABLE tuned(state INTEGER PRIMARY KEY, rate TEXT, burst INTEGER, concurrency INTEGER,
  retries INTEGER, backoff TEXT) STRICT;
-- The same as `limiter` and `learned`, of keys.
CREATE TABLE keyed(limiter INTEGER, key TEXT, due_at INTEGER, rate REAL, ceiling REAL,
  PRIMARY KEY(limiter, key)) STRICT, WITHOUT ROWID;
CREATE TABLE held_key(limiter INTEGER, key TEXT, since INTEGER NOT NULL,
  PRIMARY KEY(limiter, key)) STRICT, WITHOUT ROWID;

-- Written with every step: no index but the number.
CREATE TABLE job(
  id INTEGER PRIMARY KEY, state INTEGER NOT NULL, status INTEGER NOT NULL,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL, errors INTEGER NOT NULL, kicked INTEGER NOT NULL,
  parent INTEGER, nth INTEGER,
  ready_at INTEGER NOT NULL, delay INTEGER NOT NULL, seq INTEGER NOT NULL, placed INTEGER NOT NULL,
  last_line INTEGER, last_error INTEGER, data TEXT, context TEXT, began INTEGER,
  priority INTEGER NOT NULL DEFAULT 0, key TEXT, deadline INTEGER, children TEXT) STRICT;
-- Jobs that do not move, in the order in which they start.
CREATE TABLE place(
  status INTEGER, state INTEGER, priority INTEGER, key TEXT, ready_at INTEGER, seq INTEGER, job INTEGER,
  PRIMARY KEY(status, state, priority, key, ready_at, seq, job)) STRICT, WITHOUT ROWID;
-- What jobs that join wait for.
CREATE TABLE joining(job INTEGER PRIMARY KEY, children TEXT NOT NULL) STRICT;
-- How many jobs move, by block of 256 numbers.
CREATE TABLE moving(block INTEGER PRIMARY KEY, jobs INTEGER NOT NULL) STRICT;
-- The kicks of `parent` from the `nth` on are `jobs` jobs from `first` on, but for those that a `once` key kept
-- from being made.
CREATE TABLE kick(parent INTEGER, nth INTEGER, first INTEGER NOT NULL, jobs INTEGER NOT NULL,
  PRIMARY KEY(parent, nth)) STRICT, WITHOUT ROWID;

-- Moves; each points to the job's one before it. `waited` in milliseconds, `ran` in microseconds.
CREATE TABLE line(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, previous INTEGER,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL, from_state INTEGER NOT NULL, to_state INTEGER NOT NULL,
  at INTEGER NOT NULL, waited INTEGER NOT NULL, ran INTEGER NOT NULL,
  first_child INTEGER, children INTEGER NOT NULL) STRICT;
CREATE TABLE error(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, previous INTEGER,
  state INTEGER NOT NULL, step INTEGER NOT NULL, attempt INTEGER NOT NULL,
  at INTEGER NOT NULL, error TEXT NOT NULL) STRICT;
-- Moves and errors that are no longer kept.
CREATE TABLE dropped(job INTEGER, state INTEGER, lines INTEGER NOT NULL, errors INTEGER NOT NULL,
  PRIMARY KEY(job, state)) STRICT, WITHOUT ROWID;
CREATE TABLE once(state INTEGER, key TEXT, job INTEGER NOT NULL,
  PRIMARY KEY(state, key)) STRICT, WITHOUT ROWID;
";

/// The same for people. Nothing in jorb depends on these, so they are no part of the format: a file that is opened to be
/// driven gets today's. DuckDB reads them as well, to which a bare `at` is a keyword.
pub(super) const VIEWS: [(&str, &str); 4] = [
    (
        "jobs",
        "CREATE VIEW jobs AS
  SELECT job.id, state.name AS state,
    CASE job.status WHEN 0 THEN 'ready' WHEN 1 THEN 'parked' WHEN 2 THEN 'ended' WHEN 3 THEN 'cancelled'
      ELSE 'joining' END AS status,
    step, attempt, errors, kicked, parent, nth,
    strftime('%Y-%m-%dT%H:%M:%fZ', ready_at / 1e3, 'unixepoch') AS ready_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', deadline / 1e3, 'unixepoch') AS deadline,
    data, coalesce(context, 'null') AS context,
    (SELECT error FROM error WHERE error.id = job.last_error) AS last_error
  FROM job JOIN state ON state.id = job.state",
    ),
    (
        "moves",
        "CREATE VIEW moves AS
  SELECT line.id, job, step, attempt, a.name AS from_state, b.name AS to_state,
    strftime('%Y-%m-%dT%H:%M:%fZ', line.at / 1e3, 'unixepoch') AS at,
    waited / 1e3 AS waited_seconds, ran / 1e6 AS ran_seconds, first_child, children
  FROM line JOIN state AS a ON a.id = from_state JOIN state AS b ON b.id = to_state",
    ),
    (
        "errors",
        "CREATE VIEW errors AS
  SELECT error.id, job, state.name AS state, step, attempt,
    strftime('%Y-%m-%dT%H:%M:%fZ', error.at / 1e3, 'unixepoch') AS at, error
  FROM error JOIN state ON state.id = error.state",
    ),
    (
        "counts",
        "CREATE VIEW counts AS
  SELECT state.name AS state,
    CASE status WHEN 0 THEN 'ready' WHEN 1 THEN 'parked' WHEN 2 THEN 'ended' WHEN 3 THEN 'cancelled'
      ELSE 'joining' END AS status, jobs
  FROM count JOIN state ON state.id = count.state WHERE jobs > 0",
    ),
];

/// Back to a run without jobs.
pub(super) const CLEAR: &str = "
DELETE FROM overall; DELETE FROM count; DELETE FROM fresh; DELETE FROM held; DELETE FROM limiter; DELETE FROM learned;
DELETE FROM tuned; DELETE FROM keyed; DELETE FROM held_key;
DELETE FROM job;
DELETE FROM place; DELETE FROM moving; DELETE FROM kick; DELETE FROM line; DELETE FROM error; DELETE FROM dropped;
DELETE FROM once; DELETE FROM joining;
UPDATE run SET seeding = 'no', clean = 1, next_job = 0, next_seq = 1, next_line = 1, next_error = 1, time = 0,
  fresh_next = 0, fresh_end = 0;
";
