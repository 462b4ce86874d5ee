//! Bodies: of requests, which another account may need again, and of responses.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

use crate::credentials::remove_client;
use crate::ids::BodySeal;

/// A whole body, as soon as all of it has gone by.
pub(crate) type Whole = Arc<OnceLock<Bytes>>;

pin_project! {
    /// The body of a request, as the inner service gets it: the client's, frame by frame, or one
    /// that was read, for the first account or for another one.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        // Behind the front, which was read already.
        Passing { front: Bytes, #[pin] body: Place<B>, record: Option<Record>, forward: bool },
        Read { bytes: Bytes, trailers: Option<HeaderMap> },
    }
}

pin_project! {
    /// A body that stays in its place: here, or where it was begun to be read.
    #[project = PlaceProjection]
    #[derive(Debug)]
    pub(crate) enum Place<B> {
        Here { #[pin] body: B },
        Elsewhere { body: Pin<Box<B>> },
    }
}

impl<B> Place<B> {
    fn get(&self) -> &B {
        match self {
            Self::Here { body } => body,
            Self::Elsewhere { body } => body,
        }
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut B> {
        match self.project() {
            PlaceProjection::Here { body } => body,
            PlaceProjection::Elsewhere { body } => body.as_mut(),
        }
    }
}

/// The body of a request, as an account gets it.
pub(crate) enum Payload<B> {
    /// The part that was read, possibly empty, and the rest as it comes.
    Passing { front: Bytes, body: Place<B> },
    /// All of it was read.
    Read { bytes: Bytes, trailers: Option<HeaderMap> },
}

/// The part of a kept body that has passed.
#[derive(Debug)]
struct Record {
    bytes: Vec<u8>,
    limit: usize,
    whole: Whole,
}

impl<B: Body<Data = Bytes>> RequestBody<B> {
    /// If not to `forward` them, the trailers that pass are without the client's credentials.
    pub(crate) fn new(payload: Payload<B>, forward: bool) -> Self {
        let kind = match payload {
            Payload::Passing { front, body } => {
                Kind::Passing { front, body, record: None, forward }
            }
            Payload::Read { bytes, trailers } => Kind::Read { bytes, trailers },
        };
        Self { kind }
    }

    /// The same, of which a copy is kept if it has no trailers, and at most `limit` bytes.
    pub(crate) fn kept(payload: Payload<B>, forward: bool, limit: usize) -> (Self, Whole) {
        let (mut kept, whole) = (Self::new(payload, forward), Whole::default());
        if kept.size_hint().lower() <= limit as u64 {
            let mut keep = Some(Record { bytes: Vec::new(), limit, whole: Arc::clone(&whole) });
            match &mut kept.kind {
                Kind::Read { bytes, trailers: None } => drop(whole.set(bytes.clone())),
                Kind::Read { .. } => {}
                Kind::Passing { front, body, record, .. } => {
                    if front.is_empty() && body.get().is_end_stream() {
                        publish(&mut keep);
                    }
                    *record = keep;
                }
            }
        }
        (kept, whole)
    }

    /// A body that has passed, again.
    pub(crate) fn again(bytes: Bytes) -> Self {
        Self { kind: Kind::Read { bytes, trailers: None } }
    }
}

/// The body has ended.
fn publish(record: &mut Option<Record>) {
    if let Some(Record { bytes, whole, .. }) = record.take() {
        // Cannot be set already: the record is gone after the first time.
        let _ = whole.set(bytes.into());
    }
}

/// Keeps a frame, or nothing any more.
fn note(record: &mut Option<Record>, frame: &Frame<Bytes>) {
    let kept = record.as_mut().zip(frame.data_ref()).is_some_and(|(record, data)| {
        let fits = record.limit - record.bytes.len() >= data.len();
        if fits {
            record.bytes.extend_from_slice(data);
        }
        fits
    });
    if !kept {
        *record = None;
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passing { front, body, record, forward } => {
                let mut body = body.pinned();
                let mut frame = if front.is_empty() {
                    ready!(body.as_mut().poll_frame(cx))
                } else {
                    Some(Ok(Frame::data(std::mem::take(front))))
                };
                match &mut frame {
                    Some(Ok(frame)) => {
                        note(record, frame);
                        if let Some(trailers) = frame.trailers_mut().filter(|_| !*forward) {
                            remove_client(trailers);
                        }
                        // A reader that knows the length might not ask for more.
                        if body.is_end_stream() {
                            publish(record);
                        }
                    }
                    Some(Err(_)) => *record = None,
                    None => publish(record),
                }
                Poll::Ready(frame)
            }
            KindProjection::Read { bytes, trailers } => {
                let frame = if bytes.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(std::mem::take(bytes)))
                };
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passing { front, body, .. } => front.is_empty() && body.get().is_end_stream(),
            Kind::Read { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passing { front, body, .. } => {
                let (mut hint, behind) = (SizeHint::new(), body.get().size_hint());
                let front = front.len() as u64;
                hint.set_lower(behind.lower().saturating_add(front));
                if let Some(upper) = behind.upper() {
                    hint.set_upper(upper.saturating_add(front));
                }
                hint
            }
            Kind::Read { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// One request's share of what is held of all bodies.
pub(crate) struct Hold {
    pub bytes: Vec<u8>,
    share: usize,
    held: Arc<AtomicUsize>,
}

impl Hold {
    pub(crate) fn new(held: &Arc<AtomicUsize>) -> Self {
        Self { bytes: Vec::new(), share: 0, held: Arc::clone(held) }
    }

    /// Some more of the body came. False if all together are over `most`, and it is not counted.
    pub(crate) fn grow(&mut self, len: usize, most: usize) -> bool {
        let before = self.held.fetch_add(len, Ordering::Relaxed);
        let fits = before.checked_add(len).is_some_and(|sum| sum <= most);
        if fits {
            self.share += len;
        } else {
            self.held.fetch_sub(len, Ordering::Relaxed);
        }
        fits
    }

    /// The body, which counts as long as it is held.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Hold {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.fetch_sub(self.share, Ordering::Relaxed);
    }
}

pin_project! {
    /// The body of a response: the inner service's, with its ids sealed where that is to be done,
    /// or a refusal's.
    pub struct ResponseBody<B> {
        #[pin]
        kind: ResponseKind<B>,
    }
}

pin_project! {
    #[project = ResponseProjection]
    enum ResponseKind<B> {
        Passing { #[pin] body: B },
        Sealing { #[pin] body: B, seal: Box<BodySeal>, end: End },
        Refusal { #[pin] body: Full<Bytes> },
    }
}

/// The rest of a body that is sealed.
enum End {
    Body,
    Trailers(HeaderMap),
    Nothing,
}

impl<B> ResponseBody<B> {
    pub(crate) fn passing(body: B) -> Self {
        Self { kind: ResponseKind::Passing { body } }
    }

    pub(crate) fn sealing(body: B, seal: Box<BodySeal>) -> Self
    where
        B: Body,
    {
        let end = if body.is_end_stream() { End::Nothing } else { End::Body };
        Self { kind: ResponseKind::Sealing { body, seal, end } }
    }

    pub(crate) fn refusal(body: Full<Bytes>) -> Self {
        Self { kind: ResponseKind::Refusal { body } }
    }
}

impl<B> std::fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (mut body, seal, end) = match self.project().kind.project() {
            ResponseProjection::Passing { body } => return body.poll_frame(cx),
            ResponseProjection::Refusal { body } => {
                return body.poll_frame(cx).map_err(|impossible| match impossible {});
            }
            ResponseProjection::Sealing { body, seal, end } => (body, seal, end),
        };
        loop {
            match std::mem::replace(end, End::Nothing) {
                End::Body => {}
                End::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                End::Nothing => return Poll::Ready(None),
            }
            *end = End::Body;
            let (data, trailers, is_last) = match ready!(body.as_mut().poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => (Bytes::new(), None, true),
                Some(Ok(frame)) => match frame.into_data() {
                    // A reader that knows the length might not ask for more.
                    Ok(data) => (data, None, body.is_end_stream()),
                    Err(frame) => (Bytes::new(), frame.into_trailers().ok(), true),
                },
            };
            if is_last {
                *end = trailers.map_or(End::Nothing, End::Trailers);
            }
            let part = seal.seal(data, is_last);
            // Held bytes are sent with the next part.
            if !part.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Passing { body } => body.is_end_stream(),
            ResponseKind::Refusal { body } => body.is_end_stream(),
            ResponseKind::Sealing { end, .. } => matches!(end, End::Nothing),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::Passing { body } => body.size_hint(),
            ResponseKind::Refusal { body } => body.size_hint(),
            ResponseKind::Sealing { .. } if self.is_end_stream() => SizeHint::with_exact(0),
            ResponseKind::Sealing { .. } => SizeHint::default(),
        }
    }
}
