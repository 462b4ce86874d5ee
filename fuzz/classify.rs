//! Classification by the default table and by replaced ones, against a slow model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::{Class, DEFAULT_RULES, Error, Field, Group, Rule, check_rules, classify};
use tokenpin_fuzz::Input;

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let own: Vec<Rule<'_>> = (0..input.below(90))
        .map(|_| Rule { pattern: input.bytes(), group: input.pick(Group::ALL) })
        .collect();
    let rules = if own.is_empty() { DEFAULT_RULES } else { &own };
    let prompt_cache = input.flag();
    let methods = [&b"POST"[..], b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE"];
    let method = if input.one_in(8) { input.bytes() } else { input.pick(&methods) };
    // The model takes the cube of the number of segments.
    let target = input.rest();
    let target = &target[..target.len().min(128)];

    let bad =
        rules.iter().position(|rule| rule.pattern.split(|&b| b == b'/').any(<[u8]>::is_empty));
    let refused = bad.map(|index| Error::Pattern.at(Field::Rules, index));
    assert_eq!(check_rules(rules).err(), refused);
    let got = classify(rules, prompt_cache, method, target);
    if refused.is_none() {
        assert_eq!(got, slow(rules, prompt_cache, method, target));
    }
}

/// From the text: every run of whole segments of the path is looked up in the table; the one that
/// begins furthest to the left counts, of those the longest, of those the first.
fn slow(rules: &[Rule<'_>], prompt_cache: bool, method: &[u8], target: &[u8]) -> Class {
    let none = Class { group: Group::Stateless, existing: false };
    if [&b"OPTIONS"[..], b"CONNECT", b"TRACE"].contains(&method) {
        return none;
    }
    let end = target.iter().position(|byte| b"?#".contains(byte)).unwrap_or(target.len());
    let segments: Vec<_> = target[..end].split(|&byte| byte == b'/').collect();
    for start in 0..segments.len() {
        for stop in (start + 1..=segments.len()).rev() {
            let run = segments[start..stop].join(&b'/');
            let Some(rule) = rules.iter().find(|rule| rule.pattern == run) else { continue };
            if rule.group == Group::PromptCache && !prompt_cache {
                return none;
            }
            let below = segments[stop..].iter().any(|segment| !segment.is_empty());
            let reads = [&b"GET"[..], b"HEAD", b"DELETE"].contains(&method);
            return Class { group: rule.group, existing: reads || below };
        }
    }
    none
}
