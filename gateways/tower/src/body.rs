//! Bodies: of requests, which another account may need again, and of responses.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

use crate::credentials::remove_client;

/// The body of a response: the inner service's, or a refusal's.
pub type ResponseBody<B> = Either<B, Full<Bytes>>;

/// A whole body, as soon as all of it has gone by.
pub(crate) type Whole = Arc<OnceLock<Bytes>>;

pin_project! {
    /// The body of a request, as the inner service gets it: the client's, frame by frame, or the same once more for
    /// another account.
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
        First { #[pin] body: B, record: Option<Record>, forward: bool },
        Again { #[pin] body: Full<Bytes> },
    }
}

/// What has gone by of a body that is kept.
#[derive(Debug)]
struct Record {
    bytes: Vec<u8>,
    limit: usize,
    whole: Whole,
}

impl<B: Body<Data = Bytes>> RequestBody<B> {
    /// The client's body. If not to `forward` them, its trailers are without the client's credentials.
    pub(crate) fn first(body: B, forward: bool) -> Self {
        Self { kind: Kind::First { body, record: None, forward } }
    }

    /// The same, of which a copy is kept if it has no trailers, and at most `limit` bytes.
    pub(crate) fn kept(body: B, forward: bool, limit: usize) -> (Self, Whole) {
        let whole = Whole::default();
        let mut record = Some(Record { bytes: Vec::new(), limit, whole: Arc::clone(&whole) });
        if body.size_hint().lower() > limit as u64 {
            record = None;
        } else if body.is_end_stream() {
            publish(&mut record);
        }
        (Self { kind: Kind::First { body, record, forward } }, whole)
    }

    /// The same body once more.
    pub(crate) fn again(whole: Bytes) -> Self {
        Self { kind: Kind::Again { body: Full::new(whole) } }
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
            KindProjection::First { mut body, record, forward } => {
                let mut frame = ready!(body.as_mut().poll_frame(cx));
                match &mut frame {
                    Some(Ok(frame)) => {
                        note(record, frame);
                        if let Some(trailers) = frame.trailers_mut().filter(|_| !*forward) {
                            remove_client(trailers);
                        }
                        // Who knows the length may not ask for what comes behind it.
                        if body.is_end_stream() {
                            publish(record);
                        }
                    }
                    Some(Err(_)) => *record = None,
                    None => publish(record),
                }
                Poll::Ready(frame)
            }
            KindProjection::Again { body } => {
                body.poll_frame(cx).map_err(|impossible| match impossible {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::First { body, .. } => body.is_end_stream(),
            Kind::Again { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::First { body, .. } => body.size_hint(),
            Kind::Again { body } => body.size_hint(),
        }
    }
}
