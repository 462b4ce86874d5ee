//! From a request to its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::{Payload, Place, RequestBody, ResponseBody, Whole};
use crate::decide::Decided;
use crate::generation::Generation;
use crate::ids::RequestIds;
use crate::reading::{Read, Reading};
use crate::refusal::Refusal;

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
        Reading { reading: Option<Box<Reading<S, B>>> },
        Sent {
            // The inner service's answer, or none while it is not ready for `next`.
            #[pin] call: Option<F>,
            next: Option<Request<RequestBody<B>>>,
            generation: Arc<Generation>,
            decided: Decided,
            ids: Option<Box<RequestIds>>,
            again: Option<Again<S>>,
        },
    }
}

/// The data to send a request again.
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
    /// Decides, and calls `inner`, which is ready; or first reads the body.
    pub(crate) fn new(generation: Arc<Generation>, inner: &mut S, request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let announced = if body.is_end_stream() { None } else { Some(body.size_hint().lower()) };
        let ids = RequestIds::of(&generation, &parts, announced.is_some()).and_then(|ids| {
            let waits = ids.as_ref().map(|ids| ids.waits(&parts, announced)).transpose()?;
            Ok((ids, waits == Some(true)))
        });
        let kind = match ids {
            Err(refusal) => Kind::refused(refusal, &parts.headers),
            Ok((Some(ids), true)) => {
                // The one that is ready is the one to be called.
                let next = inner.clone();
                let inner = std::mem::replace(inner, next);
                let reading = Reading::new(inner, generation, parts, ids, body);
                Kind::Reading { reading: Some(Box::new(reading)) }
            }
            Ok((ids, _)) => {
                let body = Place::Here { body };
                let payload = Payload::Passing { front: Bytes::new(), body };
                Kind::sent(inner, generation, parts, ids, payload)
            }
        };
        Self { kind }
    }
}

impl<S, B> Kind<S, B, S::Future>
where
    S: Service<Request<RequestBody<B>>> + Clone,
    B: Body<Data = Bytes>,
{
    fn refused(refusal: Refusal, headers: &HeaderMap) -> Self {
        Self::Refused { response: Some(refusal.answer(headers)) }
    }

    fn sent(
        inner: &mut S,
        generation: Arc<Generation>,
        mut parts: Parts,
        ids: Option<Box<RequestIds>>,
        payload: Payload<B>,
    ) -> Self {
        let decided = match generation.decide(&parts, ids.as_deref(), &[]) {
            Ok(decided) => decided,
            Err(refusal) => return Self::refused(refusal, &parts.headers),
        };
        let retry = generation.retry.as_ref().filter(|_| decided.decision.may_move);
        let forward = generation.forward_client_credentials;
        let (body, again) = match retry {
            None => (RequestBody::new(payload, forward), None),
            Some(retry) => {
                let (body, whole) = RequestBody::kept(payload, forward, retry.body_limit);
                let inner = inner.clone();
                let parts = parts.clone();
                (body, Some(Again { inner, parts, body: whole, tried: Vec::new() }))
            }
        };
        generation.send(&mut parts, ids.as_deref(), &decided);
        let call = Some(inner.call(Request::from_parts(parts, body)));
        Self::Sent { call, next: None, generation, decided, ids, again }
    }
}

impl<S> Again<S> {
    /// The request for another account, with the decision about it, if this response allows one.
    fn next<B: Body<Data = Bytes>, R>(
        &mut self,
        generation: &Generation,
        decided: &Decided,
        ids: Option<&RequestIds>,
        response: &Response<R>,
    ) -> Option<(Request<RequestBody<B>>, Decided)> {
        let retry = generation.retry.as_ref()?;
        let moves = decided.decision.may_move && self.tried.len() < retry.max as usize;
        if !moves || !retry.statuses.contains(&response.status()) {
            return None;
        }
        let body = self.body.get()?.clone();
        self.tried.push(decided.slot);
        let decided = generation.decide(&self.parts, ids, &self.tried).ok()?;
        let mut parts = self.parts.clone();
        generation.send(&mut parts, ids, &decided);
        Some((Request::from_parts(parts, RequestBody::again(body)), decided))
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        if let KindProjection::Reading { reading: slot } = kind.as_mut().project() {
            let Some(reading) = slot.as_mut() else { return Poll::Pending };
            let end = ready!(reading.poll(cx));
            let Some(reading) = slot.take() else { return Poll::Pending };
            kind.set(match reading.finish(end) {
                Ok(Read { mut inner, generation, parts, ids, payload }) => {
                    Kind::sent(&mut inner, generation, parts, Some(ids), payload)
                }
                Err(answer) => Kind::Refused { response: Some(*answer) },
            });
        }
        let (mut call, next, generation, decided, ids, again) = match kind.project() {
            KindProjection::Reading { .. } => return Poll::Pending,
            KindProjection::Refused { response } => {
                return response.take().map_or(Poll::Pending, |response| {
                    Poll::Ready(Ok(response.map(ResponseBody::refusal)))
                });
            }
            KindProjection::Sent { call, next, generation, decided, ids, again } => {
                (call, next, generation, decided, ids, again)
            }
        };
        loop {
            if let Some(answer) = call.as_mut().as_pin_mut() {
                let mut response = ready!(answer.poll(cx))?;
                generation.cool(decided.slot, response.status(), response.headers());
                let another = again
                    .as_mut()
                    .and_then(|again| again.next(generation, decided, ids.as_deref(), &response));
                let Some((request, decision)) = another else {
                    generation.finish(&mut response, decided);
                    return Poll::Ready(Ok(match ids.take() {
                        Some(ids) => ids.seal(response, decided.slot),
                        None => response.map(ResponseBody::passing),
                    }));
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
