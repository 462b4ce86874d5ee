//! Classification: finds the group of the API from a request's method and target.

use crate::bytes::holds;
use crate::enums::named;
use crate::error::{ConfigError, Error, Field};
use crate::ids::fields::{Ids, NAMED_WORDS};
use crate::sink::unhex;
use crate::words::words;

/// The group of an API, by its use of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Group {
    /// Any account can serve.
    Stateless = 0,
    /// State lives inside the account.
    Stateful = 1,
    /// Any account can serve. The one with the warm prompt cache is cheaper.
    PromptCache = 2,
}

named! { Group {
    Stateless = "stateless", Stateful = "stateful", PromptCache = "prompt_cache",
} }

/// The result of classifying a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The group of the API.
    pub group: Group,
    /// True if the request names existing state: a read, a delete, or a path below the resource.
    pub existing: bool,
    /// The ids that are opened and sealed in this API, also if its group is stateless.
    pub ids: Ids,
}

/// One row of a classification table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// One or more path segments, such as `files` or `messages/batches`, case-sensitive, without a
    /// slash at either end. A `*` at the front of a segment, except the first one, stands for one
    /// or more bytes of it, as in `models/*:batchGenerateContent`. No `%`, `?` or `#`.
    pub pattern: &'a [u8],
    /// The group of the requests it matches.
    pub group: Group,
    /// The ids that are opened in these requests and sealed in their responses.
    pub ids: Ids,
}

impl Rule<'_> {
    #[inline(never)]
    pub(crate) fn is_well_formed(&self) -> bool {
        let mut first = true;
        self.pattern.split(is_slash).all(|segment| {
            let literal = segment.strip_prefix(b"*").filter(|_| !first).unwrap_or(segment);
            first = false;
            !segment.is_empty() && !literal.iter().any(|byte| b"*%?#".contains(byte))
        })
    }

    /// Returns whether the pattern ends with a segment that is only `*`, which stands for an id.
    fn names(&self) -> bool {
        self.pattern.last() == Some(&b'*')
    }
}

const fn rule(group: Group, ids: Ids, pattern: &'static [u8]) -> Rule<'static> {
    Rule { pattern, group, ids }
}

/// A rule for a provider whose ids are not in the tables.
const fn plain(pattern: &'static [u8]) -> Rule<'static> {
    rule(Group::Stateful, Ids::None, pattern)
}

const fn stateful(pattern: &'static [u8]) -> Rule<'static> {
    rule(Group::Stateful, Ids::Both, pattern)
}

/// A rule for an API whose state is made of items.
const fn items(pattern: &'static [u8]) -> Rule<'static> {
    rule(Group::Stateful, Ids::Items, pattern)
}

const fn stateless(ids: Ids, pattern: &'static [u8]) -> Rule<'static> {
    rule(Group::Stateless, ids, pattern)
}

const fn prompt_cache(ids: Ids, pattern: &'static [u8]) -> Rule<'static> {
    rule(Group::PromptCache, ids, pattern)
}

/// The default rules. They follow those of a configuration, unless it replaces them.
///
/// `fine_tuning/jobs` is listed in addition to `fine_tuning`, and so on, because a POST to it names
/// nothing that exists, while other paths below `fine_tuning` do.
pub const DEFAULT_RULES: &[Rule<'static>] = &[
    items(b"responses"),
    items(b"responses/compact"),
    items(b"responses/input_tokens"),
    items(b"conversations"),
    stateful(b"files"),
    stateful(b"files/upload"),
    stateful(b"files/import"),
    plain(b"files:register"),
    plain(b"files:upload"),
    stateful(b"uploads"),
    stateful(b"batches"),
    plain(b"batch/jobs"),
    stateful(b"fine_tuning"),
    stateful(b"fine_tuning/jobs"),
    stateful(b"fine_tuning/alpha/graders/run"),
    stateful(b"fine-tunes"),
    stateful(b"vector_stores"),
    stateful(b"assistants"),
    stateful(b"threads"),
    stateful(b"threads/runs"),
    stateful(b"containers"),
    stateful(b"skills"),
    stateful(b"evals"),
    stateful(b"videos"),
    stateful(b"videos/generations"),
    stateful(b"videos/characters"),
    stateful(b"video/generations"),
    stateful(b"video/generations/jobs"),
    plain(b"realtime/calls"),
    stateful(b"audio/voices"),
    stateful(b"audio/voice_consents"),
    stateless(Ids::None, b"realtime/sessions"),
    stateful(b"chat/completions/*"),
    stateful(b"messages/batches"),
    stateful(b"agents"),
    stateful(b"sessions"),
    stateful(b"environments"),
    stateful(b"vaults"),
    stateful(b"memory_stores"),
    plain(b"libraries"),
    plain(b"cachedContents"),
    plain(b"fileSearchStores"),
    plain(b"tunedModels"),
    plain(b"corpora"),
    plain(b"interactions"),
    plain(b"operations"),
    plain(b"models/*:batchGenerateContent"),
    plain(b"models/*:asyncBatchEmbedContent"),
    plain(b"models/*:predictLongRunning"),
    plain(b"models/*:fetchPredictOperation"),
    plain(b"endpoints/*:predictLongRunning"),
    plain(b"endpoints/*:fetchPredictOperation"),
    plain(b"generatedFiles"),
    plain(b"ragCorpora"),
    plain(b"batchPredictionJobs"),
    plain(b"tuningJobs"),
    plain(b"reasoningEngines"),
    plain(b"async-invoke"),
    plain(b"model-invocation-job"),
    plain(b"model-invocation-jobs"),
    plain(b"model-customization-jobs"),
    plain(b"tasks"),
    plain(b"contents/generations/tasks"),
    plain(b"context/create"),
    plain(b"context/chat/completions"),
    plain(b"services/aigc/*/image-synthesis"),
    plain(b"services/aigc/*/video-synthesis"),
    plain(b"services/aigc/image-generation/generation"),
    plain(b"services/aigc/background-generation/generation"),
    plain(b"services/aigc/virtualmodel/generation"),
    plain(b"services/aigc/image2image/out-painting"),
    plain(b"services/audio/asr/transcription"),
    plain(b"batchInferenceJobs"),
    stateless(Ids::Open, b"images/generations"),
    stateless(Ids::Open, b"images/edits"),
    stateless(Ids::Open, b"images/variations"),
    prompt_cache(Ids::Open, b"chat/completions"),
    prompt_cache(Ids::Open, b"completions"),
    prompt_cache(Ids::Both, b"messages"),
    prompt_cache(Ids::Open, b"messages/count_tokens"),
];

/// Checks the patterns of a table.
///
/// # Errors
///
/// [`Error::Pattern`] with the index of the row.
pub fn check_rules(rules: &[Rule<'_>]) -> Result<(), ConfigError> {
    match rules.iter().position(|rule| !rule.is_well_formed()) {
        Some(index) => Err(Error::Pattern.at(Field::Rules, index)),
        None => Ok(()),
    }
}

/// Classifies a request by its method and its target as the client sent it: a path, with or without
/// a query, or an absolute URI. `rules` come before the [default ones](DEFAULT_RULES), or replace
/// them with `replace_rules`. The leftmost match counts, then the longest pattern, then the first
/// rule. `prompt_cache` opts in to that group, which is otherwise stateless.
///
/// Linear in the number of rules, and in the target's length times the number of rules that begin
/// alike.
#[must_use]
pub fn classify(
    rules: &[Rule<'_>],
    replace_rules: bool,
    prompt_cache: bool,
    method: &[u8],
    target: &[u8],
) -> Class {
    let own = |i: usize| rules.get(i).copied();
    Table::new(&own, replace_rules).classify(&own, prompt_cache, method, target)
}

/// Returns whether a request with this method names existing state, regardless of its target.
pub(crate) fn reads(method: &[u8]) -> bool {
    method == b"GET" || method == b"HEAD" || method == b"DELETE"
}

/// Finds the rules worth trying where a path continues with given bytes: usually none, else two or
/// three. The caller's own rules precede the default ones.
pub(crate) struct Table {
    /// The candidates by [`place`]. Bit `i` stands for the rules `i`, `i + RULE_BITS` and so on,
    /// the last bit for [`NAMED_WORDS`].
    by_front: [u64; PLACES],
    /// The bits of the rules with a `*`.
    wild: u64,
    own: usize,
    /// The number of rules, own and default ones.
    rules: usize,
}

words!(PATTERNS, &{
    let (mut patterns, mut i) = ([DEFAULT_RULES[0].pattern; DEFAULT_RULES.len()], 0);
    while i < patterns.len() {
        patterns[i] = DEFAULT_RULES[i].pattern;
        i += 1;
    }
    patterns
});

/// The group and ids of each pattern.
static TREATMENTS: [(Group, Ids); DEFAULT_RULES.len()] = {
    let (mut all, mut i) = ([(Group::Stateless, Ids::None); DEFAULT_RULES.len()], 0);
    while i < all.len() {
        all[i] = (DEFAULT_RULES[i].group, DEFAULT_RULES[i].ids);
        i += 1;
    }
    all
};

/// Returns a row of [`DEFAULT_RULES`].
#[inline]
fn row(i: usize) -> Option<Rule<'static>> {
    let &(group, ids) = TREATMENTS.get(i)?;
    Some(Rule { pattern: PATTERNS.list().get(i)?, group, ids })
}

const RULE_BITS: usize = 63;
const PLACES: usize = 64;

impl Table {
    /// Builds the table of the rules that `own` returns for 0, 1, and so on, until it returns
    /// `None`.
    #[inline(never)]
    pub(crate) fn new<'r>(own: &dyn Fn(usize) -> Option<Rule<'r>>, replace: bool) -> Self {
        let mut table = Self { by_front: [0; PLACES], wild: 0, own: 0, rules: 0 };
        for named in NAMED_WORDS.list().iter() {
            table.add(named, RULE_BITS);
        }
        while let Some(rule) = own(table.own) {
            table.add(rule.pattern, table.own % RULE_BITS);
            table.own += 1;
        }
        table.rules = table.own;
        for pattern in PATTERNS.list().iter().take_while(|_| !replace) {
            table.add(pattern, table.rules % RULE_BITS);
            table.rules += 1;
        }
        table
    }

    #[inline(never)]
    fn add(&mut self, pattern: &[u8], bit: usize) {
        self.wild |= u64::from(holds(b'*', pattern)) << bit;
        // Any byte may follow a first segment of one byte.
        let any = pattern.len() == 1 || pattern.get(2) == Some(&b'*');
        let places = if any { 0..PLACES } else { place(pattern)..place(pattern) + 1 };
        for candidates in self.by_front.get_mut(places).into_iter().flatten() {
            *candidates |= 1 << bit;
        }
    }

    /// Classifies by this table. `own` returns the rules that the table was built from.
    #[inline(never)]
    pub(crate) fn classify<'r>(
        &self,
        own: &dyn Fn(usize) -> Option<Rule<'r>>,
        prompt_cache: bool,
        method: &[u8],
        target: &[u8],
    ) -> Class {
        const NONE: Class = Class { group: Group::Stateless, existing: false, ids: Ids::None };
        // A preflight only asks about a request, and carries no cookie. A tunnel to a host has no
        // path, unlike a WebSocket handshake (RFC 8441).
        let tunnel = || method == b"CONNECT" && !target.iter().any(is_slash);
        if method == b"OPTIONS" || method == b"TRACE" || tunnel() {
            return NONE;
        }
        let (path, encoded) = path(target);
        // No rule matches in front of the slash.
        let path = path.strip_prefix(b"/").unwrap_or_else(|| behind_authority(path));
        let found = if encoded {
            self.find(own, path, true, place_decoded, behind_slash_decoded)
        } else {
            self.find(own, path, false, place, behind_slash)
        };
        let Some((first, least)) = found else { return NONE };
        let Some(rule) = self.rule(own, first) else { return NONE };
        let reads = reads(method);
        let group = match rule.group {
            // Prompts are posted, so a read asks for what an earlier request stored.
            Group::PromptCache if reads => Group::Stateful,
            Group::PromptCache if !prompt_cache => Group::Stateless,
            group => group,
        };
        let below = || path.get(path.len() - least..).unwrap_or_default();
        let existing =
            group != Group::Stateless && (reads || rule.names() || has_segments(below()));
        Class { group, existing, ids: rule.ids }
    }

    /// Returns the rule that matches furthest to the left, and the length of the path behind its
    /// match.
    #[expect(clippy::inline_always, reason = "one copy for each way to read a path")]
    #[inline(always)]
    fn find<'r, 'p>(
        &self,
        own: &dyn Fn(usize) -> Option<Rule<'r>>,
        path: &'p [u8],
        encoded: bool,
        place: impl Fn(&[u8]) -> usize,
        behind_slash: impl Fn(&'p [u8]) -> Option<&'p [u8]>,
    ) -> Option<(usize, usize)> {
        let mut rest = path;
        loop {
            let candidates = self.by_front.get(place(rest)).copied().unwrap_or(0);
            if candidates != 0 {
                let (first, least) = self.best(own, candidates, encoded, rest);
                if first != usize::MAX {
                    return Some((first, least));
                }
                if candidates >> RULE_BITS != 0 {
                    rest = behind_name(rest);
                }
            }
            rest = behind_slash(rest)?;
        }
    }

    /// Returns the longest candidate that matches at the front of `path`, which leaves the least
    /// path behind it, and of equal ones the first. Returns `usize::MAX` if none matches.
    #[inline(never)]
    fn best<'r>(
        &self,
        own: &dyn Fn(usize) -> Option<Rule<'r>>,
        candidates: u64,
        encoded: bool,
        path: &[u8],
    ) -> (usize, usize) {
        let (mut least, mut first) = (usize::MAX, usize::MAX);
        let mut candidates = candidates << 1 >> 1;
        let slow = if encoded { u64::MAX } else { self.wild };
        while candidates != 0 {
            let bit = candidates.trailing_zeros() as usize;
            let slow = slow >> bit & 1 != 0;
            let mut i = bit;
            while i < self.rules {
                let Some(Rule { pattern, .. }) = self.rule(own, i) else { break };
                let below =
                    if slow { match_decoded(path, pattern) } else { match_front(path, pattern) };
                if let Some(below) = below {
                    if (below.len(), i) < (least, first) {
                        (least, first) = (below.len(), i);
                    }
                }
                i += RULE_BITS;
            }
            // The others are no longer, and come later in the table.
            if least == 0 && first == bit {
                break;
            }
            candidates &= candidates - 1;
        }
        (first, least)
    }

    #[inline]
    fn rule<'r>(&self, own: &dyn Fn(usize) -> Option<Rule<'r>>, i: usize) -> Option<Rule<'r>> {
        match i.checked_sub(self.own) {
            Some(i) => row(i),
            None => own(i),
        }
    }
}

/// Returns the place of the rules that may match at the front of `path`, from its first and third
/// byte. The factors spread the default rules, and keep them apart from `v1` and the like.
#[inline]
fn place(path: &[u8]) -> usize {
    // A pattern of two bytes is followed by a slash or the end.
    let at = |i: usize| usize::from(path.get(i).copied().unwrap_or(b'/'));
    (at(0) * 23 + at(2) * 13) / 8 % PLACES
}

/// Returns the path behind `pattern`, if `path` begins with its whole segments. The path has no
/// `%`, the pattern no `*`.
#[inline]
fn match_front<'a>(path: &'a [u8], pattern: &[u8]) -> Option<&'a [u8]> {
    let below = path.strip_prefix(pattern)?;
    let whole = !pattern.is_empty() && below.first().is_none_or(is_slash);
    whole.then_some(below)
}

#[inline]
fn behind_slash(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().position(is_slash)?;
    path.get(slash + 1..)
}

/// Returns the target up to its query or fragment, and whether it has a `%`.
#[inline]
fn path(target: &[u8]) -> (&[u8], bool) {
    let mut encoded = false;
    // Most bytes of a path are letters, and one comparison rules out all of these.
    let ends = |&byte: &u8| {
        byte <= b'?' && {
            encoded |= byte == b'%';
            byte == b'?' || byte == b'#'
        }
    };
    let end = target.iter().position(ends).unwrap_or(target.len());
    (target.get(..end).unwrap_or_default(), encoded)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what `split` and `position` ask for")]
fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// Returns the first byte of a path, decoded, and the rest. `%2F` decodes to a slash as well: an
/// upstream that decodes it sees two segments, and one that does not has no such path.
#[inline(never)]
fn decode(path: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = path.split_first()?;
    let encoded = match rest {
        [high, low, behind @ ..] if first == b'%' => unhex(*high, *low).map(|byte| (byte, behind)),
        _ => None,
    };
    Some(encoded.unwrap_or((first, rest)))
}

/// Works like [`place`], on the decoded path.
#[cold]
#[inline(never)]
fn place_decoded(mut path: &[u8]) -> usize {
    let mut front = [b'/'; 3];
    for place in &mut front {
        let Some((byte, rest)) = decode(path) else { break };
        (*place, path) = (byte, rest);
    }
    place(&front)
}

/// Works like [`match_front`], on the decoded path and on a pattern with any `*`.
#[cold]
#[inline(never)]
fn match_decoded<'a>(mut path: &'a [u8], mut pattern: &[u8]) -> Option<&'a [u8]> {
    if pattern.is_empty() {
        return None;
    }
    while let Some((&wanted, behind)) = pattern.split_first() {
        if wanted == b'*' {
            let free =
                segment_len(path).checked_sub(segment_len(behind)).filter(|&free| free > 0)?;
            for _ in 0..free {
                (_, path) = decode(path)?;
            }
        } else {
            let (byte, rest) = decode(path)?;
            if byte != wanted {
                return None;
            }
            path = rest;
        }
        pattern = behind;
    }
    decode(path).is_none_or(|(byte, _)| byte == b'/').then_some(path)
}

/// Returns the path behind the name that follows one of [`NAMED_WORDS`], or all of `path` if there
/// is none. A name may hold encoded slashes, as those of Amazon do.
#[cold]
#[inline(never)]
fn behind_name(path: &[u8]) -> &[u8] {
    let behind = |word: &[u8]| {
        let below = match_decoded(path, word)?;
        let (_, mut rest) = decode(below)?;
        let raw = below.first().is_some_and(is_slash);
        let mut len = if raw {
            rest.iter().position(is_slash).unwrap_or(rest.len())
        } else {
            segment_len(rest)
        };
        if len == 0 {
            return None;
        }
        while len > 0 {
            rest = if raw { rest.get(1..)? } else { decode(rest)?.1 };
            len -= 1;
        }
        Some(rest)
    };
    NAMED_WORDS.list().iter().find_map(behind).unwrap_or(path)
}

/// Returns the path of a target in absolute form (RFC 9112, section 3.2.2), without its slash. Any
/// other target is returned whole.
#[cold]
#[inline(never)]
fn behind_authority(target: &[u8]) -> &[u8] {
    let Some(slash) = target.iter().position(is_slash) else { return target };
    let (scheme, rest) = target.split_at(slash);
    match (scheme, rest) {
        ([.., b':'], [b'/', b'/', authority @ ..]) => behind_slash(authority).unwrap_or_default(),
        _ => target,
    }
}

/// Returns the length of a path's first segment, decoded.
fn segment_len(mut path: &[u8]) -> usize {
    let mut len = 0;
    while let Some((_, rest)) = decode(path).filter(|&(byte, _)| byte != b'/') {
        path = rest;
        len += 1;
    }
    len
}

/// Works like [`behind_slash`], on the decoded path.
#[cold]
#[inline(never)]
fn behind_slash_decoded(mut path: &[u8]) -> Option<&[u8]> {
    loop {
        let (byte, rest) = decode(path)?;
        path = rest;
        if byte == b'/' {
            return Some(path);
        }
    }
}

/// Returns whether more than slashes follows a match.
fn has_segments(mut below: &[u8]) -> bool {
    while !below.is_empty() {
        match decode(below) {
            Some((b'/', rest)) => below = rest,
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    #[track_caller]
    fn class(line: &str) -> (Group, bool) {
        let (method, target) = line.split_once(' ').unwrap();
        let class = classify(&[], false, true, method.as_bytes(), target.as_bytes());
        (class.group, class.existing)
    }

    #[test]
    fn stateful_apis_new_and_existing() {
        use Group::Stateful;
        for new in [
            "POST /v1/responses",
            "POST /responses",
            "POST /openai/v1/responses?api-version=2025-04-01",
            "POST /a/b/c/v1/files/",
            "POST /v1/fine_tuning/jobs",
            "POST /v1/threads",
            "POST /v1/threads/runs",
            "POST /v1/responses/compact",
            "POST /v1/responses/input_tokens",
            "POST /v1/messages/batches",
            "POST /v1beta/cachedContents",
            "POST https://gateway.example/v1/videos#x",
            "PUT /v1/batches",
            "POST /upload/v1beta/files",
            "POST /upload/v1beta/files?upload_id=x",
            "POST /v1beta/files:register",
            "POST /v1/files:upload",
            "POST /v1/realtime/calls",
            "POST /v1beta/interactions",
            "POST /v1beta/models/gemini-2.5-flash:batchGenerateContent",
            "POST /v1beta/models/veo-3:predictLongRunning",
            "POST /v1/projects/p/locations/l/publishers/google/models/veo-3:predictLongRunning",
            "POST /v1/projects/p/locations/l/batchPredictionJobs",
            "POST /v1/projects/p/locations/l/reasoningEngines",
            "POST /openai/v1/video/generations/jobs",
            "POST /api/v3/contents/generations/tasks",
            "POST /api/v1/services/aigc/video-generation/video-synthesis",
            "POST /v1/batch/jobs",
            "POST /v1/libraries",
            "POST /v1/skills",
            "POST /v1/sessions",
            "POST /async-invoke",
            "POST /model-invocation-job",
            "CONNECT /v1/responses",
            "CONNECT v1/responses",
            "CONNECT wss://gateway.example/v1/responses",
            "POST https://files/v1/responses",
            "POST /v1/files/import",
            "POST /v1/environments",
            "POST /v1/projects/p/locations/l/endpoints/files:predictLongRunning",
            "POST /api/v1/services/aigc/image-generation/generation",
        ] {
            assert_eq!(class(new), (Stateful, false), "{new}");
        }
        for existing in [
            "GET /v1/responses/resp_1",
            "GET /v1/responses",
            "HEAD /v1/files/f/content",
            "DELETE /v1/responses/resp_1",
            "POST /v1/responses/resp_1/cancel",
            "POST /v1/threads/t/runs",
            "POST /v1/threads/t/messages",
            "POST /v1/uploads/u/parts",
            "POST /v1/fine_tuning/jobs/j/cancel",
            "POST /v1/vector_stores/v/files",
            "POST /v1/vector_stores/v/search",
            "GET /v1/messages/batches/b/results",
            "PATCH /v1beta/cachedContents/c",
            "POST /v1/evals/e/runs",
            "POST /v1/realtime/calls/rtc_1/hangup",
            "GET /v1beta/batches/b",
            "POST /v1beta/batches/b:cancel",
            "GET /v1beta/models/veo-3/operations/o",
            "GET /v1/projects/p/locations/l/operations/o",
            "GET /openai/operations/images/o",
            "GET /api/v1/tasks/t",
            "GET /openai/v1/video/generations/g/content/video",
            "POST /v1beta/tunedModels/t:generateContent",
            "POST /v1beta/fileSearchStores/s:importFile",
            "GET /model-invocation-jobs",
            "POST /model-invocation-job/j/stop",
            "GET /v1/chat/completions",
            "GET /v1/chat/completions?limit=2",
            "GET /v1/chat/completions/c",
            "POST /v1/chat/completions/c",
            "DELETE /v1/chat/completions/c",
            "GET /v1/chat/completions/c/messages",
            "GET /v1/messages",
            "CONNECT /v1/responses/resp_1",
            "CONNECT http://x/v1/responses/resp_1",
            "GET /v1/environments/env_1",
            "POST /model/a%2Ffiles/files/x",
        ] {
            assert_eq!(class(existing), (Stateful, true), "{existing}");
        }
    }

    /// Makes a real path from a pattern.
    fn path_of(pattern: &[u8]) -> String {
        String::from_utf8(pattern.to_vec()).unwrap().replace('*', "x")
    }

    #[test]
    fn every_default_api_is_stateful_with_and_without_v1() {
        for rule in DEFAULT_RULES.iter().filter(|rule| rule.group == Group::Stateful) {
            let name = path_of(rule.pattern);
            for prefix in ["/v1/", "/", "/proxy/openai/v1/", "/openai/deployments/files/"] {
                let target = format!("{prefix}{name}");
                let new = (Group::Stateful, rule.names());
                assert_eq!(class(&format!("POST {target}")), new, "{target}");
                assert_eq!(class(&format!("GET {target}")), (Group::Stateful, true), "{target}");
                let below = class(&format!("POST {target}/x"));
                assert_eq!(below, (Group::Stateful, true), "{target}/x");
                if !name.contains('/') {
                    assert_eq!(class(&format!("POST {target}x")).0, Group::Stateless);
                    assert_eq!(class(&format!("POST {prefix}x{name}")).0, Group::Stateless);
                }
            }
        }
    }

    #[test]
    fn prompt_cache_only_when_asked() {
        for target in
            ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/messages/count_tokens"]
        {
            assert_eq!(class(&format!("POST {target}")), (Group::PromptCache, false));
            let class = classify(&[], false, false, b"POST", target.as_bytes());
            assert_eq!(class.group, Group::Stateless);
            // Reading stored state needs its account, also without affinity for prompt caches.
            let class = classify(&[], false, false, b"GET", target.as_bytes());
            assert_eq!((class.group, class.existing), (Group::Stateful, true));
        }
    }

    #[test]
    fn everything_else_is_stateless() {
        for line in [
            "POST /v1/embeddings",
            "GET /v1/models",
            "GET /v1/models/gpt-5",
            "GET /",
            "GET *",
            "GET ",
            "POST /v1/Responses",
            "POST /v1/responses.json",
            "CONNECT files:443",
            "POST http://files",
            "POST http://responses/v1/embeddings",
            "GET https://responses?x=/files",
            "POST /model/arn%3Aaws%3Asagemaker%3Aus-east-1%3A1%3Aendpoint%2Ftasks/converse",
            "POST /openai/deployments/a%2Ffiles/embeddings",
            "POST /v1/projects/p/locations/l/endpoints/tasks:predict",
            "POST /serving-endpoints/responses/invocations",
            "POST /v1/models?x=/v1/responses",
            "OPTIONS /v1/responses",
            "CONNECT files:443",
            "CONNECT files",
            "GET /v1/realtime?model=m",
            "CONNECT /v1/realtime?model=m",
            "POST /v1/realtime/sessions",
            "GET /v1/realtime/sessions",
            "POST /v1/realtime/client_secrets",
            "POST /v1beta/models/gemini-2.5-flash:generateContent",
            "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "POST /model/anthropic.claude-v2/invoke",
            "POST /v1/projects/p/locations/l/publishers/google/models/m:generateContent",
        ] {
            assert_eq!(class(line), (Group::Stateless, false), "{line}");
        }
    }

    /// A deployment, a model or a project may have the name of a collection.
    #[test]
    fn a_name_is_no_collection() {
        for rule in DEFAULT_RULES.iter().filter(|rule| !rule.pattern.contains(&b'/')) {
            let name = path_of(rule.pattern);
            for named in ["deployments", "engines", "model", "models", "projects"] {
                for behind in ["", "/", "/embeddings", ":generateContent", "/v1/embeddings"] {
                    let line = format!("POST /openai/{named}/{name}{behind}");
                    assert_eq!(class(&line), (Group::Stateless, false), "{line}");
                }
                let chat = class(&format!("POST /openai/{named}/{name}/chat/completions?x"));
                assert_eq!(chat, (Group::PromptCache, false), "{named}/{name}");
                let line = format!("GET /{named}/{name}/files/f");
                assert_eq!(class(&line), (Group::Stateful, true), "{line}");
                // Without a name, or behind a longer word, these are collections.
                for line in [format!("POST /{named}//files"), format!("POST /{named}x/files")] {
                    assert_eq!(class(&line), (Group::Stateful, false), "{line}");
                }
            }
        }
    }

    #[test]
    fn an_encoded_path_is_classified_as_the_decoded_one() {
        for (encoded, plain) in [
            ("/v1/%72esponses", "/v1/responses"),
            ("/v1/fine%5Ftuning", "/v1/fine_tuning"),
            ("/v1/fine%5ftuning/jobs", "/v1/fine_tuning/jobs"),
            ("/v1/files%2Fx", "/v1/files/x"),
            ("/v1%2ffiles", "/v1/files"),
            ("/v1/files%2F", "/v1/files/"),
            ("%2Fv1%2Ffiles", "/v1/files"),
            ("/v1/models/m%3AbatchGenerateContent", "/v1/models/m:batchGenerateContent"),
            ("/v1/models/%66iles/x", "/v1/models/files/x"),
            ("/v1/model%73/files/x", "/v1/models/files/x"),
            ("/v1/files?x=%2F", "/v1/files"),
            ("/v1/%66%69%6c%65%73", "/v1/files"),
        ] {
            for method in ["POST", "GET"] {
                let (encoded, plain) = (format!("{method} {encoded}"), format!("{method} {plain}"));
                assert_eq!(class(&encoded), class(&plain), "{encoded}");
            }
        }
        // Decoding happens once, and only where two digits follow.
        for line in [
            "POST /v1/%2566iles",
            "POST /v1/%6 6iles",
            "POST /v1/%",
            "POST /v1/%6",
            "POST /v1/%g6iles",
            "POST /v1/%+6iles",
            "POST /v1/files%3Fx",
            "POST /v1/files%",
            "POST /v1/%00files",
            "POST /v1/x%2",
        ] {
            assert_eq!(class(line), (Group::Stateless, false), "{line}");
        }
    }

    #[test]
    fn ones_own_rules_come_before_the_default_ones() {
        let group = |rules: &[Rule<'_>], replace, target: &[u8]| {
            classify(rules, replace, true, b"POST", target).group
        };
        let own = [
            stateful(b"jobs/gpu"),
            stateless(Ids::None, b"files"),
            prompt_cache(Ids::Open, b"responses"),
        ];
        assert_eq!(check_rules(&own), Ok(()));
        for (target, extended, replaced) in [
            (&b"/x/jobs/gpu"[..], Group::Stateful, Group::Stateful),
            (b"/v1/files", Group::Stateless, Group::Stateless),
            (b"/v1/files/x", Group::Stateless, Group::Stateless),
            (b"/v1/responses", Group::PromptCache, Group::PromptCache),
            // A longer default rule takes precedence.
            (b"/v1/responses/compact", Group::Stateful, Group::PromptCache),
            (b"/v1/batches", Group::Stateful, Group::Stateless),
            (b"/v1/chat/completions", Group::PromptCache, Group::Stateless),
        ] {
            assert_eq!(group(&own, false, target), extended, "{target:?}");
            assert_eq!(group(&own, true, target), replaced, "{target:?}");
        }
        assert_eq!(group(&[], true, b"/v1/responses"), Group::Stateless);
        // A stateless rule names no state, regardless of the method.
        let none = Class { group: Group::Stateless, existing: false, ids: Ids::None };
        assert_eq!(classify(&own, false, true, b"GET", b"/v1/files/f"), none);
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        let good: [&[u8]; 7] = [b"a", b"a/b", b"a/*", b"a/*:b", b"a/*/b/*c", b"a/*b/c", b"a:b.c"];
        for pattern in good {
            assert_eq!(check_rules(&[stateful(pattern)]), Ok(()), "{pattern:?}");
        }
        let bad: [&[u8]; 17] = [
            b"", b"/a", b"a/", b"a//b", b"*", b"*/a", b"*a", b"a*", b"a/b*", b"a/*b*", b"a/**",
            b"a/b*c", b"a%20b", b"a?b", b"a#b", b"a/*%", b"/",
        ];
        for pattern in bad {
            let rules = [stateful(b"jobs"), stateful(pattern)];
            let refused = Error::Pattern.at(Field::Rules, 1);
            assert_eq!(check_rules(&rules), Err(refused), "{pattern:?}");
        }
    }

    #[test]
    fn a_star_is_one_or_more_bytes_of_one_segment() {
        let rules = [stateful(b"a/*:b"), stateful(b"c/*/d"), stateful(b"e/*")];
        let class = |target: &[u8]| {
            let class = classify(&rules, true, false, b"POST", target);
            (class.group == Group::Stateful, class.existing)
        };
        for (target, existing) in [
            (&b"/a/x:b"[..], false),
            (b"/a/x:b/", false),
            (b"/a/x:b/y", true),
            (b"/a/:b:b", false),
            (b"/a/*:b", false),
            (b"/a/%2f/a/x%3Ab", false),
            (b"/c/x/d", false),
            (b"/c/d/d", false),
            (b"/c/c/x/d", false),
            (b"/e/x", true),
            (b"/e/x/y", true),
        ] {
            assert_eq!(class(target), (true, existing), "{target:?}");
        }
        for target in [
            &b"/a/:b"[..],
            b"/a/x:bc",
            b"/a/x/y:b",
            b"/a",
            b"/a/",
            b"/a/x",
            b"/c//d",
            b"/c/d",
            b"/c/x/y/d",
            b"/c/x/dd",
            b"/e",
            b"/e/",
            b"/e?x",
            b"/a/x%2F:b",
        ] {
            assert_eq!(class(target), (false, false), "{target:?}");
        }
    }

    #[test]
    fn patterns_of_one_byte() {
        let rules = [stateful(b"v"), stateful(b"w/x"), stateful(b"w/y/z")];
        let group = |target: &[u8]| classify(&rules, true, false, b"POST", target).group;
        for target in [&b"v"[..], b"/v", b"/v/", b"/a/v/1", b"/v?q", b"/w/x", b"/w/y/z/1", b"/w/v"]
        {
            assert_eq!(group(target), Group::Stateful, "{target:?}");
        }
        for target in [&b""[..], b"/", b"/v1", b"/av", b"/w", b"/w/y", b"/w/?v", b"/w//x"] {
            assert_eq!(group(target), Group::Stateless, "{target:?}");
        }
    }

    /// A configuration may hold empty patterns, among the first 63 rules and behind them.
    #[test]
    fn an_empty_pattern_matches_nothing() {
        let mut rules = vec![prompt_cache(Ids::None, b"v"); 70];
        for empty in [0, 69] {
            rules[empty].pattern = b"";
            for (target, group) in [
                (&b""[..], Group::Stateless),
                (b"/", Group::Stateless),
                (b"//w", Group::Stateless),
                (b"/%77", Group::Stateless),
                (b"/v", Group::PromptCache),
                (b"/%76", Group::PromptCache),
            ] {
                let class = classify(&rules, true, true, b"POST", target);
                assert_eq!(class.group, group, "{target:?}");
            }
        }
    }

    /// The table leaves almost no rule to try needlessly.
    #[test]
    fn the_default_rules_keep_apart() {
        let table = Table::new(&|_| None, false);
        assert!(table.rules < RULE_BITS + RULE_BITS / 3, "few of them share a bit");
        let candidates = |path: &[u8]| table.by_front[place(path)].count_ones();
        for segment in [&b"v1/responses"[..], b"v1beta/models", b"v2/x", b"api/v3"] {
            assert_eq!(candidates(segment), 0, "{segment:?}");
        }
        assert!(candidates(b"openai/v1") <= 1, "it begins like operations");
        assert_eq!(candidates(b"responses"), 3);
        for (i, rule) in DEFAULT_RULES.iter().enumerate() {
            assert_eq!(table.by_front[place(rule.pattern)] >> (i % RULE_BITS) & 1, 1);
            assert!(candidates(rule.pattern) <= 9, "{rule:?}");
        }
    }
}
