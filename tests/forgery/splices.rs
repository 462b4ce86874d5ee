//! Parts of one genuine cookie in another: everything that a client with several can put together.

use tokenpin::{Cookie, Kind, Value, identity_hash};

use crate::gateway::{Gateway, KEY_IDS, KINDS, fields, raw_of, sign, value_of};

/// Genuine cookies that differ from the first in one field, or in several, or in all.
fn pool() -> Vec<Value> {
    let mut pool = Vec::new();
    for kind in KINDS {
        let cookie = fields(kind, 0);
        pool.push(sign(KEY_IDS[0], &cookie));
        pool.push(sign(KEY_IDS[1], &cookie));
        pool.push(sign(KEY_IDS[0], &Cookie { pin: identity_hash(b"account-c"), ..cookie }));
    }
    let cookie = fields(Kind::Anonymous, 0);
    pool.push(sign(KEY_IDS[0], &Cookie { id: [1; 16], ..cookie }));
    pool.push(sign(KEY_IDS[0], &Cookie { refreshed_at: cookie.refreshed_at + 1, ..cookie }));
    pool.push(sign(KEY_IDS[2], &fields(Kind::Anonymous, 1)));
    pool
}

/// Calls `then` with `first`, in which each run of elements is that of `second`.
fn splices<const N: usize>(first: &[u8; N], second: &[u8; N], mut then: impl FnMut(&[u8; N])) {
    for start in 0..N {
        let mut spliced = *first;
        for end in start..N {
            spliced[end] = second[end];
            then(&spliced);
        }
    }
}

#[test]
fn every_splice_of_two_cookies_is_refused() {
    let gateway = Gateway::new();
    let pool = pool();
    let mut spliced = 0_u32;
    for (i, first) in pool.iter().enumerate() {
        for second in pool.iter().skip(i + 1) {
            for (first, second) in [(first, second), (second, first)] {
                let mut last = *first;
                let mut refuses = |value: &Value| {
                    if !pool.contains(value) && *value != last {
                        last = *value;
                        spliced += 1;
                        // In requests of the kinds of both cookies.
                        for raw in [raw_of(first).unwrap(), raw_of(second).unwrap()] {
                            gateway.refuses(KINDS[usize::from(raw[0] & 15)], value);
                        }
                    }
                };
                // At characters, and at the bytes and so the fields behind them.
                splices(first, second, &mut refuses);
                let (first, second) = (raw_of(first).unwrap(), raw_of(second).unwrap());
                splices(&first, &second, |raw| refuses(&value_of(raw)));
            }
        }
    }
    println!("{spliced} splices");
    assert!(spliced > 400_000);
}
