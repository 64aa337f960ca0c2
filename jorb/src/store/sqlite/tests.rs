//! What the store promises, attacked.
mod commits;
mod fixture;
