//! What the Rust interface promises beside decisions and selections: which arguments are
//! refused and where the limits lie, and that secrets neither show nor stay.
#![deny(clippy::pedantic)]

#[path = "interface/arguments.rs"]
mod arguments;
#[path = "interface/classification.rs"]
mod classification;
#[path = "interface/configuration.rs"]
mod configuration;
#[path = "interface/model.rs"]
mod model;
#[path = "interface/secrets.rs"]
mod secrets;
