//! Values of headers.

/// The kind of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON, including types that end with `+json`. A body without a type counts too, because many
    /// servers read it as JSON.
    Json,
    /// Server-sent events.
    Events,
    /// Parts, as of an upload.
    Multipart,
    /// Anything else.
    Other,
}

impl Content {
    /// Returns the kind that a `Content-Type` names. An empty one stands for an absent header.
    ///
    /// ```
    /// use tokenpin::gateway::Content;
    ///
    /// assert_eq!(Content::of(b"Application/JSON; charset=utf-8"), Content::Json);
    /// assert_eq!(Content::of(b"text/event-stream"), Content::Events);
    /// assert_eq!(Content::of(b"text/plain"), Content::Other);
    /// ```
    #[must_use]
    pub fn of(content_type: &[u8]) -> Self {
        let mut parts = content_type.split(|byte| matches!(byte, b';' | b','));
        let kind = parts.next().unwrap_or_default().trim_ascii();
        let is = |text: &[u8]| kind.eq_ignore_ascii_case(text);
        let begins = |text: &[u8]| {
            kind.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
        };
        let ends = |text: &[u8]| {
            kind.len() >= text.len()
                && kind
                    .get(kind.len() - text.len()..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(text))
        };
        if kind.is_empty() || is(b"application/json") || ends(b"+json") {
            Self::Json
        } else if is(b"text/event-stream") {
            Self::Events
        } else if begins(b"multipart/") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

/// Returns true if a body is compressed, or encoded in another way. `fields` are the values of all
/// `Content-Encoding` fields, each of which may be a list.
///
/// ```
/// use tokenpin::gateway::is_encoded;
///
/// assert!(is_encoded([&b"identity"[..], b"identity, gzip"]));
/// assert!(!is_encoded([&b"identity, Identity"[..], b","]));
/// ```
pub fn is_encoded<'h>(fields: impl IntoIterator<Item = &'h [u8]>) -> bool {
    elements(fields).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Returns the elements of lists, without blanks around them.
fn elements<'h>(fields: impl IntoIterator<Item = &'h [u8]>) -> impl Iterator<Item = &'h [u8]> {
    fields.into_iter().flat_map(|list| list.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// Returns the one value of all values that are not empty, or the empty one if there is none.
/// Returns `None` if they differ, because no rule says which one is right.
pub fn the_one<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Option<&'h [u8]> {
    let mut values = values.into_iter().filter(|value| !value.is_empty());
    let one = values.next().unwrap_or_default();
    values.all(|other| other == one).then_some(one)
}

/// Returns the value whose copies a proxy has joined with commas, or else the whole value, without
/// blanks around it.
///
/// ```
/// use tokenpin::gateway::unjoined;
///
/// assert_eq!(unjoined(b"alice, alice"), b"alice");
/// assert_eq!(unjoined(b"alice, bob"), b"alice, bob");
/// assert_eq!(unjoined(b" alice"), b"alice");
/// ```
#[must_use]
pub fn unjoined(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    if !value.contains(&b',') {
        return value;
    }
    the_one(elements([value])).unwrap_or(value)
}
