//! The figures of docs/operations.md, measured through the real decision: who moves when an
//! operator changes something. `make vectors` writes them into the page.

#[path = "operations/gateway.rs"]
mod gateway;
#[path = "operations/migration.rs"]
mod migration;
#[path = "operations/moves.rs"]
mod moves;
#[path = "docs/page.rs"]
mod page;
