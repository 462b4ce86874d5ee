//! The promises of the Rust interface in addition to decisions and selections: which arguments are
//! refused, at which limits, and that secrets neither show nor stay.
#![deny(clippy::pedantic)]

mod arguments;
mod classification;
mod configuration;
mod secrets;
