//! Requests that wait until their bodies were read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response};
use http_body::Body;
use http_body_util::Full;
use tokenpin::gateway::Refused;
use tokenpin::ids::Opener;

use crate::body::{Hold, Payload, Place};
use crate::credentials::remove_client;
use crate::generation::Generation;
use crate::ids::RequestIds;
use crate::refusal::Refusal;

/// A request whose body is being read, and the service that is ready for it.
pub(crate) struct Reading<S, B> {
    inner: S,
    generation: Arc<Generation>,
    parts: Parts,
    ids: Box<RequestIds>,
    body: Pin<Box<B>>,
    opener: Opener,
    hold: Hold,
    /// The number of bytes that came; of a request that is refused, since the refusal.
    came: usize,
    /// The answer, when the client has sent all or enough: most read it no sooner.
    refused: Option<Refused>,
}

impl<S, B: Body<Data = Bytes>> Reading<S, B> {
    pub(crate) fn new(
        inner: S,
        generation: Arc<Generation>,
        parts: Parts,
        ids: Box<RequestIds>,
        body: B,
    ) -> Self {
        let is_too_long = body.size_hint().lower() > generation.max_body as u64;
        Self {
            inner,
            parts,
            body: Box::pin(body),
            opener: ids.opener(),
            hold: Hold::new(&generation.held),
            came: 0,
            refused: is_too_long.then(Refused::too_large),
            ids,
            generation,
        }
    }

    /// Reads on.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // A reader that knows the length might not ask for more.
            let frame = if self.body.is_end_stream() {
                None
            } else {
                ready!(self.body.as_mut().poll_frame(cx))
            };
            let (data, trailers, is_last) = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => (data, None, false),
                    Err(frame) => (Bytes::new(), frame.into_trailers().ok(), true),
                },
                None => (Bytes::new(), None, true),
                Some(Err(_)) => return Poll::Ready(End::Refused(Refused::unreadable())),
            };
            self.came = self.came.saturating_add(data.len());
            let limits = &self.generation;
            if let Some(refused) = self.refused.take() {
                if is_last || self.came > limits.max_body {
                    return Poll::Ready(End::Refused(refused));
                }
                self.refused = Some(refused);
                continue;
            }
            let over = if self.came > limits.max_body {
                Some(Refused::too_large())
            } else if !self.hold.grow(data.len(), limits.max_held) {
                Some(Refused::too_many())
            } else {
                None
            };
            match over {
                None => self.ids.open(&mut self.opener, &data, &mut self.hold.bytes),
                Some(_) if !self.ids.opens() => return Poll::Ready(End::TooMuch(data)),
                refused => {
                    self.hold = Hold::new(&limits.held);
                    (self.refused, self.came) = (refused, 0);
                }
            }
            if is_last {
                return Poll::Ready(End::Whole(trailers));
            }
        }
    }

    /// Returns the request to send after this end of its body; or the answer, if the request is
    /// refused.
    pub(crate) fn finish(self, end: End) -> Result<Read<S, B>, Box<Response<Full<Bytes>>>> {
        let Self { inner, generation, parts, mut ids, body, opener, mut hold, came, .. } = self;
        let payload = match end {
            End::Refused(refused) => {
                return Err(Box::new(Refusal::from(refused).answer(&parts.headers)));
            }
            End::TooMuch(data) => {
                ids.end(opener, &mut hold.bytes);
                hold.bytes.extend_from_slice(&data);
                Payload::Passing { front: hold.into_bytes(), body: Place::Elsewhere { body } }
            }
            End::Whole(mut trailers) => {
                let understood = ids.end(opener, &mut hold.bytes);
                if !understood {
                    let refusal = Refusal::from(Refused::unreadable());
                    return Err(Box::new(refusal.answer(&parts.headers)));
                }
                ids.note_body(came, hold.bytes.len(), trailers.is_some());
                if let Some(trailers) =
                    trailers.as_mut().filter(|_| !generation.forward_client_credentials)
                {
                    remove_client(trailers);
                }
                Payload::Read { bytes: hold.into_bytes(), trailers }
            }
        };
        Ok(Read { inner, generation, parts, ids, payload })
    }
}

/// The end of a body.
pub(crate) enum End {
    /// All of it was read.
    Whole(Option<HeaderMap>),
    /// It is too much to be held, and passes: with this part, the last that was read.
    TooMuch(Bytes),
    Refused(Refused),
}

/// A request whose body was read.
pub(crate) struct Read<S, B> {
    pub inner: S,
    pub generation: Arc<Generation>,
    pub parts: Parts,
    pub ids: Box<RequestIds>,
    pub payload: Payload<B>,
}
