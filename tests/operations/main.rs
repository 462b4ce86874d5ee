//! The figures of docs/guides/operations.md, measured through the real decision: which sessions
//! move when an operator changes something. `make vectors` writes them into the page.

mod gateway;
mod migration;
mod moves;
