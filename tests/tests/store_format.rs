//! `docs/store-format.md` says what a file has.
use std::{collections::BTreeSet, fs, path::Path};

use jorb::Run;
use jorb_tests::{
    parcels::{Parcels, begin},
    stores::Kind,
};
use rusqlite::{Connection, types::Value as Pragma};
use serde_json::Value;
use tempfile::TempDir;

/// The page.
fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/store-format.md")).unwrap()
}

/// A run that is driven, and somebody who looks at its file.
fn driven() -> (TempDir, Run<Parcels>, Connection) {
    let folder = tempfile::tempdir().unwrap();
    begin(Kind::Sqlite, folder.path()).unwrap();
    let run = Run::open(Kind::Sqlite.at(folder.path())).unwrap();
    let conn = Connection::open(folder.path().join("run.jorb")).unwrap();
    (folder, run, conn)
}

fn texts(conn: &Connection, sql: &str) -> Vec<String> {
    let mut read = conn.prepare(sql).unwrap();
    read.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// What is behind a heading, up to the next one of its level or above.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let level = heading.split(' ').next().unwrap();
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no `{heading}`"));
    let ends = (1..=level.len()).filter_map(|n| rest.find(&format!("\n{} ", "#".repeat(n))));
    &rest[..ends.min().unwrap_or(rest.len())]
}

/// The cells of the tables in a text, without their heads.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_row = |i: &usize| lines[*i].starts_with('|') && !lines[*i].starts_with("| ---");
    let is_head = |i: &usize| lines.get(i + 1).is_some_and(|next| next.starts_with("| ---"));
    let cells = |i: usize| {
        let cells = lines[i].trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    (0..lines.len()).filter(|i| is_row(i) && !is_head(i)).map(cells).collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

#[test]
fn the_page_lists_the_tables_with_their_columns() {
    let (_folder, _run, conn) = driven();
    let page = page();
    let tables = section(&page, "## Tables");
    let listed = tables.lines().filter_map(|line| line.strip_prefix("### "));
    let mut listed: Vec<_> = listed.map(|name| name.trim_matches('`')).collect();
    listed.sort_unstable();
    assert_eq!(texts(&conn, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"), listed);
    for table in listed {
        let said: Vec<_> = rows(section(tables, &format!("### `{table}`")));
        let said: Vec<_> = said.iter().map(|cells| format!("{} {}", cells[0], cells[1])).collect();
        // Numbers that are keys of a table cannot be null, though SQLite does not say so.
        let columns = format!(
            "SELECT '`' || name || '` ' || type || iif(pk, ' key', iif(\"notnull\", '', ' or null'))
               FROM pragma_table_info('{table}') ORDER BY cid"
        );
        assert_eq!(texts(&conn, &columns), said, "`{table}`");
        let keys = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk ORDER BY");
        assert_eq!(texts(&conn, &format!("{keys} pk")), texts(&conn, &format!("{keys} cid")), "`{table}`");
    }
}

#[test]
fn the_page_lists_the_views_with_their_columns() {
    let (_folder, _run, conn) = driven();
    let page = page();
    let said = rows(section(&page, "## Views"));
    let mut names: Vec<_> = said.iter().map(|cells| cells[0].trim_matches('`')).collect();
    for (view, cells) in names.iter().zip(&said) {
        let columns = texts(&conn, &format!("SELECT name FROM pragma_table_info('{view}') ORDER BY cid"));
        assert_eq!(
            columns.iter().map(|column| code(column)).collect::<Vec<_>>().join(", "),
            cells[1],
            "`{view}`"
        );
    }
    names.sort_unstable();
    assert_eq!(texts(&conn, "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name"), names);
}

#[test]
fn the_page_lists_the_keys_and_there_is_no_other_index() {
    let (_folder, _run, conn) = driven();
    let page = page();
    let said: Vec<_> = rows(section(&page, "## Keys")).iter().map(|cells| cells[0].clone()).collect();
    let said = said.join(", ");
    for table in texts(&conn, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let key = format!(
            "SELECT group_concat(name, ', ') FROM
               (SELECT name FROM pragma_table_info('{table}') WHERE pk ORDER BY pk)"
        );
        let key = format!(
            "`{table}({})`",
            conn.query_row(&key, [], |row| row.get::<_, Option<String>>(0)).unwrap().unwrap_or_default()
        );
        let read_whole = ["run", "overall", "state", "count", "fresh", "held", "limiter", "learned", "tuned"]
            .contains(&&*table);
        assert!(read_whole || said.contains(&key), "{key}: {said}");
    }
    let others = "SELECT type || ' ' || name FROM sqlite_schema WHERE type NOT IN ('table', 'view')";
    assert_eq!(texts(&conn, others), ["index sqlite_autoindex_state_1"]);
    assert_eq!(texts(&conn, "SELECT name FROM pragma_index_info('sqlite_autoindex_state_1')"), ["name"]);
    assert!(said.contains("`state(name)`"));
}

#[test]
fn the_page_lists_what_pragmas_are_in_the_file() {
    let (_folder, run, conn) = driven();
    let page = page();
    let pragma = |name: &str| -> String {
        let value: rusqlite::types::Value =
            conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap();
        match value {
            Pragma::Integer(n) => n.to_string(),
            Pragma::Text(text) => text,
            other => panic!("{other:?}"),
        }
    };
    let said = rows(section(&page, "### In the file"));
    assert!(said.len() >= 5);
    for cells in said {
        assert_eq!(pragma(cells[0].trim_matches('`')), cells[1], "{}", cells[0]);
    }
    assert!(page.contains(&format!("The newest format is {},", pragma("user_version"))));
    run.close().unwrap();
    drop(conn);
}

/// The names of fields in JSON, but for those that are not of the format.
fn fields(of: &Value, names: &mut BTreeSet<String>) {
    match of {
        Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
        Value::Object(members) => {
            for (name, value) in members {
                names.insert(name.clone());
                match (&**name, value) {
                    ("data" | "context" | "overall" | "limiters", _) => {}
                    // By state.
                    ("errors" | "dropped", Value::Object(states)) => {
                        states.values().for_each(|value| fields(value, names));
                    }
                    _ => fields(value, names),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_page_names_each_field_of_a_document() {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("old/format-1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::copy(old.join("driven.json"), &path).unwrap();
    let mut names = BTreeSet::new();
    let mut note = || fields(&serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(), &mut names);
    note();
    fs::copy(old.join("driven.json.log"), folder.path().join("run.json.log")).unwrap();
    // Today's code writes it again.
    drop(Run::<Parcels>::open(Kind::Json.at(folder.path())).unwrap());
    note();
    assert!(names.len() > 30, "{names:?}");
    let page = page();
    let section = section(&page, "## The JSON document");
    let said = |name: &String| [code(name), format!("\"{name}\":")].iter().any(|text| section.contains(text));
    assert!(names.iter().all(said), "{:?}", names.iter().filter(|name| !said(name)).collect::<Vec<_>>());
}

#[test]
fn the_queries_of_the_page_can_be_asked() {
    let (_folder, _run, conn) = driven();
    let page = page();
    let queries: Vec<_> =
        page.split("\n```sql\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(queries.len() >= 5);
    for query in queries {
        let mut statement = conn.prepare(query).unwrap_or_else(|e| panic!("{e}"));
        assert!(statement.readonly() && statement.column_count() > 2, "{query}");
        let mut rows = statement.raw_query();
        while rows.next().unwrap().is_some() {}
    }
}

#[test]
fn what_the_page_calls_quick_goes_through_no_large_table() {
    let (_folder, _run, conn) = driven();
    let page = page();
    for (question, searches) in
        [("**What is wrong with the parked jobs?**", "place"), ("**What happened to job", "line")]
    {
        let query = page
            .split_once(question)
            .unwrap()
            .1
            .split("```sql\n")
            .nth(1)
            .unwrap()
            .split("\n```")
            .next()
            .unwrap();
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let plan: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.iter().any(|step| step.starts_with(&format!("SEARCH {searches} "))), "{plan:?}");
        let large = ["job", "place", "line", "error", "moves"].map(|table| format!("SCAN {table}"));
        assert!(!plan.iter().any(|step| large.contains(step)), "{plan:?}");
    }
}
