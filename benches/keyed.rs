//! Selection from the bytes of a key, which a gateway starts from.

use criterion::Criterion;
use tokenpin::{Filter, Key, identity_hash, jump, key_hash, select_higress};

use crate::fixtures::{Fleet, NOW, affinity, each, identity, ring_keys, secret, text_keys};
use crate::peers::{fnv1a32_modulo, jump_back};
use crate::select::by_jump;

pub fn bench(criterion: &mut Criterion) {
    let placement = &secret(0xaa);
    let mut group = criterion.benchmark_group("keyed");
    for len in [16, 36] {
        let texts = text_keys(len);
        let keys: Vec<_> = texts.iter().map(|text| Key::Consumer(text)).collect();
        let keys = keys.as_slice();
        let hash = |key| key_hash(placement, b"", &key).unwrap_or(0);
        each(&mut group, "hash", len, keys, hash);
        for n in [16, 64] {
            let parameter = format!("{len}-{n}");
            let slots = &Fleet::up(n).slots();
            let quarter = &Fleet { n, down_percent: 25, mixed_weights: false }.slots();
            let higress = |key| {
                let filter = Filter { now: NOW, anonymous: false, tried: &[], pinned: None };
                select_higress(slots, &filter, 0, &key)
            };
            for (key, text) in keys.iter().zip(&texts) {
                assert_eq!(higress(*key), Some(fnv1a32_modulo(text, n)));
                assert_eq!(by_jump(slots, hash(*key)), jump(hash(*key), n).ok());
            }
            each(&mut group, "jump", &parameter, keys, |key| jump(hash(key), n));
            each(&mut group, "jump-back", &parameter, keys, |key| jump_back(hash(key), n));
            each(&mut group, "select", &parameter, keys, |key| by_jump(slots, hash(key)));
            each(&mut group, "down", &parameter, keys, |key| by_jump(quarter, hash(key)));
            each(&mut group, "fnv1a", &parameter, keys, |key| match key {
                Key::Consumer(text) => fnv1a32_modulo(text, n),
                _ => 0,
            });
            each(&mut group, "higress", &parameter, keys, higress);
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("find");
    for n in [16, 1024, 65_536] {
        let owned = affinity(n, &ring_keys(1));
        let affinity = owned.get();
        let names: Vec<_> = text_keys(16)
            .iter()
            .map(|text| u32::from_str_radix(std::str::from_utf8(&text[..8]).unwrap_or(""), 16))
            .map(|number| identity(number.unwrap_or(0) % n))
            .collect();
        let names: Vec<_> = names.iter().map(Vec::as_slice).collect();
        assert!(names.iter().all(|name| affinity.find(name).is_some()));
        each(&mut group, "hash", n, &names, identity_hash);
        each(&mut group, "find", n, &names, |name| affinity.find(name));
    }
    group.finish();
}
