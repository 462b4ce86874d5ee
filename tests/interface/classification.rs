//! Classification by tables of any length: the answer is that of the rules read one by one.

use tokenpin::ids::Ids;
use tokenpin::{Affinity, Config, CookieKey, Group, Role, Rule, Secret, Slot, SlotStatus};
use tokenpin::{DEFAULT_RULES, check_rules, classify};

use tokenpin_test_support::classification::{is_bad, slow};
use tokenpin_test_support::random::Random;

const METHODS: [&[u8]; 9] =
    [b"POST", b"GET", b"HEAD", b"DELETE", b"PUT", b"PATCH", b"OPTIONS", b"CONNECT", b"TRACE"];

#[track_caller]
fn compare(rules: &[Rule<'_>], replace: bool, method: &[u8], target: &[u8]) {
    for prompt_cache in [false, true] {
        let class = classify(rules, replace, prompt_cache, method, target);
        let expected = slow(rules, replace, prompt_cache, method, target);
        let (method, target) = (method.escape_ascii(), target.escape_ascii());
        assert_eq!(class, expected, "{} rules, {replace}: {method} {target}", rules.len());
    }
}

#[test]
fn a_table_of_any_length_answers_as_its_rules_one_by_one() {
    // Long enough that a bit of a row stands for several rules.
    let names: Vec<String> = (0..150)
        .map(|i| match i % 5 {
            0 => format!("r{}", i / 2),
            1 => format!("r{i}/sub"),
            2 => format!("r{i}/*/sub"),
            3 => format!("r{}/*b", i / 10),
            _ => format!("q{i}"),
        })
        .collect();
    let group = |i: usize| Group::ALL[i % 3];
    let rules: Vec<_> = (0..)
        .zip(&names)
        .map(|(i, name)| Rule { pattern: name.as_bytes(), group: group(i), ids: Ids::ALL[i % 4] })
        .collect();
    assert_eq!(check_rules(&rules), Ok(()));
    for count in [0, 1, 2, 62, 63, 64, 65, 66, 125, 126, 127, 150] {
        let rules = &rules[..count];
        for name in names.iter().map(|name| name.replace('*', "ab")) {
            for target in [
                name.clone(),
                format!("/{name}"),
                format!("/v1/{name}/"),
                format!("/v1/{name}/x"),
                format!("/v1%2F{name}%2fsub"),
                format!("/models/{name}"),
                format!("/{name}x"),
                format!("/x{name}?/{name}"),
                format!("/r9/{name}/sub#y"),
                format!("//{name}//sub"),
            ] {
                for method in [&b"POST"[..], b"GET"] {
                    for replace in [false, true] {
                        compare(rules, replace, method, target.as_bytes());
                    }
                }
            }
        }
    }
}

/// Puts paths together from the parts of patterns, names and encodings.
#[test]
fn random_paths_are_classified_as_the_model_does() {
    let mut random = Random::new("random_paths_are_classified_as_the_model_does");
    let mut below = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
    let mut words: Vec<Vec<u8>> = DEFAULT_RULES
        .iter()
        .flat_map(|rule| rule.pattern.split(|&byte| byte == b'/'))
        .map(|word| word.iter().copied().filter(|&byte| byte != b'*').collect())
        .collect();
    for word in ["", "v1", "models", "deployments", "projects", "x", "a:b", "%", "%2", "%zz", "*"] {
        words.push(word.into());
    }
    let patterns = ["a/*", "a/*:b", "models/*", "models/*/files", "x/*/x", "files", "v1/files/*"];
    for _ in 0..200_000 {
        let mut target = Vec::new();
        for _ in 0..below(7) {
            let slash: &[u8] = if below(8) == 0 { b"%2F" } else { b"/" };
            target.extend_from_slice(slash);
            let word = &words[below(words.len())];
            for &byte in word {
                if below(24) == 0 {
                    target.extend_from_slice(format!("%{byte:02x}").as_bytes());
                } else {
                    target.push(byte);
                }
            }
        }
        if below(8) == 0 {
            target.extend_from_slice(b"?/v1/files");
        }
        let rules: Vec<_> = (0..below(4))
            .map(|_| Rule {
                pattern: patterns[below(patterns.len())].as_bytes(),
                group: Group::ALL[below(3)],
                ids: Ids::ALL[below(4)],
            })
            .collect();
        let method = METHODS[below(METHODS.len())];
        compare(&rules, below(2) == 0, method, &target);
    }
}

#[test]
fn random_patterns_are_refused_as_the_model_does() {
    let mut random = Random::new("random_patterns_are_refused_as_the_model_does");
    let mut below = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
    for _ in 0..100_000 {
        let pattern: Vec<_> = (0..below(7)).map(|_| b"ab/*:%?#"[below(8)]).collect();
        let rules = [Rule { pattern: &pattern, group: Group::Stateful, ids: Ids::None }];
        assert_eq!(check_rules(&rules).is_err(), is_bad(&pattern), "{}", pattern.escape_ascii());
    }
}

#[test]
fn rules_that_share_a_bit_are_all_tried() {
    let rule = |pattern: &'static [u8]| Rule { pattern, group: Group::Stateful, ids: Ids::None };
    let mut rules = vec![rule(b"a"); 63];
    rules.extend([rule(b"b"), rule(b"z")]);
    for target in [&b"/b"[..], b"/z"] {
        assert_eq!(classify(&rules, true, false, b"POST", target).group, Group::Stateful);
    }
}

#[test]
fn the_longest_rule_counts_and_of_equal_ones_the_first() {
    let rule = |pattern: &'static [u8], group| Rule { pattern, group, ids: Ids::None };
    let (stateless, stateful, cache) = (Group::Stateless, Group::Stateful, Group::PromptCache);
    let table = [rule(b"a", stateful), rule(b"a/b", stateless), rule(b"a/b", cache)];
    let group =
        |rules: &[Rule<'_>], target: &[u8]| classify(rules, true, true, b"POST", target).group;
    assert_eq!(group(&table, b"/a"), stateful);
    assert_eq!(group(&table, b"/a/b"), stateless);
    assert_eq!(group(&table[1..], b"/a/b"), stateless);
    assert_eq!(group(&table[2..], b"/a/b"), cache);
    assert_eq!(group(&[table[2], table[0]], b"/a/b"), cache);
    // Also if they share a bit, and if the other is a default one.
    let mut many = vec![rule(b"x", stateful); 64];
    (many[0], many[63]) = (table[1], table[2]);
    assert_eq!(group(&many, b"/a/b"), stateless);
    let own = [rule(b"a/*", stateless), rule(b"a/b", cache), rule(b"files", cache)];
    assert_eq!(group(&own, b"/a/b"), stateless);
    assert_eq!(classify(&own, false, true, b"POST", b"/files").group, cache);
}

#[test]
fn every_method_with_every_default_rule() {
    for rule in DEFAULT_RULES {
        for method in METHODS {
            for target in [rule.pattern.to_vec(), [b"/", rule.pattern, b"/x"].concat()] {
                compare(&[], false, method, &target);
            }
        }
    }
}

#[test]
fn an_affinity_classifies_by_its_own_table() {
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    let slots = [Slot::new(b"a", SlotStatus::UP).unwrap()];
    let rules = [
        Rule { pattern: b"jobs", group: Group::Stateful, ids: Ids::Both },
        Rule { pattern: b"chat", group: Group::PromptCache, ids: Ids::Open },
    ];
    for (prompt_cache, replace_rules) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let new = Config::new(Secret::new([2; 16]), &keys);
        let config = Config { rules: &rules, replace_rules, prompt_cache, ..new };
        let mut index = [0; Affinity::index_len(1)];
        let affinity = Affinity::new(&config, &slots, &mut index).unwrap();
        for target in [&b"/jobs"[..], b"/jobs/1", b"/chat", b"/v1/responses", b"/%6aobs", b""] {
            for method in [&b"POST"[..], b"GET", b"CONNECT"] {
                let expected = classify(&rules, replace_rules, prompt_cache, method, target);
                assert_eq!(affinity.classify(method, target), expected);
            }
        }
        let default = affinity.classify(b"POST", b"/v1/responses").group;
        assert_eq!(default == Group::Stateful, !replace_rules);
        assert_eq!(affinity.classify(b"GET", b"/jobs").group, Group::Stateful);
        assert!(affinity.classify(b"GET", b"/jobs").existing);
    }
}
