//! The decision, `docs/spec/decision.md`: an exhaustive table and random requests against a
//! model written from the text, and one test per rule.
#![deny(clippy::pedantic)]

mod compare;
mod host;
mod jars;
mod named;
mod pins;
mod promises;
mod random;
mod rules;
mod table;
mod upgrade;
mod world;
