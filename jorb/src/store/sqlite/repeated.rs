//! A statement that is executed again and again, with much the same numbers.
use rusqlite::{CachedStatement, Connection, ToSql};

/// A parameter keeps its value until it is bound again, so only what differs is bound: for a row of twenty numbers, that saves a
/// good part of what writing it takes.
pub(super) struct Repeated<'a, const N: usize> {
    statement: CachedStatement<'a>,
    /// To what the first parameters are bound: to nothing at first, as the cache gives it.
    numbers: [Option<i64>; N],
}

impl<'a, const N: usize> Repeated<'a, N> {
    pub(super) fn new(conn: &'a Connection, sql: &str) -> Result<Self, rusqlite::Error> {
        Ok(Repeated { statement: conn.prepare_cached(sql)?, numbers: [None; N] })
    }

    /// Binds the first parameters.
    pub(super) fn numbers(&mut self, numbers: [Option<i64>; N]) -> Result<(), rusqlite::Error> {
        for (i, (number, bound)) in (1..).zip(numbers.iter().zip(&mut self.numbers)) {
            if bound != number {
                self.statement.raw_bind_parameter(i, number)?;
                *bound = *number;
            }
        }
        Ok(())
    }

    /// Binds one that comes after them, from 1 on.
    pub(super) fn other(&mut self, nth: usize, value: impl ToSql) -> Result<(), rusqlite::Error> {
        self.statement.raw_bind_parameter(N + nth, value)
    }

    pub(super) fn execute(&mut self) -> Result<(), rusqlite::Error> {
        self.statement.raw_execute().map(|_| ())
    }
}
