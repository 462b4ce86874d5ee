//! The parts that gateways in Rust share around a decision: their own answers, and the headers that
//! they read. Needs the feature `alloc`.

mod headers;
mod refused;
mod retry_after;

pub use headers::{Content, is_encoded, the_one, unjoined};
pub use refused::Refused;
pub use retry_after::retry_after;
