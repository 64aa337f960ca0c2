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
    /// It has this extended code of SQLite.
    pub(super) fn is(&self, code: i32) -> bool {
        matches!(self, Fail::Sqlite(e) if e.sqlite_error().is_some_and(|e| e.extended_code == code))
    }

    /// The error for whoever called the store.
    pub(super) fn on(self, path: &Path, doing: &'static str) -> Error {
        let damaged = |reason| Error::Damaged { path: path.to_owned(), reason };
        match self {
            Fail::Error(e) => e,
            Fail::Damaged(reason) => damaged(reason),
            Fail::Sqlite(e) => match e.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => {
                    Error::NotARun { path: path.to_owned(), reason: "it is not a SQLite database".into() }
                }
                _ if says_what_cannot_be(&e) => damaged(e.to_string()),
                _ => Error::disk(path, doing)(e),
            },
        }
    }
}

/// Trees that do not fit together, columns that are gone, numbers given out twice, a text where there must be a number.
fn says_what_cannot_be(e: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    let code = e.sqlite_error_code();
    if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation)) {
        return true;
    }
    if let E::SqlInputError { msg, .. } | E::SqliteFailure(_, Some(msg)) = e {
        return msg.starts_with("no such");
    }
    matches!(
        e,
        E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..)
            | E::QueryReturnedNoRows
    )
}
