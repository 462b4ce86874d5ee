//! A slow model of classification, for the tests and for fuzzing.

use tokenpin::ids::Ids;
use tokenpin::{Class, DEFAULT_RULES, Group, Rule};

/// Classifies by docs/spec/decision.md, read literally: at the leftmost place where a rule matches
/// whole segments, the longest, and of equal ones the first.
pub fn slow(
    own: &[Rule<'_>],
    replace: bool,
    prompt_cache: bool,
    method: &[u8],
    target: &[u8],
) -> Class {
    let none = |ids| Class { group: Group::Stateless, existing: false, ids };
    let handshake = target.contains(&b'/');
    if [&b"OPTIONS"[..], b"TRACE"].contains(&method) || method == b"CONNECT" && !handshake {
        return none(Ids::None);
    }
    let reads = [&b"GET"[..], b"HEAD", b"DELETE"].contains(&method);
    let rules = own.iter().chain(if replace { &[] } else { DEFAULT_RULES });
    let end = target.iter().position(|byte| b"?#".contains(byte)).unwrap_or(target.len());
    // Each slash and each byte between, still encoded: an encoded slash ends a segment, but no
    // name.
    let mut path = &target[..end];
    let scheme = path.windows(3).position(|window| window == b"://");
    if let Some(at) = scheme.filter(|&at| !path[..at].contains(&b'/')) {
        let authority = &path[at + 3..];
        let slash = authority.iter().position(|&byte| byte == b'/');
        path = slash.map_or(&[], |slash| &authority[slash + 1..]);
    }
    let between: Vec<Vec<u8>> = split(path).into_iter().map(decoded).collect();
    let segments: Vec<&[u8]> = between.iter().flat_map(|bytes| split(bytes)).collect();
    // The segment at which each of those begins, and the end of all.
    let mut starts = vec![0];
    for bytes in &between {
        starts.push(starts[starts.len() - 1] + split(bytes).len());
    }
    let mut at = 0;
    while at < segments.len() {
        let mut best: Option<(Vec<&[u8]>, &Rule<'_>)> = None;
        for rule in rules.clone() {
            let pattern = split(rule.pattern);
            let longer = best.as_ref().is_none_or(|(best, _)| pattern.len() > best.len());
            let pairs = || pattern.iter().zip(&segments[at..]);
            let stands = pairs().count() == pattern.len() && pairs().all(|(p, s)| fits(p, s));
            if stands && longer {
                best = Some((pattern, rule));
            }
        }
        if let Some((pattern, &Rule { group, ids, .. })) = best {
            if group == Group::PromptCache && reads {
                return Class { group: Group::Stateful, existing: true, ids };
            }
            if group == Group::PromptCache && !prompt_cache || group == Group::Stateless {
                return none(ids);
            }
            let below = segments[at + pattern.len()..].iter().any(|segment| !segment.is_empty());
            let names = pattern.last() == Some(&&b"*"[..]);
            return Class { group, existing: reads || below || names, ids };
        }
        let named =
            [&b"deployments"[..], b"endpoints", b"engines", b"model", b"models", b"projects"]
                .contains(&segments[at])
                || segments[at] == b"serving-endpoints";
        at += 1;
        if named {
            // A name extends to the next slash that is not encoded, if such a slash is in front of
            // it.
            at = match starts.iter().position(|&start| start == at) {
                Some(i) if i + 1 < starts.len() && !between[i].is_empty() => starts[i + 1],
                _ => at + 1,
            };
        }
    }
    none(Ids::None)
}

/// Returns whether a pattern is refused, segment by segment.
pub fn is_bad(pattern: &[u8]) -> bool {
    split(pattern).iter().enumerate().any(|(i, segment)| {
        let misplaced = |at| segment[at] == b'*' && (i == 0 || at > 0);
        segment.is_empty()
            || (0..segment.len()).any(misplaced)
            || segment.iter().any(|byte| b"%?#".contains(byte))
    })
}

fn split(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&byte| byte == b'/').collect()
}

fn fits(pattern: &[u8], segment: &[u8]) -> bool {
    match pattern.strip_prefix(b"*") {
        Some(literal) => segment.len() > literal.len() && segment.ends_with(literal),
        None => segment == pattern,
    }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits
            .filter(|_| first == b'%')
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    bytes
}
