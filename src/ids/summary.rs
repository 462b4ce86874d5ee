//! The summary of a request's ids, and the forms in which the client wrote them.

use super::fields::{CONTAINER, CONVERSATION, Ids, NO_KEY, PREVIOUS_RESPONSE};
use super::form::in_alphabet;
use super::id::{IdVerdict, OpenedId};
use super::rules::{Form, Mode, Rules};

/// The longest id that is quoted.
const MAX_QUOTED: usize = 64;

/// The summary of a request's ids. It begins as [`Summary::new`], and every reader adds to it: the
/// path first, then the query, then the body.
///
/// A key is a number: its index in [`KEYS`](super::KEYS), then in the additions of the
/// configuration. 255 is no key.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they say seven things, and exclude each other nowhere"
)]
pub struct Summary {
    /// The worst verdict of all ids. Ids behind the first refused one are not checked.
    pub verdict: IdVerdict,
    /// The key of the refused id. For a conflict, both keys.
    pub keys: [u8; 2],
    /// True if the request is refused for its ids: by [`Self::verdict`], or for a plain id in the
    /// mode [`Strict`](super::Mode::Strict).
    pub refused: bool,
    /// True if a string that may be an id is too long to be read.
    pub unreadable: bool,
    /// True if the request names existing state, by a sealed or a plain id.
    pub existing: bool,
    /// True if the ids of the response are sealed, because the request creates state that is found
    /// again by its id.
    pub seals: bool,
    /// True if the response seals the ids that the client sent sealed.
    pub(crate) echoes: bool,
    /// True if the body says `"store": false`.
    pub unstored: bool,
    /// True if the path is for [uploads](super::UPLOADS), so that the request may have a multipart
    /// body.
    pub uploads: bool,
    /// True if the path is a [download](super::DOWNLOADS). Its response is a client's file, in
    /// which nothing is sealed.
    pub downloads: bool,
    /// The number of opened ids.
    pub opened: u32,
    /// The number of plain ids.
    pub plain: u32,
    /// The identity hash of the account that must serve, and the key of the id that names it.
    hard: Option<(u64, u8)>,
    /// The identity hash of the account that the client's own history names. It counts only if
    /// nothing else names an account.
    soft: Option<u64>,
    quoted: [u8; MAX_QUOTED],
    quoted_len: u8,
    /// The client's forms of its ids.
    pub echo: Echo,
}

impl Default for Summary {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Summary {
    /// Leaves out the accounts.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Summary")
            .field("verdict", &self.verdict)
            .field("keys", &self.keys)
            .field("refused", &self.refused)
            .field("unreadable", &self.unreadable)
            .field("existing", &self.existing)
            .field("seals", &self.seals)
            .field("unstored", &self.unstored)
            .field("uploads", &self.uploads)
            .field("downloads", &self.downloads)
            .field("opened", &self.opened)
            .field("plain", &self.plain)
            .finish_non_exhaustive()
    }
}

impl Summary {
    /// Creates the summary of a request without ids.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            verdict: IdVerdict::None,
            keys: [NO_KEY; 2],
            refused: false,
            unreadable: false,
            existing: false,
            seals: false,
            echoes: false,
            unstored: false,
            uploads: false,
            downloads: false,
            opened: 0,
            plain: 0,
            hard: None,
            soft: None,
            quoted: [0; MAX_QUOTED],
            quoted_len: 0,
            echo: Echo::new(),
        }
    }

    /// Returns the identity hash of the account that serves this request, and the key of the id
    /// that names it (255 for history). Returns `None` if no id names an account.
    #[must_use]
    pub fn account(&self) -> Option<(u64, u8)> {
        let soft = self.soft.filter(|_| !self.unstored).map(|pin| (pin, NO_KEY));
        self.hard.or(soft)
    }

    /// Returns the refused id, or else the id that names the account, as the client wrote it except
    /// for escapes, for the text of a refusal. It is empty for an id over 64 bytes or with other
    /// characters than ids have, and for encrypted content.
    #[must_use]
    pub fn quoted(&self) -> &[u8] {
        self.quoted.get(..usize::from(self.quoted_len)).unwrap_or_default()
    }

    /// Returns whether anything in the response may change. If not, the response need not be read.
    #[must_use]
    pub const fn changes_response(&self) -> bool {
        self.seals || self.echoes && self.echo.len != 0
    }

    /// Reads a text that may be an id, under `key` and with its rank for the echo. Returns the
    /// native id if it was sealed. `bind` receives the object that the id names.
    pub(crate) fn take(
        &mut self,
        rules: &Rules<'_>,
        ids: Ids,
        (key, rank): (u8, u8),
        text: &[u8],
        bind: &mut dyn FnMut(&mut Self, Named),
    ) -> Option<OpenedId> {
        if self.refused {
            return None;
        }
        let (verdict, opened) = match rules.mode {
            Mode::Off => (IdVerdict::Plain, None),
            _ => rules.sealer.open(text),
        };
        if let Some(opened) = opened {
            self.note_opened(text);
            if let Some(form) = rules.unlike_sealed(opened.key_id) {
                self.echo.note(rules, rank, opened.native(), form);
            }
            bind(self, Named::Account(opened.pin));
            return Some(opened);
        }
        if verdict != IdVerdict::Plain && rules.refuse_foreign {
            self.refuse(verdict, [key, NO_KEY], text);
            return None;
        }
        // These name nothing.
        if text.is_empty() || text == b"auto" {
            return None;
        }
        self.plain = self.plain.saturating_add(1);
        self.verdict = self.verdict.max(IdVerdict::Plain);
        if rules.seals(ids, text) {
            if rules.mode == Mode::Strict {
                self.refuse(IdVerdict::Plain, [key, NO_KEY], text);
                return None;
            }
            if rules.mode == Mode::Seal {
                self.echo.note(rules, rank, text, Form::Plain);
            }
        }
        bind(self, Named::Something);
        None
    }

    /// Counts an opened id, and keeps it as the one that may name the account.
    pub(crate) fn note_opened(&mut self, text: &[u8]) {
        self.opened = self.opened.saturating_add(1);
        self.verdict = self.verdict.max(IdVerdict::Sealed);
        if self.hard.is_none() {
            self.quote(text);
        }
    }

    /// Binds the request to an account, with priority over history.
    pub(crate) fn bind_hard(&mut self, key: u8, named: Named) {
        self.existing = true;
        let Named::Account(pin) = named else { return };
        match self.hard {
            None => self.hard = Some((pin, key)),
            Some((other, first)) if other != pin => {
                self.refuse(IdVerdict::Conflict, [first, key], b"");
            }
            Some(_) => {}
        }
    }

    /// Binds the request to the account of its history, which is in the set.
    pub(crate) fn bind_soft(&mut self, pin: u64) {
        self.soft = Some(pin);
    }

    pub(crate) fn refuse(&mut self, verdict: IdVerdict, keys: [u8; 2], text: &[u8]) {
        if !self.refused {
            (self.verdict, self.keys, self.refused) = (self.verdict.max(verdict), keys, true);
            self.quote(text);
        }
    }

    #[inline(never)]
    fn quote(&mut self, text: &[u8]) {
        self.quoted_len = 0;
        let place = self.quoted.get_mut(..text.len()).filter(|_| in_alphabet(text));
        if let (Some(place), Ok(len)) = (place, u8::try_from(text.len())) {
            place.copy_from_slice(text);
            self.quoted_len = len;
        }
    }
}

/// The object that a text names.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    /// An object of this account.
    Account(u64),
    /// An object of an unknown account, by a plain id.
    Something,
}

/// The number of ids whose form is remembered.
const ECHOES: usize = 16;

/// The client's forms of its ids, so that the response spells them the same way. Only forms that
/// the gateway would not write itself are kept.
#[derive(Clone)]
pub struct Echo {
    entries: [Entry; ECHOES],
    len: u8,
    /// The number of ids that did not fit.
    pub lost: u32,
}

/// An id by a keyed hash of its native form.
#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    rank: u8,
    form: Form,
}

/// Returns the rank of a body's key: ids of a low rank keep their place if there are too many. Ids
/// of the path have rank 0, and those of the query 1.
pub(crate) fn rank(key: u8) -> u8 {
    match key {
        PREVIOUS_RESPONSE => 2,
        CONVERSATION => 3,
        CONTAINER => 4,
        _ => LAST_RANK,
    }
}

const LAST_RANK: u8 = 5;

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Echo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Echo({} ids)", self.len)
    }
}

impl Echo {
    /// Creates the echo of a request without ids.
    #[must_use]
    pub const fn new() -> Self {
        let none = Entry { hash: 0, rank: LAST_RANK, form: Form::Plain };
        Self { entries: [none; ECHOES], len: 0, lost: 0 }
    }

    pub(crate) fn changes_response(&self, rules: &Rules<'_>, ids: Ids) -> bool {
        rules.seals_all(ids) || rules.echoes(ids) && self.len != 0
    }

    pub(crate) fn note(&mut self, rules: &Rules<'_>, rank: u8, native: &[u8], form: Form) {
        let hash = rules.sealer.echo_hash(native);
        let len = usize::from(self.len);
        let there = self.entries.get(..len).unwrap_or_default();
        if there.iter().any(|entry| entry.hash == hash) {
            return;
        }
        let place = if len < ECHOES {
            self.len += 1;
            len
        } else {
            self.lost = self.lost.saturating_add(1);
            // An id of the highest rank, the last of several, makes room for one of a lower rank.
            let weakest = there.iter().enumerate().max_by_key(|(_, entry)| entry.rank);
            let Some((place, _)) = weakest.filter(|(_, entry)| entry.rank > rank) else { return };
            place
        };
        if let Some(entry) = self.entries.get_mut(place) {
            *entry = Entry { hash, rank, form };
        }
    }

    pub(crate) fn find(&self, rules: &Rules<'_>, native: &[u8]) -> Option<Form> {
        let there = self.entries.get(..usize::from(self.len))?;
        if there.is_empty() {
            return None;
        }
        let hash = rules.sealer.echo_hash(native);
        there.iter().find(|entry| entry.hash == hash).map(|entry| entry.form)
    }
}
