//! What the store promises, attacked.
mod aliases;
mod books;
mod commits;
mod crashes;
mod fixture;
mod histories;
mod refusals;
mod sharing;
