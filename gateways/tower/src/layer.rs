//! The layer and its service.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody};
use crate::future::ResponseFuture;
use crate::generation::{Error, Generation};

/// The generation that decides next. A lock is held for as long as it takes to copy or to exchange
/// a pointer.
type Current = Arc<RwLock<Arc<Generation>>>;

fn read(current: &Current) -> Arc<Generation> {
    Arc::clone(&current.read().unwrap_or_else(PoisonError::into_inner))
}

/// Pins the sessions of HTTP requests to accounts, around a service that sends requests to their
/// provider. Clones share their configuration: keep one to reload it.
#[derive(Clone, Debug)]
pub struct PinLayer {
    current: Current,
}

impl PinLayer {
    /// Checks a configuration, and makes a layer from it.
    ///
    /// # Errors
    ///
    /// An [`Error`] that says what does not fit.
    pub fn new(generation: Generation) -> Result<Self, Error> {
        generation.check()?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(generation))) })
    }

    /// Replaces the current configuration, for this layer, its clones and all services made by
    /// them. Requests under way end with the configuration that decided about them, which is freed
    /// after the last of them. Cooldowns are not carried over.
    ///
    /// # Errors
    ///
    /// An [`Error`] that says what does not fit. The current configuration stays then.
    pub fn reload(&self, generation: Generation) -> Result<(), Error> {
        generation.check()?;
        let mut next = Arc::new(generation);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *current, &mut next);
        drop(current);
        // The last generation may end here, outside of the lock.
        drop(next);
        Ok(())
    }

    /// The current configuration.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        read(&self.current)
    }
}

impl<S> Layer<S> for PinLayer {
    type Service = PinService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PinService { inner, current: Arc::clone(&self.current) }
    }
}

/// The service that [`PinLayer`] makes.
///
/// It puts the [`Decision`](tokenpin::Decision) into the extensions of the request that the inner
/// service gets, and of the response. A request that no account may serve is answered here, and
/// does not reach the inner service.
#[derive(Clone, Debug)]
pub struct PinService<S> {
    inner: S,
    current: Current,
}

impl<S, B, R> Service<Request<B>> for PinService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes>,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(read(&self.current), &mut self.inner, request)
    }
}
