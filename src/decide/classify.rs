//! Which group of the API a request belongs to, from its method and target.

use crate::enums::named;
use crate::error::{ConfigError, Error, Field};

/// How an API treats accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Group {
    /// Any account will do.
    Stateless = 0,
    /// State lives inside the account.
    Stateful = 1,
    /// Any account will do, and the one with the warm prompt cache does it cheaper.
    PromptCache = 2,
}

named! { Group {
    Stateless = "stateless", Stateful = "stateful", PromptCache = "prompt_cache",
} }

/// What classification says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The group of the API.
    pub group: Group,
    /// Whether the request names state that exists: a read or a delete, or a path below
    /// the resource.
    pub existing: bool,
}

/// One row of a classification table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// One or more path segments, such as `files` or `messages/batches`, case-sensitive,
    /// without a slash at either end.
    pub pattern: &'a [u8],
    /// The group of the requests it matches.
    pub group: Group,
}

impl Rule<'_> {
    #[inline(never)]
    pub(crate) fn is_well_formed(&self) -> bool {
        !self.pattern.split(is_slash).any(<[u8]>::is_empty)
    }
}

const fn stateful(pattern: &'static [u8]) -> Rule<'static> {
    Rule { pattern, group: Group::Stateful }
}

const fn prompt_cache(pattern: &'static [u8]) -> Rule<'static> {
    Rule { pattern, group: Group::PromptCache }
}

/// The table used where a configuration brings none.
///
/// `fine_tuning/jobs` stands beside `fine_tuning`, and so on, because a POST to it names
/// nothing that exists in its path, where other paths below do.
pub const DEFAULT_RULES: &[Rule<'static>] = &[
    stateful(b"responses"),
    stateful(b"responses/compact"),
    stateful(b"responses/input_tokens"),
    stateful(b"conversations"),
    stateful(b"files"),
    stateful(b"uploads"),
    stateful(b"batches"),
    stateful(b"fine_tuning"),
    stateful(b"fine_tuning/jobs"),
    stateful(b"vector_stores"),
    stateful(b"assistants"),
    stateful(b"threads"),
    stateful(b"threads/runs"),
    stateful(b"containers"),
    stateful(b"videos"),
    stateful(b"evals"),
    stateful(b"messages/batches"),
    stateful(b"cachedContents"),
    prompt_cache(b"chat/completions"),
    prompt_cache(b"completions"),
    prompt_cache(b"messages"),
    prompt_cache(b"messages/count_tokens"),
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

/// Classifies a request by its method and its target (a path, with or without a query,
/// or an absolute URI). The pattern that matches furthest to the left counts, and of
/// those the longest. `prompt_cache` opts in to that group, which is else stateless.
///
/// Linear in the number of rules, and in the target's length times the number of rules that
/// begin alike.
#[must_use]
pub fn classify(rules: &[Rule<'_>], prompt_cache: bool, method: &[u8], target: &[u8]) -> Class {
    let rule = |i: usize| rules.get(i).copied();
    Table::new(&rule).classify(&rule, prompt_cache, method, target)
}

/// Whether a request with this method names state that exists, whatever its target.
pub(crate) fn reads(method: &[u8]) -> bool {
    method == b"GET" || method == b"HEAD" || method == b"DELETE"
}

/// Which rules of a table are worth trying where a path goes on with given bytes: nearly
/// always none, or two or three.
pub(crate) struct Table {
    /// By [`place`]. Bit `i` stands for the `i`-th rule, the last bit for all from there on.
    by_front: [u64; 32],
}

impl Table {
    const LAST: usize = u64::BITS as usize - 1;

    /// Of the rules that `rule` gives for 0, 1, and so on, until there is none.
    #[inline(never)]
    pub(crate) fn new<'r>(rule: &dyn Fn(usize) -> Option<Rule<'r>>) -> Self {
        let mut by_front = [0; 32];
        for (i, rule) in (0..).map_while(rule).enumerate() {
            let candidates = place(rule.pattern).and_then(|place| by_front.get_mut(place));
            if let Some(candidates) = candidates {
                *candidates |= 1 << i.min(Self::LAST);
            }
        }
        Self { by_front }
    }

    /// Classifies by the table that this was made of; `rule` gives its `i`-th rule.
    #[inline(never)]
    pub(crate) fn classify<'r>(
        &self,
        rule: &dyn Fn(usize) -> Option<Rule<'r>>,
        prompt_cache: bool,
        method: &[u8],
        target: &[u8],
    ) -> Class {
        const NONE: Class = Class { group: Group::Stateless, existing: false };
        // A preflight asks about a request; it is none, and carries no cookie. A tunnel to a host
        // has no path; a WebSocket handshake has one (RFC 8441).
        let tunnel = || method == b"CONNECT" && target.first() != Some(&b'/');
        if method == b"OPTIONS" || method == b"TRACE" || tunnel() {
            return NONE;
        }
        let mut rest = path(target);
        loop {
            if let Some((group, below)) = self.best(rule, rest) {
                if group == Group::PromptCache && !prompt_cache {
                    return NONE;
                }
                let sub_path = below.iter().any(|&byte| byte != b'/');
                return Class { group, existing: reads(method) || sub_path };
            }
            let Some(slash) = rest.iter().position(is_slash) else { return NONE };
            rest = rest.get(slash + 1..).unwrap_or_default();
        }
    }

    /// Of the rules that match at the front of `path` the longest, the one that leaves least
    /// behind it, and of equal ones the first.
    #[inline]
    fn best<'r, 'p>(
        &self,
        rule: &dyn Fn(usize) -> Option<Rule<'r>>,
        path: &'p [u8],
    ) -> Option<(Group, &'p [u8])> {
        let mut candidates = *self.by_front.get(place(path)?)?;
        let mut best: Option<(Group, &[u8])> = None;
        while candidates != 0 {
            let i = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let mut consider = |rule: Rule<'r>| {
                let Some(below) = match_front(path, rule.pattern) else { return };
                if best.is_none_or(|(_, least)| below.len() < least.len()) {
                    best = Some((rule.group, below));
                }
            };
            consider(rule(i)?);
            if i == Self::LAST {
                (i + 1..).map_while(rule).for_each(consider);
            }
        }
        best
    }
}

/// Where rules that may match at the front of `path` are found, if any may. Two bytes tell more than
/// one: most paths begin with `v1`, and some patterns with a `v`.
#[inline]
fn place(path: &[u8]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    // A pattern of one byte is followed by a slash, or by the end.
    let second = rest.first().unwrap_or(&b'/');
    Some(usize::from((first ^ second) & 31))
}

/// What follows `pattern` at the front of `path`, if it stands there in whole segments.
fn match_front<'a>(path: &'a [u8], pattern: &[u8]) -> Option<&'a [u8]> {
    let below = path.strip_prefix(pattern)?;
    let whole = !pattern.is_empty() && below.first().is_none_or(is_slash);
    whole.then_some(below)
}

/// The target up to its query or fragment.
fn path(target: &[u8]) -> &[u8] {
    // Most bytes of a path are letters, which one comparison tells from both.
    let ends = |&byte: &u8| byte <= b'?' && (byte == b'?' || byte == b'#');
    let end = target.iter().position(ends);
    target.get(..end.unwrap_or(target.len())).unwrap_or_default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what `split` and `position` ask for")]
fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    #[track_caller]
    fn class(line: &str) -> (Group, bool) {
        let (method, target) = line.split_once(' ').unwrap();
        let class = classify(DEFAULT_RULES, true, method.as_bytes(), target.as_bytes());
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
            "POST /v1/responses/input_tokens",
            "POST /v1/messages/batches",
            "POST /v1beta/cachedContents",
            "POST https://gateway.example/v1/videos#x",
            "PUT /v1/batches",
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
            "GET /v1/messages/batches/b/results",
            "PATCH /v1beta/cachedContents/c",
            "POST /v1/evals/e/runs",
        ] {
            assert_eq!(class(existing), (Stateful, true), "{existing}");
        }
    }

    #[test]
    fn every_default_api_is_stateful_with_and_without_v1() {
        for rule in DEFAULT_RULES.iter().filter(|rule| rule.group == Group::Stateful) {
            let name = std::str::from_utf8(rule.pattern).unwrap();
            for prefix in ["/v1/", "/", "/proxy/openai/v1/"] {
                assert_eq!(class(&format!("POST {prefix}{name}")), (Group::Stateful, false));
                assert_eq!(class(&format!("POST {prefix}{name}/x")), (Group::Stateful, true));
                if !name.contains('/') {
                    assert_eq!(class(&format!("POST {prefix}{name}x")).0, Group::Stateless);
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
            let class = classify(DEFAULT_RULES, false, b"POST", target.as_bytes());
            assert_eq!(class.group, Group::Stateless);
        }
    }

    #[test]
    fn everything_else_is_stateless() {
        for line in [
            "POST /v1/embeddings",
            "GET /v1/models",
            "GET /",
            "GET *",
            "GET ",
            "POST /v1/Responses",
            "POST /v1/responses.json",
            "POST /v1/models?x=/v1/responses",
            "OPTIONS /v1/responses",
            "POST /v1/fine%5Ftuning",
        ] {
            assert_eq!(class(line), (Group::Stateless, false), "{line}");
        }
    }

    #[test]
    fn a_table_of_ones_own() {
        let rules = [Rule { pattern: b"jobs/gpu", group: Group::Stateful }];
        assert_eq!(check_rules(&rules), Ok(()));
        assert_eq!(classify(&rules, false, b"POST", b"/x/jobs/gpu").group, Group::Stateful);
        assert_eq!(classify(&rules, false, b"POST", b"/v1/responses").group, Group::Stateless);
        assert_eq!(classify(&[], false, b"POST", b"/v1/responses").group, Group::Stateless);
        for bad in [&b""[..], b"/a", b"a/", b"a//b"] {
            let rules = [rules[0], Rule { pattern: bad, group: Group::Stateful }];
            assert_eq!(check_rules(&rules), Err(Error::Pattern.at(Field::Rules, 1)));
        }
    }

    #[test]
    fn patterns_of_one_byte() {
        let rules = [stateful(b"v"), stateful(b"w/x"), stateful(b"w/y/z")];
        let group = |target: &[u8]| classify(&rules, false, b"POST", target).group;
        for target in [&b"v"[..], b"/v", b"/v/", b"/a/v/1", b"/v?q", b"/w/x", b"/w/y/z/1", b"/w/v"]
        {
            assert_eq!(group(target), Group::Stateful, "{target:?}");
        }
        for target in [&b""[..], b"/", b"/v1", b"/av", b"/w", b"/w/y", b"/w/?v", b"/w//x"] {
            assert_eq!(group(target), Group::Stateless, "{target:?}");
        }
    }

    /// Nobody should ask, but somebody can; among the first 63 rules, and behind them.
    #[test]
    fn an_empty_pattern_matches_nothing() {
        let mut rules = vec![prompt_cache(b"v"); 70];
        for empty in [0, 69] {
            rules[empty].pattern = b"";
            for (target, group) in [
                (&b""[..], Group::Stateless),
                (b"/", Group::Stateless),
                (b"//w", Group::Stateless),
                (b"/v", Group::PromptCache),
            ] {
                assert_eq!(classify(&rules, true, b"POST", target).group, group, "{target:?}");
            }
        }
    }

    /// What the table is there for: nearly no rule is looked at in vain.
    #[test]
    fn the_default_rules_keep_apart() {
        let rule = |i: usize| DEFAULT_RULES.get(i).copied();
        let table = Table::new(&rule);
        let candidates = |path: &[u8]| table.by_front[place(path).unwrap()];
        for segment in [&b"v1/responses"[..], b"v1beta/models", b"openai", b"api", b"audio/speech"]
        {
            let of_ours = candidates(segment).count_ones();
            assert!(of_ours <= u32::from(segment == b"openai"), "{segment:?}: {of_ours}");
        }
        for (i, rule) in DEFAULT_RULES.iter().enumerate() {
            let candidates = candidates(rule.pattern);
            assert_eq!(candidates >> i & 1, 1);
            assert!(candidates.count_ones() <= 4, "{rule:?}: {candidates:b}");
        }
    }
}
