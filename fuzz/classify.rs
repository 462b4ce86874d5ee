//! Classification by the default table and by replaced ones, against a slow model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::{DEFAULT_RULES, Error, Field, Group, Rule, check_rules, classify};
use tokenpin_fuzz::Input;
use tokenpin_test_support::classification::slow;

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let own: Vec<Rule<'_>> = (0..input.below(90))
        .map(|_| Rule { pattern: input.bytes(), group: input.pick(Group::ALL) })
        .collect();
    let rules = if own.is_empty() { DEFAULT_RULES } else { &own };
    let prompt_cache = input.flag();
    let methods = [&b"POST"[..], b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE"];
    let method = if input.one_in(8) { input.bytes() } else { input.pick(&methods) };
    let target = input.rest();

    let bad =
        rules.iter().position(|rule| rule.pattern.split(|&b| b == b'/').any(<[u8]>::is_empty));
    let refused = bad.map(|index| Error::Pattern.at(Field::Rules, index));
    assert_eq!(check_rules(rules).err(), refused);
    let got = classify(rules, prompt_cache, method, target);
    if refused.is_none() {
        assert_eq!(got, slow(rules, prompt_cache, method, target));
    }
}
