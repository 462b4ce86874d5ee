//! What the Rust interface promises beside decisions and selections: which arguments are
//! refused and where the limits lie, and that secrets neither show nor stay.
#![deny(clippy::pedantic)]

mod arguments;
mod classification;
mod configuration;
mod secrets;
