//! The text of a sealed id: its three forms, and which texts are recognised.
//! docs/spec/sealed-ids.md.
//!
//! Nothing here knows a key. The text seals an envelope of 17 bytes that seal.rs makes and reads.

use arrayvec::ArrayVec;

use crate::base64::{self, BYTES, CHARACTERS};
use crate::limits::{MAX_ID, MAX_SEALED_ID};
use crate::sink::hex;

/// Key id, masked pin, tag.
pub(crate) const ENVELOPE_LEN: usize = 17;
pub(crate) type Envelope = [u8; ENVELOPE_LEN];
/// The length of a mark: an envelope and the ending.
pub(crate) const MARK_LEN: usize = text_len(ENVELOPE_LEN) + ENDING_LEN;
const ENDING_LEN: usize = 3;
/// The number of bytes of encrypted content that the tag of its mark covers.
pub(crate) const HEAD_LEN: usize = 64;
/// The shortest text of the packed forms: a prefix, 16 bytes and the envelope, and the ending.
const PACKED_MIN: usize = 1 + text_len(16 + ENVELOPE_LEN) + ENDING_LEN;
/// The most bytes that are packed: those of 64 digits.
const PACKED_MAX: usize = 32;

const _: () = assert!(MAX_SEALED_ID == MAX_ID + MARK_LEN);

/// Returns the number of base64url characters for this many bytes.
const fn text_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The form in which a native id is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The id as it is, followed by the envelope.
    Text,
    /// The prefix, then the hexadecimal digits packed with the envelope.
    Packed,
    /// The prefix, then the UUID packed with the envelope.
    Uuid,
}

impl Form {
    const fn ending(self) -> &'static [u8; ENDING_LEN] {
        match self {
            Self::Text => b"tp0",
            Self::Packed => b"tp1",
            Self::Uuid => b"tp2",
        }
    }
}

/// Returns whether all characters may occur in an id, sealed or not: those of base64url.
pub(crate) fn in_alphabet(text: &[u8]) -> bool {
    base64::is_spelled(text)
}

/// Cuts an id behind its first `_` or `-`. The prefix keeps that character.
pub(crate) fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    let at = text.iter().position(|&byte| byte == b'_' || byte == b'-').map_or(0, |at| at + 1);
    text.split_at_checked(at).unwrap_or((text, b""))
}

/// The bytes that base64url spells in a sealed id: the packed part of the native id, and the
/// envelope.
///
/// Bytes behind `len` are zero, so the spare bits are too. A body is never moved: it is written
/// byte by byte, and a copy immediately after that stalls the processor.
struct Body {
    bytes: [u8; BYTES],
    len: usize,
}

const _: () = assert!(PACKED_MAX + ENVELOPE_LEN <= BYTES);

impl Body {
    const EMPTY: Self = Self { bytes: [0; BYTES], len: 0 };

    /// Appends an envelope, if there is room. It is copied byte by byte, because the encoder reads
    /// bytes and would wait for wider stores.
    fn append(&mut self, envelope: &Envelope) {
        for &byte in envelope {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
    }

    /// Returns the packed bytes, and the envelope behind them.
    fn split(&self) -> Option<(&[u8], &Envelope)> {
        self.bytes.get(..self.len)?.split_last_chunk()
    }

    fn write(&self, text: &mut [u8; CHARACTERS]) {
        base64::encode(&self.bytes, text);
    }

    /// Decodes a part that [`recognise`] found well-formed. Returns `None` if it is too long.
    fn of_text(part: &[u8]) -> Option<Self> {
        let mut text = [b'A'; CHARACTERS];
        text.get_mut(..part.len())?.copy_from_slice(part);
        let mut body = Self { len: part.len() * 3 / 4, ..Self::EMPTY };
        base64::decode(&text, &mut body.bytes).then_some(body)
    }
}

/// The lowest bit of each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Returns the eight lower-case digits of four bytes. It computes them together, in one byte of a
/// word each.
fn spell(bytes: [u8; 4]) -> [u8; 8] {
    let mut word = u64::from(u32::from_le_bytes(bytes));
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    let values = (word >> 4 | word << 8) & (EACH * 0x0f);
    let letters = (values + EACH * (0x80 - 10)) >> 7 & EACH;
    let letter = u64::from(b'a' - 10 - b'0');
    (values + EACH * u64::from(b'0') + letters * letter).to_le_bytes()
}

/// Returns the digits of `packed`, padded with those of zero bytes. Returns `None` if it is too
/// long.
fn unpack(packed: &[u8]) -> Option<[u8; 2 * PACKED_MAX]> {
    let mut bytes = [0; PACKED_MAX];
    bytes.get_mut(..packed.len())?.copy_from_slice(packed);
    let mut digits = [0; 2 * PACKED_MAX];
    for (digits, bytes) in digits.chunks_exact_mut(8).zip(bytes.chunks_exact(4)) {
        digits.copy_from_slice(&spell(*bytes.first_chunk()?));
    }
    Some(digits)
}

/// The value of each digit, and a number above 15 for other bytes.
static DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut value = 0_u8;
    while value < 16 {
        digits[hex(value)[1] as usize] = value;
        value += 1;
    }
    digits
};

/// Packs pairs of digits into an empty body. Returns false, with the body spoiled, if there is
/// another character, an odd number of digits, or too many.
fn pack(digits: &[u8], body: &mut Body) -> bool {
    let pairs = digits.chunks_exact(2);
    body.len = pairs.len();
    let fits = pairs.remainder().is_empty() && pairs.len() <= PACKED_MAX;
    let mut all = 0;
    for (byte, pair) in body.bytes.iter_mut().zip(pairs) {
        let &[high, low] = pair else { return false };
        let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    fits && all < 16
}

/// Returns the digits of a UUID, if each `-` is in its place.
fn uuid_digits(text: &[u8; 36]) -> Option<[u8; 32]> {
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    let hyphens = [text[8], text[13], text[18], text[23]];
    (hyphens == [b'-'; 4]).then_some(digits)
}

/// Returns the form in which a native id is sealed, and the part that stays as it is. The rest is
/// packed into `body`.
fn form_of<'n>(native: &'n [u8], body: &mut Body) -> (Form, &'n [u8]) {
    let (prefix, rest) = cut(native);
    let packed = match rest.len() {
        _ if prefix.is_empty() => None,
        36 if rest.get(8) == Some(&b'-') => {
            let digits = rest.first_chunk().and_then(uuid_digits);
            digits.filter(|digits| pack(digits, body)).map(|_| Form::Uuid)
        }
        32..=64 => pack(rest, body).then_some(Form::Packed),
        _ => None,
    };
    if let Some(form) = packed {
        return (form, prefix);
    }
    *body = Body::EMPTY;
    (Form::Text, native)
}

/// Writes the sealed form of `native` into empty output. `native` is 1 to [`MAX_ID`] bytes of the
/// alphabet.
pub(crate) fn seal(
    native: &[u8],
    envelope: &Envelope,
    made: &mut ArrayVec<u8, MAX_SEALED_ID>,
) -> Option<()> {
    let (mut body, mut text) = (Body::EMPTY, [0; CHARACTERS]);
    let (form, prefix) = form_of(native, &mut body);
    body.append(envelope);
    body.write(&mut text);
    made.try_extend_from_slice(prefix).ok()?;
    made.try_extend_from_slice(text.get(..text_len(body.len))?).ok()?;
    made.try_extend_from_slice(form.ending()).ok()
}

/// Returns the mark for encrypted content: the same text that `tp0` appends to a native id.
pub(crate) fn mark(envelope: &Envelope) -> [u8; MARK_LEN] {
    let mut body = Body::EMPTY;
    body.append(envelope);
    let mut text = [0; CHARACTERS];
    body.write(&mut text);
    let mut mark = [0; MARK_LEN];
    let (part, ending) = mark.split_at_mut(MARK_LEN - ENDING_LEN);
    part.copy_from_slice(&text[..MARK_LEN - ENDING_LEN]);
    ending.copy_from_slice(Form::Text.ending());
    mark
}

/// Returns the envelope of a text that looks like a mark.
pub(crate) fn open_mark(mark: &[u8; MARK_LEN]) -> Option<Envelope> {
    let part = mark.strip_suffix(Form::Text.ending())?;
    // Other characters are refused here.
    let body = Body::of_text(part).filter(|_| is_well_formed(part))?;
    body.split().map(|(_, envelope)| *envelope)
}

/// The kind of a text, judged by its looks.
pub(crate) enum Looks<'t> {
    /// An id as the provider made it, or no id at all.
    Plain,
    /// A sealed id of a later version.
    Later,
    /// A sealed id, not yet verified.
    Sealed(Parts<'t>),
}

/// The parts of a text that looks sealed.
pub(crate) struct Parts<'t> {
    form: Form,
    front: &'t [u8],
    part: &'t [u8],
}

/// Recognises sealed ids.
pub(crate) fn recognise(text: &[u8]) -> Looks<'_> {
    // Nearly every text ends here.
    let Some((rest, [b't', b'p', version])) = text.split_last_chunk() else { return Looks::Plain };
    let parts = match version {
        b'0' if text.len() > MARK_LEN => rest
            .split_last_chunk::<{ text_len(ENVELOPE_LEN) }>()
            .map(|(front, part)| (Form::Text, front, part.as_slice())),
        b'1' | b'2' if text.len() >= PACKED_MIN => {
            let (front, part) = cut(rest);
            let form = if *version == b'1' { Form::Packed } else { Form::Uuid };
            (!front.is_empty()).then_some((form, front, part))
        }
        b'3'..=b'9' if text.len() >= PACKED_MIN && in_alphabet(rest) => return Looks::Later,
        _ => None,
    };
    match parts {
        Some((form, front, part)) if in_alphabet(rest) && is_well_formed(part) => {
            Looks::Sealed(Parts { form, front, part })
        }
        _ => Looks::Plain,
    }
}

/// Returns whether base64url can produce this text. All characters are in the alphabet already.
fn is_well_formed(part: &[u8]) -> bool {
    let spare = match part.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    part.last().is_none_or(|&last| base64::value(last) & spare == 0)
}

impl Parts<'_> {
    /// Writes the native id into empty output and returns the envelope. Returns `None` if sealing
    /// that id would not produce this text.
    pub(crate) fn open(&self, native: &mut ArrayVec<u8, MAX_ID>) -> Option<Envelope> {
        let body = Body::of_text(self.part)?;
        let (packed, envelope) = body.split()?;
        native.try_extend_from_slice(self.front).ok()?;
        match self.form {
            Form::Text => {
                let mut other = Body::EMPTY;
                let right = form_of(self.front, &mut other).0 == Form::Text;
                return right.then_some(*envelope);
            }
            Form::Packed if packed.len() >= 16 => {
                native.try_extend_from_slice(unpack(packed)?.get(..2 * packed.len())?).ok()?;
            }
            Form::Uuid if packed.len() == 16 => {
                let digits = unpack(packed)?;
                for (start, end) in [(0, 8), (8, 12), (12, 16), (16, 20)] {
                    native.try_extend_from_slice(digits.get(start..end)?).ok()?;
                    native.try_extend_from_slice(b"-").ok()?;
                }
                native.try_extend_from_slice(digits.get(20..32)?).ok()?;
            }
            Form::Packed | Form::Uuid => return None,
        }
        Some(*envelope)
    }
}
