//! The mapping of Higress ai-proxy, slot by slot.

use tokenpin::{Filter, Key, MAX_WEIGHT, State, Strategy, mix, select, select_higress};

use crate::fleet::Fleet;

const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";
const ID: [u8; 16] = 0x550e_8400_e29b_41d4_a716_4466_5544_0000_u128.to_be_bytes();

/// Key, its number among 3 accounts and among 5.
fn cases() -> [(Key<'static>, u32, u32); 5] {
    [
        (Key::Consumer(b"consumer-alice"), 1, 0),
        (Key::Consumer(b"consumer-batches"), 2, 0),
        (Key::Consumer(b"consumer-finetuning"), 1, 2),
        (Key::Consumer(UUID.as_bytes()), 0, 2),
        (Key::Anonymous(&ID), 0, 2),
    ]
}

fn serve(fleet: &Fleet, filter: &Filter, hash: u64, key: &Key) -> Option<u32> {
    select_higress(&fleet.slots(), filter, hash, key)
}

#[test]
fn the_published_names_land_where_higress_puts_them() {
    for (key, of_3, of_5) in cases() {
        for (n, expected) in [(3, of_3), (5, of_5)] {
            let fleet = Fleet::of(&vec![MAX_WEIGHT; n]);
            for hash in 0..100 {
                let slot = serve(&fleet, &Filter::default(), mix(hash), &key);
                assert_eq!(slot, Some(expected), "{key:?} over {n}: h plays no part");
            }
        }
    }
}

#[test]
fn vacant_slots_are_not_counted() {
    // Accounts in the slots 1, 2 and 5 of 7.
    let places = [1_usize, 2, 5];
    let mut fleet = Fleet::of(&[MAX_WEIGHT; 7]);
    for place in [0, 3, 4, 6] {
        fleet.0[place] = None;
    }
    for (key, of_3, _) in cases() {
        let slot = serve(&fleet, &Filter::default(), 1, &key);
        assert_eq!(slot.map(|slot| slot as usize), Some(places[of_3 as usize]), "{key:?}");
    }
    let vacant = Fleet(vec![None; 3]);
    assert_eq!(serve(&vacant, &Filter::default(), 1, &cases()[0].0), None);
}

/// Any weight above 0 is enough. If anything keeps the slot from serving, rendezvous takes the key
/// as if there had been no step before.
#[test]
fn a_slot_that_cannot_serve_falls_through_to_rendezvous() {
    let full = Fleet::of(&[MAX_WEIGHT, 30_000, 500]);
    for (key, home, _) in cases() {
        let place = home as usize;
        let light = full.with_weight(place, 1);
        assert_eq!(serve(&light, &Filter::default(), 7, &key), Some(home));

        let tried = [home];
        let anonymous = Filter { anonymous: true, ..Filter::default() };
        let unable = [
            (full.with_state(place, State::Down), Filter::default()),
            (full.with_weight(place, 0), Filter::default()),
            (full.with_state(place, State::Draining), anonymous),
            (full.clone(), Filter { tried: &tried, ..Filter::default() }),
            (full.clone(), Filter { pinned: Some(home), ..Filter::default() }),
        ];
        for (fleet, filter) in unable {
            for hash in (0..500).map(mix) {
                let slot = serve(&fleet, &filter, hash, &key);
                let expected = select(Strategy::Rendezvous, &fleet.slots(), &filter, hash);
                assert_eq!(Ok(slot), expected);
                assert!(slot.is_some() && slot != Some(home));
            }
        }
    }
}
