//! Classification by tables of any length: the answer is that of the rules read one by one.

use tokenpin::{Affinity, Config, CookieKey, Group, Role, Rule, Secret, Slot, SlotStatus};
use tokenpin::{DEFAULT_RULES, classify};

use tokenpin_test_support::classification::slow;

const METHODS: [&[u8]; 9] =
    [b"POST", b"GET", b"HEAD", b"DELETE", b"PUT", b"PATCH", b"OPTIONS", b"CONNECT", b"TRACE"];

#[test]
fn a_table_of_any_length_answers_as_its_rules_one_by_one() {
    // Long enough that the last bit of a row stands for many rules.
    let names: Vec<String> = (0..90)
        .map(|i| match i % 3 {
            0 => format!("r{}", i / 2),
            1 => format!("r{i}/sub"),
            _ => format!("q{i}"),
        })
        .collect();
    let group = |i: usize| Group::ALL[i % 3];
    let rules: Vec<_> = (0..)
        .zip(&names)
        .map(|(i, name)| Rule { pattern: name.as_bytes(), group: group(i) })
        .collect();
    for count in [0, 1, 2, 62, 63, 64, 65, 66, 90] {
        let rules = &rules[..count];
        for name in &names {
            for target in [
                name.clone(),
                format!("/{name}"),
                format!("/v1/{name}/"),
                format!("/v1/{name}/x"),
                format!("/{name}x"),
                format!("/x{name}?/{name}"),
                format!("/r9/{name}/sub#y"),
                format!("//{name}//sub"),
            ] {
                for method in [&b"POST"[..], b"GET"] {
                    let class = classify(rules, true, method, target.as_bytes());
                    let expected = slow(rules, true, method, target.as_bytes());
                    assert_eq!(class, expected, "{count} rules, {target}");
                }
            }
        }
    }
}

#[test]
fn rules_that_share_the_last_bit_are_all_tried() {
    let rule = |pattern: &'static [u8]| Rule { pattern, group: Group::Stateful };
    let mut rules = vec![rule(b"a"); 63];
    rules.extend([rule(b"b"), rule(b"z")]);
    for target in [&b"/b"[..], b"/z"] {
        assert_eq!(classify(&rules, false, b"POST", target).group, Group::Stateful);
    }
}

#[test]
fn the_longest_rule_counts_and_of_equal_ones_the_first() {
    let rule = |pattern: &'static [u8], group| Rule { pattern, group };
    let (stateless, stateful, cache) = (Group::Stateless, Group::Stateful, Group::PromptCache);
    let table = [rule(b"a", stateful), rule(b"a/b", stateless), rule(b"a/b", cache)];
    let group = |rules: &[Rule<'_>], target: &[u8]| classify(rules, true, b"POST", target).group;
    assert_eq!(group(&table, b"/a"), stateful);
    assert_eq!(group(&table, b"/a/b"), stateless);
    assert_eq!(group(&table[1..], b"/a/b"), stateless);
    assert_eq!(group(&table[2..], b"/a/b"), cache);
    assert_eq!(group(&[table[2], table[0]], b"/a/b"), cache);
}

#[test]
fn every_method_with_every_default_rule() {
    for rule in DEFAULT_RULES {
        for method in METHODS {
            for target in [rule.pattern.to_vec(), [rule.pattern, b"/x"].concat()] {
                let class = classify(DEFAULT_RULES, true, method, &target);
                assert_eq!(class, slow(DEFAULT_RULES, true, method, &target));
            }
        }
    }
}

#[test]
fn an_affinity_classifies_by_its_own_table() {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    let slots = [Slot::new(b"a", SlotStatus::UP).unwrap()];
    let rules = [
        Rule { pattern: b"jobs", group: Group::Stateful },
        Rule { pattern: b"chat", group: Group::PromptCache },
    ];
    for prompt_cache in [false, true] {
        let config =
            Config { rules: &rules, prompt_cache, ..Config::new(Secret::new([2; 16]), &keys) };
        let mut index = [0; Affinity::index_len(1)];
        let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
        for target in [&b"/jobs"[..], b"/jobs/1", b"/chat", b"/v1/responses", b""] {
            let expected = classify(&rules, prompt_cache, b"POST", target);
            assert_eq!(affinity.classify(b"POST", target), expected);
        }
        assert_eq!(affinity.classify(b"GET", b"/jobs").group, Group::Stateful);
        assert!(affinity.classify(b"GET", b"/jobs").existing);
    }
}
