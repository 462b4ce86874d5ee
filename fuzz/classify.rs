//! Classification by the default table, extended and replaced, against a slow model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenpin::ids::Ids;
use tokenpin::{Error, Field, Group, Rule, check_rules, classify};
use tokenpin_fuzz::Input;
use tokenpin_test_support::classification::{is_bad, slow};

fuzz_target!(|data: &[u8]| run(&mut Input::new(data)));

fn run(input: &mut Input<'_>) {
    let own: Vec<Rule<'_>> = (0..input.below(90))
        .map(|_| Rule {
            pattern: input.bytes(),
            group: input.pick(Group::ALL),
            ids: input.pick(Ids::ALL),
        })
        .collect();
    let (replace, prompt_cache) = (input.flag(), input.flag());
    let methods = [&b"POST"[..], b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE"];
    let method = if input.one_in(8) { input.bytes() } else { input.pick(&methods) };
    let target = input.rest();

    let bad = own.iter().position(|rule| is_bad(rule.pattern));
    let refused = bad.map(|index| Error::Pattern.at(Field::Rules, index));
    assert_eq!(check_rules(&own).err(), refused);
    let got = classify(&own, replace, prompt_cache, method, target);
    if refused.is_none() {
        assert_eq!(got, slow(&own, replace, prompt_cache, method, target));
    }
}
