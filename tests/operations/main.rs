//! The figures of docs/guides/operations.md, measured through the real decision: who moves when an
//! operator changes something. `make vectors` writes them into the page.

mod gateway;
mod migration;
mod moves;
