//! What goes wrong inside, before it is known on which file and while doing what.
use std::path::Path;

use rusqlite::ErrorCode;

use crate::Error;

pub(super) enum Fail {
    Sqlite(rusqlite::Error),
    /// The file says what cannot be.
    Damaged(String),
    /// Said in full already.
    Error(Error),
}

impl From<rusqlite::Error> for Fail {
    fn from(e: rusqlite::Error) -> Self {
        Fail::Sqlite(e)
    }
}

impl From<Error> for Fail {
    fn from(e: Error) -> Self {
        Fail::Error(e)
    }
}

impl Fail {
    /// The error for whoever called the store.
    pub(super) fn on(self, path: &Path, doing: &'static str) -> Error {
        let damaged = |reason| Error::Damaged { path: path.to_owned(), reason };
        match self {
            Fail::Error(e) => e,
            Fail::Damaged(reason) => damaged(reason),
            Fail::Sqlite(e) => match e {
                _ if e.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => damaged(e.to_string()),
                _ if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                    Error::NotARun { path: path.to_owned(), reason: "it is not a SQLite database".into() }
                }
                // A value of a type that the schema forbids, or no value where there must be one.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::QueryReturnedNoRows => damaged(e.to_string()),
                e => Error::disk(path, doing)(e),
            },
        }
    }
}
