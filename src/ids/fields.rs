//! The closed tables that say which strings of a document or a path are ids.
//!
//! A key that is not listed is never read, so `call_id`, `user_id` and keys of the client are never
//! taken for ids of the provider. docs/spec/sealed-ids.md holds the tables, generated from here.

use crate::bytes::{alike, holds};
use crate::enums::named;
use crate::error::{ConfigError, Error, Field};
use crate::limits::MAX_ID;
use crate::words::words;

/// The ids that are opened in the requests of an API, and sealed in its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ids {
    /// No id is opened or sealed.
    None = 0,
    /// Sealed ids in requests are opened. Responses stay as they are.
    Open = 1,
    /// Ids in requests are opened, and ids in responses are sealed.
    Both = 2,
    /// The same as both, with the ids of items and encrypted content: Responses and Conversations.
    Items = 3,
}

named! { Ids { None = "none", Open = "open", Both = "both", Items = "items" } }

/// The meaning of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// No key of a document: the path of the request.
    Path = 0,
    /// A parameter of the query.
    Query = 1,
    /// The id of the object that has this key.
    Own = 2,
    /// An id.
    Id = 3,
    /// An array of ids.
    Ids = 4,
    /// An id, or an object with an `id`.
    Named = 5,
    /// An object with an `id`. A string here is no id.
    Holder = 6,
    /// Encrypted content, which carries a mark at its end.
    Encrypted = 7,
    /// An absolute URL with an id in its path.
    Url = 8,
    /// Data of the client or of a tool. Nothing inside it is read.
    Opaque = 9,
    /// Data of a tool if the value is an object. An array holds items.
    OpaqueObject = 10,
    /// Values for a prompt, in which only `file_id` is read.
    Variables = 11,
    /// Items of a conversation.
    Items = 12,
}

named! { KeyKind {
    Path = "path", Query = "query", Own = "own", Id = "id", Ids = "ids", Named = "named",
    Holder = "holder", Encrypted = "encrypted", Url = "url", Opaque = "opaque",
    OpaqueObject = "opaque_object", Variables = "variables", Items = "items",
} }

/// A key that is read. Its index in [`KEYS`] is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdKey<'a> {
    /// The key.
    pub name: &'a [u8],
    /// The meaning of its value.
    pub kind: KeyKind,
}

const fn key(kind: KeyKind, name: &'static [u8]) -> IdKey<'static> {
    IdKey { name, kind }
}

/// The keys that are read. A number never changes: new keys are appended.
pub const KEYS: &[IdKey<'static>] = &[
    key(KeyKind::Path, b"path"),
    key(KeyKind::Query, b"after"),
    key(KeyKind::Query, b"before"),
    key(KeyKind::Query, b"after_id"),
    key(KeyKind::Query, b"before_id"),
    key(KeyKind::Own, b"id"),
    key(KeyKind::Id, b"previous_response_id"),
    key(KeyKind::Named, b"conversation"),
    key(KeyKind::Named, b"container"),
    key(KeyKind::Encrypted, b"encrypted_content"),
    key(KeyKind::Id, b"response_id"),
    key(KeyKind::Id, b"conversation_id"),
    key(KeyKind::Id, b"item_id"),
    key(KeyKind::Id, b"previous_item_id"),
    key(KeyKind::Id, b"approval_request_id"),
    key(KeyKind::Id, b"first_id"),
    key(KeyKind::Id, b"last_id"),
    key(KeyKind::Id, b"file_id"),
    key(KeyKind::Ids, b"file_ids"),
    key(KeyKind::Id, b"input_file_id"),
    key(KeyKind::Id, b"output_file_id"),
    key(KeyKind::Id, b"error_file_id"),
    key(KeyKind::Id, b"training_file"),
    key(KeyKind::Id, b"validation_file"),
    key(KeyKind::Ids, b"result_files"),
    key(KeyKind::Id, b"batch_id"),
    key(KeyKind::Id, b"upload_id"),
    key(KeyKind::Ids, b"part_ids"),
    key(KeyKind::Id, b"vector_store_id"),
    key(KeyKind::Ids, b"vector_store_ids"),
    key(KeyKind::Id, b"fine_tuning_job_id"),
    key(KeyKind::Id, b"container_id"),
    key(KeyKind::Id, b"assistant_id"),
    key(KeyKind::Id, b"thread_id"),
    key(KeyKind::Id, b"run_id"),
    key(KeyKind::Id, b"step_id"),
    key(KeyKind::Holder, b"video"),
    key(KeyKind::Id, b"video_id"),
    key(KeyKind::Id, b"remixed_from_video_id"),
    key(KeyKind::Id, b"eval_id"),
    key(KeyKind::Holder, b"source"),
    key(KeyKind::Id, b"skill_id"),
    key(KeyKind::Named, b"agent"),
    key(KeyKind::Id, b"agent_id"),
    key(KeyKind::Id, b"session_id"),
    key(KeyKind::Id, b"environment_id"),
    key(KeyKind::Ids, b"vault_ids"),
    key(KeyKind::Id, b"memory_store_id"),
    key(KeyKind::Url, b"results_url"),
    key(KeyKind::Opaque, b"metadata"),
    key(KeyKind::Opaque, b"arguments"),
    key(KeyKind::Opaque, b"parameters"),
    key(KeyKind::Opaque, b"schema"),
    key(KeyKind::Opaque, b"json_schema"),
    key(KeyKind::Opaque, b"properties"),
    key(KeyKind::Opaque, b"item_schema"),
    key(KeyKind::Opaque, b"attributes"),
    key(KeyKind::Opaque, b"filters"),
    key(KeyKind::Opaque, b"logprobs"),
    key(KeyKind::Opaque, b"error"),
    key(KeyKind::OpaqueObject, b"input"),
    key(KeyKind::Variables, b"variables"),
    key(KeyKind::Items, b"items"),
    key(KeyKind::Opaque, b"input_schema"),
];

/// The prefixes of the ids that are sealed.
pub const PREFIXES: &[&[u8]] = &[
    b"resp_",
    b"conv_",
    b"file-",
    b"file_",
    b"assistant-",
    b"batch_",
    b"upload_",
    b"part_",
    b"vs_",
    b"vsfb_",
    b"ftjob-",
    b"ftckpt_",
    b"cntr_",
    b"container_",
    b"cfile_",
    b"asst_",
    b"thread_",
    b"run_",
    b"step_",
    b"video_",
    b"eval_",
    b"evalrun_",
    b"outputitem_",
    b"skill_",
    b"msgbatch_",
    b"agent_",
    b"sesn_",
    b"env_",
    b"vlt_",
    b"memstore_",
];

/// The prefixes of item ids. Only the Responses and Conversations APIs seal them: elsewhere a
/// message's id names nothing.
pub const ITEM_PREFIXES: &[&[u8]] = &[
    b"msg_", b"rs_", b"fc_", b"fco_", b"ws_", b"fs_", b"ci_", b"ig_", b"cu_", b"lsh_", b"sh_",
    b"ctc_", b"ctco_", b"mcp_", b"mcpl_", b"mcpr_", b"cmp_",
];

/// The segments of a path that an id follows.
pub const COLLECTIONS: &[&[u8]] = &[
    b"responses",
    b"conversations",
    b"items",
    b"files",
    b"uploads",
    b"batches",
    b"file_batches",
    b"jobs",
    b"checkpoints",
    b"vector_stores",
    b"assistants",
    b"threads",
    b"messages",
    b"runs",
    b"steps",
    b"containers",
    b"videos",
    b"evals",
    b"output_items",
    b"skills",
    b"agents",
    b"sessions",
    b"environments",
    b"vaults",
    b"memory_stores",
];

/// The segments that can follow a collection without being an id. All collections belong to them
/// too.
pub const LITERALS: &[&[u8]] = &[
    b"compact",
    b"input_tokens",
    b"count_tokens",
    b"search",
    b"characters",
    b"edits",
    b"extensions",
    b"generations",
    b"upload",
    b"import",
];

/// The segments that a name follows. A deployment may be named `files`, so the segment behind one
/// of these is never a collection.
const NAMED: &[&[u8]] = &[
    b"deployments",
    b"endpoints",
    b"engines",
    b"model",
    b"models",
    b"projects",
    b"serving-endpoints",
];

/// The segments that mark a path for uploads. Its requests may have multipart bodies, whose parts
/// are files.
pub const UPLOADS: &[&[u8]] = &[b"files", b"uploads", b"skills", b"videos", b"images", b"audio"];

/// The last segments of paths that are answered with a client's file, which may hold any bytes.
pub const DOWNLOADS: &[&[u8]] = &[b"content", b"results"];

/// The header fields that vouch for the bytes of a body. They are wrong once an id was rewritten.
pub const DIGEST_HEADERS: &[&str] = &["content-md5", "digest", "content-digest", "repr-digest"];

/// The header fields of a response that hold a target or a URI with ids.
pub const LOCATION_HEADERS: &[&str] = &["location", "content-location", "operation-location"];

words!(COLLECTION_WORDS, COLLECTIONS);
words!(DOWNLOAD_WORDS, DOWNLOADS);
words!(ITEM_PREFIX_WORDS, ITEM_PREFIXES);
words!(LITERAL_WORDS, LITERALS);
words!(NAMED_WORDS, NAMED);
words!(PREFIX_WORDS, PREFIXES);
words!(UPLOAD_WORDS, UPLOADS);

static KINDS: [KeyKind; KEYS.len()] = {
    let (mut kinds, mut i) = ([KeyKind::Path; KEYS.len()], 0);
    while i < KEYS.len() {
        kinds[i] = KEYS[i].kind;
        i += 1;
    }
    kinds
};

/// The length of the longest key, unescaped.
pub(crate) const MAX_KEY_NAME: usize = 32;
/// The most keys, and the most prefixes, that a configuration may add.
pub(crate) const MAX_ADDED: usize = 32;

/// The number that stands for no key.
pub(crate) const NO_KEY: u8 = u8::MAX;

/// The numbers of the keys that code refers to.
pub(crate) const PATH: u8 = 0;
pub(crate) const OWN: u8 = number_of(b"id");
pub(crate) const PREVIOUS_RESPONSE: u8 = number_of(b"previous_response_id");
pub(crate) const CONVERSATION: u8 = number_of(b"conversation");
pub(crate) const CONTAINER: u8 = number_of(b"container");
pub(crate) const ENCRYPTED: u8 = number_of(b"encrypted_content");
pub(crate) const FILE: u8 = number_of(b"file_id");

const fn number_of(name: &[u8]) -> u8 {
    let mut number = 0;
    while number < KEYS.len() {
        if equal(KEYS[number].name, name) {
            return LAST[number];
        }
        number += 1;
    }
    panic!("no such key")
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The indices of [`KEYS`] as bytes.
const LAST: [u8; KEYS.len()] = {
    let (mut numbers, mut i) = ([0; KEYS.len()], 0_u8);
    while (i as usize) < KEYS.len() {
        numbers[i as usize] = i;
        i += 1;
    }
    numbers
};

/// [`KEYS`] ordered by length, so that a key is compared with only a few, which lie side by side.
struct ByLength {
    /// The keys, without separators.
    names: [u8; NAMES_LEN],
    /// Their numbers.
    numbers: [u8; KEYS.len()],
    /// The start of each length in `names` and in `numbers`.
    starts: [(u16, u8); MAX_KEY_NAME + 2],
    /// One bit per first letter of the keys of each length. Most keys of a document fail this test.
    letters: [u32; MAX_KEY_NAME + 1],
}

/// Returns the bit of a letter, ignoring its case.
const fn letter(byte: u8) -> u32 {
    1 << (byte & 31)
}

const NAMES_LEN: usize = {
    let (mut len, mut i) = (0, 0);
    while i < KEYS.len() {
        len += KEYS[i].name.len();
        i += 1;
    }
    len
};

static BY_LENGTH: ByLength = {
    let mut made = ByLength {
        names: [0; NAMES_LEN],
        numbers: [0; KEYS.len()],
        starts: [(0, 0); MAX_KEY_NAME + 2],
        letters: [0; MAX_KEY_NAME + 1],
    };
    let (mut end, mut count, mut len) = (0_u16, 0_u8, 0);
    while len <= MAX_KEY_NAME {
        made.starts[len] = (end, count);
        let mut i = 0;
        while i < KEYS.len() {
            assert!(KEYS[i].name.len() <= MAX_KEY_NAME);
            if KEYS[i].name.len() == len {
                made.letters[len] |= letter(KEYS[i].name[0]);
                let mut at = 0;
                while at < len {
                    made.names[end as usize] = KEYS[i].name[at];
                    (end, at) = (end + 1, at + 1);
                }
                made.numbers[count as usize] = LAST[i];
                count += 1;
            }
            i += 1;
        }
        len += 1;
    }
    made.starts[len] = (end, count);
    made
};

impl ByLength {
    /// Returns the keys of one length, and their numbers.
    fn of(&self, len: usize) -> Option<(&[u8], &[u8])> {
        let (&(name, number), &(last_name, last_number)) =
            (self.starts.get(len)?, self.starts.get(len + 1)?);
        let names = self.names.get(usize::from(name)..usize::from(last_name))?;
        Some((names, self.numbers.get(usize::from(number)..usize::from(last_number))?))
    }

    /// Returns the number and kind of a key whose kind passes the filter.
    fn find(
        &self,
        name: &[u8],
        any_case: bool,
        takes: fn(KeyKind) -> bool,
    ) -> Option<(u8, KeyKind)> {
        let (names, numbers) = self.of(name.len())?;
        let first = letter(*name.first()?);
        for (listed, &number) in names.chunks_exact(name.len().max(1)).zip(numbers) {
            // A comparison is a call, and most keys differ in the first letter.
            if listed.first().is_some_and(|&byte| letter(byte) == first)
                && (listed == name || any_case && alike(listed, name))
            {
                let kind = *KINDS.get(usize::from(number))?;
                if takes(kind) {
                    return Some((number, kind));
                }
            }
        }
        None
    }

    /// Returns the key with this number.
    fn key(&self, number: u8) -> Option<IdKey<'_>> {
        let kind = *KINDS.get(usize::from(number))?;
        (1..=MAX_KEY_NAME).find_map(|len| {
            let (names, numbers) = self.of(len)?;
            let at = numbers.iter().position(|&it| it == number)?;
            Some(IdKey { name: names.get(at * len..(at + 1) * len)?, kind })
        })
    }
}

/// Returns whether keys of this kind are read in documents.
fn in_documents(kind: KeyKind) -> bool {
    kind != KeyKind::Path && kind != KeyKind::Query
}

/// Returns whether a query parameter with a key of this kind holds an id.
fn in_queries(kind: KeyKind) -> bool {
    matches!(kind, KeyKind::Query | KeyKind::Id | KeyKind::Named)
}

/// Returns whether a key may be one that is read. Most keys of documents fail this test.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call costs as much")]
pub(crate) fn may_be_read(name: &[u8], added_letters: u32) -> bool {
    let listed = BY_LENGTH.letters.get(name.len()).copied().unwrap_or_default();
    name.first().is_some_and(|&first| (listed | added_letters) & letter(first) != 0)
}

/// The built-in tables and the additions of a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// More keys. Their numbers follow those of [`KEYS`].
    pub keys: &'a [IdKey<'a>],
    /// More prefixes of ids that are sealed.
    pub prefixes: &'a [&'a [u8]],
    /// More segments of a path that an id follows.
    pub collections: &'a [&'a [u8]],
}

impl Fields<'_> {
    /// No additions.
    pub const NONE: Fields<'static> = Fields { keys: &[], prefixes: &[], collections: &[] };

    /// Checks the additions.
    ///
    /// # Errors
    ///
    /// [`Error::IdField`], with the field and the index of the entry at fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        let bad_key = |key: &IdKey<'_>| {
            key.name.is_empty()
                || key.name.len() > MAX_KEY_NAME
                || key.kind == KeyKind::Path
                || key.kind == KeyKind::Own
        };
        let bad_prefix = |prefix: &&[u8]| {
            prefix.is_empty() || prefix.len() > MAX_ID || !super::form::in_alphabet(prefix)
        };
        let bad_segment = |segment: &&[u8]| segment.is_empty() || holds(b'/', segment);
        let bad = |field, len: usize, found: Option<usize>| {
            let index = found.or((len > MAX_ADDED).then_some(MAX_ADDED));
            index.map_or(Ok(()), |index| Err(Error::IdField.at(field, index)))
        };
        bad(Field::IdFields, self.keys.len(), self.keys.iter().position(bad_key))?;
        bad(Field::IdPrefixes, self.prefixes.len(), self.prefixes.iter().position(bad_prefix))?;
        let segments = self.collections;
        bad(Field::IdCollections, segments.len(), segments.iter().position(bad_segment))
    }

    /// Returns the key with this number.
    #[must_use]
    pub fn key(&self, number: u8) -> Option<IdKey<'_>> {
        BY_LENGTH
            .key(number)
            .or_else(|| self.keys.get(usize::from(number).checked_sub(KEYS.len())?).copied())
    }

    /// Returns the letters with which added keys may begin, for [`may_be_read`].
    pub(crate) fn added_letters(&self) -> u32 {
        if self.keys.is_empty() { 0 } else { u32::MAX }
    }

    /// Returns the number and kind of a key of a document, if it is read.
    pub(crate) fn find(&self, name: &[u8], any_case: bool) -> Option<(u8, KeyKind)> {
        self.find_by(name, any_case, in_documents)
    }

    #[inline(never)]
    fn find_by(
        &self,
        name: &[u8],
        any_case: bool,
        takes: fn(KeyKind) -> bool,
    ) -> Option<(u8, KeyKind)> {
        let listed = BY_LENGTH.find(name, any_case, takes);
        listed.or_else(|| self.find_added(name, any_case, takes))
    }

    /// Returns the number of a query parameter, if it is read. Only keys of queries, and keys whose
    /// value is a single id, qualify.
    pub(crate) fn find_parameter(&self, name: &[u8]) -> Option<u8> {
        self.find_by(name, false, in_queries).map(|(number, _)| number)
    }

    fn find_added(
        &self,
        name: &[u8],
        any_case: bool,
        takes: fn(KeyKind) -> bool,
    ) -> Option<(u8, KeyKind)> {
        let matches = |key: &&IdKey<'_>| {
            takes(key.kind) && (key.name == name || any_case && alike(key.name, name))
        };
        let (number, key) = (KEYS.len()..).zip(self.keys).find(|(_, key)| matches(key))?;
        Some((u8::try_from(number).ok()?, key.kind))
    }

    /// Returns whether ids with the prefix of `native` are sealed.
    pub(crate) fn seals(&self, ids: Ids, native: &[u8]) -> bool {
        let (prefix, _) = super::form::cut(native);
        PREFIX_WORDS.list().contains(prefix)
            || ids == Ids::Items && ITEM_PREFIX_WORDS.list().contains(prefix)
            || self.prefixes.iter().any(|prefix| native.starts_with(prefix))
    }

    /// Returns whether an id follows this segment of a path.
    pub(crate) fn is_collection(&self, segment: &[u8]) -> bool {
        COLLECTION_WORDS.list().contains(segment) || self.collections.contains(&segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables are computed at compile time, where an error would go unnoticed.
    #[test]
    fn keys_have_the_numbers_of_their_places() {
        for (number, row) in KEYS.iter().enumerate() {
            assert_eq!(usize::from(number_of(row.name)), number);
            assert_eq!(key(row.kind, row.name), *row);
            let in_documents = !matches!(row.kind, KeyKind::Path | KeyKind::Query);
            let found = Fields::NONE.find(row.name, false).map(|(number, _)| usize::from(number));
            assert_eq!(found, in_documents.then_some(number));
        }
        for none in [&b"ids"[..], b"i", b"", b"previous_response_i"] {
            assert!(std::panic::catch_unwind(|| number_of(none)).is_err());
        }
    }
}
