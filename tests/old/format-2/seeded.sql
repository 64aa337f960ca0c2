PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE run(
  id INTEGER PRIMARY KEY CHECK(id = 1),
  uuid TEXT NOT NULL, workflow TEXT NOT NULL, created INTEGER NOT NULL, jorb TEXT NOT NULL,
  seeding TEXT NOT NULL, clean INTEGER NOT NULL,
  next_job INTEGER NOT NULL, next_seq INTEGER NOT NULL, next_line INTEGER NOT NULL, next_error INTEGER NOT NULL,
  time INTEGER NOT NULL,
  fresh_next INTEGER NOT NULL, fresh_end INTEGER NOT NULL) STRICT;
INSERT INTO run VALUES(1,'42b5c5ba-1699-42ea-bbd2-d64b013e6ea7','Parcels',1795546336114,'0.1.0','done',1,9,10,1,1,1795546336130,0,9);
CREATE TABLE overall(context TEXT NOT NULL) STRICT;
INSERT INTO overall VALUES('{"most_grams":30000}');
CREATE TABLE state(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO state VALUES(1,'Weigh');
INSERT INTO state VALUES(2,'Inspect');
INSERT INTO state VALUES(3,'Pack');
INSERT INTO state VALUES(4,'Ship');
INSERT INTO state VALUES(5,'Delivered');
INSERT INTO state VALUES(6,'Refused');
CREATE TABLE count(state INTEGER, status INTEGER, jobs INTEGER NOT NULL,
  PRIMARY KEY(state, status)) STRICT, WITHOUT ROWID;
INSERT INTO count VALUES(1,0,9);
CREATE TABLE fresh(state INTEGER PRIMARY KEY, jobs INTEGER NOT NULL) STRICT;
INSERT INTO fresh VALUES(1,9);
CREATE TABLE held(state INTEGER PRIMARY KEY) STRICT;
CREATE TABLE limiter(state INTEGER PRIMARY KEY, due_at INTEGER NOT NULL) STRICT;
CREATE TABLE learned(state INTEGER PRIMARY KEY, rate REAL NOT NULL, ceiling REAL) STRICT;
CREATE TABLE tuned(state INTEGER PRIMARY KEY, rate TEXT, burst INTEGER, concurrency INTEGER,
  retries INTEGER, backoff TEXT) STRICT;
CREATE TABLE job(
  id INTEGER PRIMARY KEY, state INTEGER NOT NULL, status INTEGER NOT NULL,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL, errors INTEGER NOT NULL, kicked INTEGER NOT NULL,
  parent INTEGER, nth INTEGER,
  ready_at INTEGER NOT NULL, delay INTEGER NOT NULL, seq INTEGER NOT NULL, placed INTEGER NOT NULL,
  last_line INTEGER, last_error INTEGER, data TEXT, context TEXT, began INTEGER) STRICT;
INSERT INTO job VALUES(0,1,0,0,1,0,0,NULL,NULL,1795546336130,0,1,0,NULL,NULL,NULL,'{"what":"crate","grams":300}',NULL);
INSERT INTO job VALUES(1,1,0,0,1,0,0,NULL,NULL,1795546336130,0,2,0,NULL,NULL,NULL,'{"what":"anvil","grams":80000}',NULL);
INSERT INTO job VALUES(2,1,0,0,1,0,0,NULL,NULL,1795546336130,0,3,0,NULL,NULL,NULL,'{"what":"vase","grams":300}',NULL);
INSERT INTO job VALUES(3,1,0,0,1,0,0,NULL,NULL,1795546336130,0,4,0,NULL,NULL,NULL,'{"what":"letter","grams":300}',NULL);
INSERT INTO job VALUES(4,1,0,0,1,0,0,NULL,NULL,1795546336130,0,5,0,NULL,NULL,NULL,'{"what":"gift","grams":300}',NULL);
INSERT INTO job VALUES(5,1,0,0,1,0,0,NULL,NULL,1795546336130,0,6,0,NULL,NULL,NULL,'{"what":"parrot","grams":300}',NULL);
INSERT INTO job VALUES(6,1,0,0,1,0,0,NULL,NULL,1795546336130,0,7,0,NULL,NULL,NULL,'{"what":"boomerang","grams":300}',NULL);
INSERT INTO job VALUES(7,1,0,0,1,0,0,NULL,NULL,1795546336130,0,8,0,NULL,NULL,NULL,'{"what":"clock","grams":300}',NULL);
INSERT INTO job VALUES(8,1,0,0,1,0,0,NULL,NULL,1795546336130,0,9,0,NULL,NULL,NULL,'{"what":"late","grams":300}',NULL);
CREATE TABLE place(
  status INTEGER, state INTEGER, priority INTEGER, key TEXT, ready_at INTEGER, seq INTEGER, job INTEGER,
  PRIMARY KEY(status, state, priority, key, ready_at, seq, job)) STRICT, WITHOUT ROWID;
CREATE TABLE moving(block INTEGER PRIMARY KEY, jobs INTEGER NOT NULL) STRICT;
CREATE TABLE kick(parent INTEGER, nth INTEGER, first INTEGER NOT NULL, jobs INTEGER NOT NULL,
  PRIMARY KEY(parent, nth)) STRICT, WITHOUT ROWID;
CREATE TABLE line(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, previous INTEGER,
  step INTEGER NOT NULL, attempt INTEGER NOT NULL, from_state INTEGER NOT NULL, to_state INTEGER NOT NULL,
  at INTEGER NOT NULL, waited INTEGER NOT NULL, ran INTEGER NOT NULL,
  first_child INTEGER, children INTEGER NOT NULL) STRICT;
CREATE TABLE error(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, previous INTEGER,
  state INTEGER NOT NULL, step INTEGER NOT NULL, attempt INTEGER NOT NULL,
  at INTEGER NOT NULL, error TEXT NOT NULL) STRICT;
CREATE TABLE dropped(job INTEGER, state INTEGER, lines INTEGER NOT NULL, errors INTEGER NOT NULL,
  PRIMARY KEY(job, state)) STRICT, WITHOUT ROWID;
CREATE TABLE once(state INTEGER, key TEXT, job INTEGER NOT NULL,
  PRIMARY KEY(state, key)) STRICT, WITHOUT ROWID;
INSERT INTO once VALUES(1,'anvil',1);
INSERT INTO once VALUES(1,'boomerang',6);
INSERT INTO once VALUES(1,'clock',7);
INSERT INTO once VALUES(1,'crate',0);
INSERT INTO once VALUES(1,'gift',4);
INSERT INTO once VALUES(1,'late',8);
INSERT INTO once VALUES(1,'letter',3);
INSERT INTO once VALUES(1,'parrot',5);
INSERT INTO once VALUES(1,'vase',2);
CREATE VIEW jobs AS
  SELECT job.id, state.name AS state,
    CASE job.status WHEN 0 THEN 'ready' WHEN 1 THEN 'parked' ELSE 'ended' END AS status,
    step, attempt, errors, kicked, parent, nth,
    strftime('%Y-%m-%dT%H:%M:%fZ', ready_at / 1e3, 'unixepoch') AS ready_at,
    data, coalesce(context, 'null') AS context,
    (SELECT error FROM error WHERE error.id = job.last_error) AS last_error
  FROM job JOIN state ON state.id = job.state;
CREATE VIEW moves AS
  SELECT line.id, job, step, attempt, a.name AS from_state, b.name AS to_state,
    strftime('%Y-%m-%dT%H:%M:%fZ', line.at / 1e3, 'unixepoch') AS at,
    waited / 1e3 AS waited_seconds, ran / 1e6 AS ran_seconds, first_child, children
  FROM line JOIN state AS a ON a.id = from_state JOIN state AS b ON b.id = to_state;
CREATE VIEW errors AS
  SELECT error.id, job, state.name AS state, step, attempt,
    strftime('%Y-%m-%dT%H:%M:%fZ', error.at / 1e3, 'unixepoch') AS at, error
  FROM error JOIN state ON state.id = error.state;
CREATE VIEW counts AS
  SELECT state.name AS state,
    CASE status WHEN 0 THEN 'ready' WHEN 1 THEN 'parked' ELSE 'ended' END AS status, jobs
  FROM count JOIN state ON state.id = count.state WHERE jobs > 0;
COMMIT;
PRAGMA application_id = 1785688674;
PRAGMA user_version = 2;
