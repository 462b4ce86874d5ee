//! A slow model of classification, for the tests and for fuzzing.

use tokenpin::{Class, Group, Rule};

/// docs/decision.md, read literally: at the leftmost place where a rule matches whole
/// segments, the longest, and of equal ones the first.
pub fn slow(rules: &[Rule<'_>], prompt_cache: bool, method: &[u8], target: &[u8]) -> Class {
    let none = Class { group: Group::Stateless, existing: false };
    let handshake = target.starts_with(b"/");
    if [&b"OPTIONS"[..], b"TRACE"].contains(&method) || method == b"CONNECT" && !handshake {
        return none;
    }
    let end = target.iter().position(|byte| b"?#".contains(byte)).unwrap_or(target.len());
    let segments: Vec<_> = target[..end].split(|&byte| byte == b'/').collect();
    for at in 0..segments.len() {
        let mut best: Option<(usize, Group)> = None;
        for rule in rules {
            let pattern: Vec<_> = rule.pattern.split(|&byte| byte == b'/').collect();
            let longer = best.is_none_or(|(len, _)| pattern.len() > len);
            if segments[at..].starts_with(&pattern) && longer {
                best = Some((pattern.len(), rule.group));
            }
        }
        if let Some((len, group)) = best {
            if group == Group::PromptCache && !prompt_cache {
                return none;
            }
            let reads = [&b"GET"[..], b"HEAD", b"DELETE"].contains(&method);
            let below = segments[at + len..].iter().any(|segment| !segment.is_empty());
            return Class { group, existing: reads || below };
        }
    }
    none
}
