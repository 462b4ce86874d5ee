//! Every interleaving, under the C11 memory model, of a writer that changes slots and a reader that
//! selects. The model is only the protocol: one relaxed word per slot, read once. The statuses read
//! go to the library's own `select`. Loom cannot run `src/select/slot.rs` itself, whose `Slot` is
//! made in constants.
#![cfg(test)]
#![deny(clippy::pedantic)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use tokenpin::{Filter, MAX_WEIGHT, Slot, SlotStatus, State, Strategy, mix, select};

const FULL: u64 = MAX_WEIGHT as u64;

fn status(state: u64, weight: u64) -> SlotStatus {
    let state = if state == 0 { State::Up } else { State::Down };
    SlotStatus { state, weight: u32::try_from(weight).unwrap(), until: 0 }
}

/// Selects the slot for a key among three slots as they were read: the first is up, the second down
/// throughout, and the third changes between up with weight 0 and down with full weight, neither of
/// which serves.
fn selected(changing: SlotStatus, hash: u64) -> u32 {
    let statuses = [SlotStatus::UP, status(1, FULL), changing];
    let slots: Vec<Slot> =
        (0..).zip(statuses).map(|(i, status)| Slot::new(&[i], status).unwrap()).collect();
    let filter = Filter { anonymous: true, ..Filter::default() };
    select(Strategy::Jump, &slots, &filter, hash).unwrap().unwrap()
}

/// Returns keys whose home is each of the slots.
fn keys() -> [u64; 3] {
    [0, 1, 2].map(|slot| (0..99).map(mix).find(|key| tokenpin::jump(*key, 3) == Ok(slot)).unwrap())
}

#[test]
fn one_word_is_never_torn() {
    loom::model(|| {
        let word = Arc::new(AtomicU64::new(FULL << 1 | 1));
        let writer = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                word.store(0, Relaxed);
                word.store(FULL << 1 | 1, Relaxed);
            })
        };
        for key in keys() {
            let word = word.load(Relaxed);
            assert_eq!(selected(status(word & 1, word >> 1), key), 0);
        }
        writer.join().unwrap();
    });
}

/// An older word does not return: of two reads the second is not older.
#[test]
fn a_reader_never_goes_back() {
    loom::model(|| {
        let word = Arc::new(AtomicU64::new(0));
        let writer = {
            let word = Arc::clone(&word);
            thread::spawn(move || (1..4).for_each(|turn| word.store(turn, Relaxed)))
        };
        let (first, second) = (word.load(Relaxed), word.load(Relaxed));
        assert!(first <= second);
        writer.join().unwrap();
    });
}

/// The planted defect: state and weight in separate words.
#[test]
#[should_panic(expected = "left == right")]
fn two_words_are_torn() {
    loom::model(|| {
        let words = Arc::new((AtomicU64::new(1), AtomicU64::new(FULL)));
        let writer = {
            let words = Arc::clone(&words);
            thread::spawn(move || {
                words.0.store(0, Relaxed);
                words.1.store(0, Relaxed);
            })
        };
        for key in keys() {
            let changing = status(words.0.load(Relaxed), words.1.load(Relaxed));
            assert_eq!(selected(changing, key), 0);
        }
        writer.join().unwrap();
    });
}
