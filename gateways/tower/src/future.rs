//! From a request's decision to its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody, Whole};
use crate::decide::Decided;
use crate::generation::Generation;

pin_project! {
    /// The response of a [`PinService`](crate::PinService).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        kind: Kind<S, B, S::Future>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<S, B, F> {
        Refused { response: Option<Response<Full<Bytes>>> },
        Sent {
            // The inner service's answer, or none while it is not ready for `next`.
            #[pin] call: Option<F>,
            next: Option<Request<RequestBody<B>>>,
            generation: Arc<Generation>,
            decided: Decided,
            again: Option<Again<S>>,
        },
    }
}

/// What it takes to send a request once more.
struct Again<S> {
    inner: S,
    /// As the client sent them.
    parts: Parts,
    body: Whole,
    tried: Vec<u32>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>> + Clone,
    B: Body<Data = Bytes>,
{
    /// Decides, and calls `inner`, which is ready.
    pub(crate) fn new(generation: Arc<Generation>, inner: &mut S, request: Request<B>) -> Self {
        let (mut parts, body) = request.into_parts();
        let decided = match generation.decide(&parts, &[]) {
            Ok(decided) => decided,
            Err(refusal) => return Self { kind: Kind::Refused { response: Some(*refusal) } },
        };
        let retry = generation.retry.as_ref().filter(|_| decided.decision.may_move);
        let forward = generation.forward_client_credentials;
        let (body, again) = match retry {
            None => (RequestBody::first(body, forward), None),
            Some(retry) => {
                let (body, whole) = RequestBody::kept(body, forward, retry.body_limit);
                let inner = inner.clone();
                let parts = parts.clone();
                (body, Some(Again { inner, parts, body: whole, tried: Vec::new() }))
            }
        };
        generation.send(&mut parts, &decided);
        let call = Some(inner.call(Request::from_parts(parts, body)));
        Self { kind: Kind::Sent { call, next: None, generation, decided, again } }
    }
}

impl<S> Again<S> {
    /// The request for another account, with the decision about it, if this response allows one.
    fn next<B: Body<Data = Bytes>, R>(
        &mut self,
        generation: &Generation,
        decided: &Decided,
        response: &Response<R>,
    ) -> Option<(Request<RequestBody<B>>, Decided)> {
        let retry = generation.retry.as_ref()?;
        let moves = decided.decision.may_move && self.tried.len() < retry.max as usize;
        if !moves || !retry.statuses.contains(&response.status()) {
            return None;
        }
        let body = self.body.get()?.clone();
        self.tried.push(decided.slot);
        let decided = generation.decide(&self.parts, &self.tried).ok()?;
        let mut parts = self.parts.clone();
        generation.send(&mut parts, &decided);
        Some((Request::from_parts(parts, RequestBody::again(body)), decided))
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut call, next, generation, decided, again) = match self.project().kind.project() {
            KindProjection::Refused { response } => {
                return response.take().map_or(Poll::Pending, |response| {
                    Poll::Ready(Ok(response.map(Either::Right)))
                });
            }
            KindProjection::Sent { call, next, generation, decided, again } => {
                (call, next, generation, decided, again)
            }
        };
        loop {
            if let Some(answer) = call.as_mut().as_pin_mut() {
                let mut response = ready!(answer.poll(cx))?;
                generation.cool(decided.slot, response.status(), response.headers());
                let another =
                    again.as_mut().and_then(|again| again.next(generation, decided, &response));
                let Some((request, decision)) = another else {
                    generation.finish(&mut response, decided);
                    return Poll::Ready(Ok(response.map(Either::Left)));
                };
                call.set(None);
                (*next, *decided) = (Some(request), decision);
            }
            let Some(again) = again else { return Poll::Pending };
            ready!(again.inner.poll_ready(cx))?;
            let Some(request) = next.take() else { return Poll::Pending };
            call.set(Some(again.inner.call(request)));
        }
    }
}
