//! A slow model of classification, for the tests and for fuzzing.

use tokenpin::{Class, DEFAULT_RULES, Group, Rule};

/// docs/decision.md, read literally: at the leftmost place where a rule matches whole
/// segments, the longest, and of equal ones the first.
pub fn slow(
    own: &[Rule<'_>],
    replace: bool,
    prompt_cache: bool,
    method: &[u8],
    target: &[u8],
) -> Class {
    let none = Class { group: Group::Stateless, existing: false };
    let handshake = target.starts_with(b"/");
    if [&b"OPTIONS"[..], b"TRACE"].contains(&method) || method == b"CONNECT" && !handshake {
        return none;
    }
    let reads = [&b"GET"[..], b"HEAD", b"DELETE"].contains(&method);
    let rules = own.iter().chain(if replace { &[] } else { DEFAULT_RULES });
    let end = target.iter().position(|byte| b"?#".contains(byte)).unwrap_or(target.len());
    let path = decoded(&target[..end]);
    let segments: Vec<_> = split(&path);
    let mut at = 0;
    while at < segments.len() {
        let mut best: Option<(Vec<&[u8]>, Group)> = None;
        for rule in rules.clone() {
            let pattern = split(rule.pattern);
            let longer = best.as_ref().is_none_or(|(best, _)| pattern.len() > best.len());
            let pairs = || pattern.iter().zip(&segments[at..]);
            let stands = pairs().count() == pattern.len() && pairs().all(|(p, s)| fits(p, s));
            if stands && longer {
                best = Some((pattern, rule.group));
            }
        }
        if let Some((pattern, group)) = best {
            if group == Group::PromptCache && reads {
                return Class { group: Group::Stateful, existing: true };
            }
            if group == Group::PromptCache && !prompt_cache || group == Group::Stateless {
                return none;
            }
            let below = segments[at + pattern.len()..].iter().any(|segment| !segment.is_empty());
            let names = pattern.last() == Some(&&b"*"[..]);
            return Class { group, existing: reads || below || names };
        }
        let named = [&b"deployments"[..], b"engines", b"model", b"models", b"projects"];
        at += if named.contains(&segments[at]) { 2 } else { 1 };
    }
    none
}

/// Whether a pattern is refused, segment by segment.
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
