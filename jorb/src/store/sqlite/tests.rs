//! What the store promises, attacked.
mod aliases;
mod books;
mod commits;
mod crashes;
mod fixture;
mod histories;
mod migrations;
mod refusals;
mod sharing;
