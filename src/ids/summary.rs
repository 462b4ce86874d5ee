//! What the ids of a request come to, and how the client wrote them.

use super::fields::{CONTAINER, CONVERSATION, Ids, NO_KEY, PREVIOUS_RESPONSE};
use super::form::in_alphabet;
use super::id::{IdVerdict, OpenedId};
use super::rules::{Form, Mode, Rules};

/// The longest id that is quoted.
const MAX_QUOTED: usize = 64;

/// What the ids of a request come to. Begins as [`Summary::new`], and everything that reads the request
/// adds to it: the path first, then the query, then the body.
///
/// A key is a number: its place in [`KEYS`](super::KEYS), or behind these in what the configuration adds. 255 is none.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they say seven things, and exclude each other nowhere"
)]
pub struct Summary {
    /// Of all ids: the worst verdict. What is behind the first that is refused is not looked at.
    pub verdict: IdVerdict,
    /// The key of the id that is refused; of a conflict, both.
    pub keys: [u8; 2],
    /// Whether the request is refused for its ids: by [`Self::verdict`], or by the mode
    /// [`Strict`](super::Mode::Strict) for an id that is plain.
    pub refused: bool,
    /// Whether there is a string that is too long to be read as the id that it may be.
    pub unreadable: bool,
    /// Whether the request names state that exists, by a sealed id or a plain one.
    pub existing: bool,
    /// Whether the ids of the response are sealed: what the request creates is found again by its id.
    pub seals: bool,
    /// Whether what the client sent sealed is sealed in the response.
    pub(crate) echoes: bool,
    /// Whether the body says `"store": false`.
    pub unstored: bool,
    /// Whether the path is for [uploads](super::UPLOADS): its request may have a multipart body.
    pub uploads: bool,
    /// Whether the path is a [download](super::DOWNLOADS): nothing is sealed in the response's body, a client's own.
    pub downloads: bool,
    /// How many ids were opened, and how many were plain.
    pub opened: u32,
    /// See [`Self::opened`].
    pub plain: u32,
    /// The identity hash of the account that the request has to go to, and the key that says so.
    hard: Option<(u64, u8)>,
    /// The same, of the history that the client carries itself: where nothing else names an account.
    soft: Option<u64>,
    quoted: [u8; MAX_QUOTED],
    quoted_len: u8,
    /// How the client wrote its ids.
    pub echo: Echo,
}

impl Default for Summary {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Summary {
    /// Without the accounts.
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
    /// Of a request without ids.
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

    /// The identity hash of the account that serves this request, and the key of the id that names it
    /// (255 for history). `None` if no id says which.
    #[must_use]
    pub fn account(&self) -> Option<(u64, u8)> {
        let soft = self.soft.filter(|_| !self.unstored).map(|pin| (pin, NO_KEY));
        self.hard.or(soft)
    }

    /// The id that is refused, or that names the account, as the client wrote it, but for escapes: for the text of a
    /// refusal. Empty for one that has more than 64 bytes or other characters than ids, and for encrypted content.
    #[must_use]
    pub fn quoted(&self) -> &[u8] {
        self.quoted.get(..usize::from(self.quoted_len)).unwrap_or_default()
    }

    /// Whether anything in the response may change: else nobody has to look into it.
    #[must_use]
    pub const fn changes_response(&self) -> bool {
        self.seals || self.echoes && self.echo.len != 0
    }

    /// Takes one text that may be an id, under `key` and with its rank for the echo: the native id comes back if it is
    /// opened. `bind` is told what it names.
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
        // What names nothing.
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

    /// One was opened, which may be what names the account.
    pub(crate) fn note_opened(&mut self, text: &[u8]) {
        self.opened = self.opened.saturating_add(1);
        self.verdict = self.verdict.max(IdVerdict::Sealed);
        if self.hard.is_none() {
            self.quote(text);
        }
    }

    /// What names its account for good.
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

    /// History, whose account is in the set.
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

/// What a text names.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    /// An object of this account.
    Account(u64),
    /// A plain id: an object, nobody knows whose.
    Something,
}

/// The most ids whose form is remembered.
const ECHOES: usize = 16;

/// How a client wrote its ids, so that the response spells them the same way. Only where the gateway would
/// spell them otherwise.
#[derive(Clone)]
pub struct Echo {
    entries: [Entry; ECHOES],
    len: u8,
    /// How many ids found no room.
    pub lost: u32,
}

/// By a keyed hash of the native id.
#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    rank: u8,
    form: Form,
}

/// Which ids of a body keep their place where there are too many. Those of the path have rank 0, those of
/// the query 1.
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
    /// Of a request without ids.
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
            // The last of those that matter least makes room for one that matters more.
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
