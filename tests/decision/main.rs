//! The decision, `docs/decision.md`: an exhaustive table and random requests against a
//! model written from the text, and one test per rule.
#![deny(clippy::pedantic)]

#[path = "decision/compare.rs"]
mod compare;
#[path = "decision/jars.rs"]
mod jars;
#[path = "decision/model.rs"]
mod model;
#[path = "decision/pins.rs"]
mod pins;
#[path = "decision/random.rs"]
mod random;
#[path = "decision/rules.rs"]
mod rules;
#[path = "decision/table.rs"]
mod table;
#[path = "decision/upgrade.rs"]
mod upgrade;
#[path = "decision/world.rs"]
mod world;
