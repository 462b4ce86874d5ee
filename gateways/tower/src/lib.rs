//! A [tower](https://docs.rs/tower) layer that pins sessions to upstream API tokens.
//!
//! [`PinLayer`] stands around a service that sends requests to a provider. For each request it asks
//! [`tokenpin`] which account serves, sets that account's credentials, and sets the cookie that
//! leads the session back to the account. [`Generation`] is its configuration.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{HeaderName, Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tokenpin_tower::tokenpin::{
//!     Config, CookieKey, Decision, OwnedAffinity, Role, Secret, Slot, SlotStatus,
//! };
//! use tokenpin_tower::{Generation, PinLayer, RequestBody, Retry, SlotHeaders};
//! use tower::{Layer, ServiceExt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The keys come from a secret store, the same on every replica.
//! let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([0x22; 16]) }];
//! let slot = |name: &[u8]| Slot::new(name, SlotStatus::UP);
//! let slots = vec![slot(b"account-a")?, slot(b"account-b")?];
//! let affinity = OwnedAffinity::new(&Config::new(Secret::new([0x11; 16]), &keys), slots)?;
//!
//! let generation = Generation::new(affinity, SlotHeaders::bearer(["sk-a", "sk-b"])?)
//!     .consumer_header(HeaderName::from_static("x-consumer"))
//!     .retry(Retry::default());
//! let layer = PinLayer::new(generation)?;
//!
//! // In place of a client: the account's credential is in the request.
//! let provider = tower::service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
//!     assert!(request.headers()["authorization"].to_str().unwrap().starts_with("Bearer sk-"));
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}")))
//! });
//! let request = Request::post("/v1/responses").body(Full::<Bytes>::from("{}"))?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let response = layer.layer(provider).oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert!(response.headers()["set-cookie"].to_str()?.starts_with("__Host-tokenpin="));
//! // For logs and metrics.
//! let decision = response.extensions().get::<Decision>().expect("a 200 has one");
//! assert_eq!(decision.source.name(), "minted");
//! # Ok(())
//! # })
//! # }
//! ```

mod body;
mod content;
mod cooldown;
mod credentials;
mod decide;
mod future;
mod generation;
mod headers;
mod ids;
mod layer;
mod outgoing;
mod reading;
mod refusal;
mod respond;

pub use body::{RequestBody, ResponseBody};
pub use cooldown::Cooldown;
pub use credentials::{Credentials, SlotHeaders};
pub use future::ResponseFuture;
pub use generation::{Error, Generation, Retry};
pub use layer::{PinLayer, PinService};
pub use tokenpin;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
