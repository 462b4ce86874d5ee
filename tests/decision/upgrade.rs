//! The promises of docs/proofs/stability.md for a rolling upgrade to a later version of the cookie,
//! as far as this version takes part in it.

use data_encoding::BASE64URL_NOPAD;
use tokenpin::{Config, Outcome, Policy, Request, Role, Verdict};

use tokenpin_test_support::random::Random;

use crate::world::{config, consumer, create, decide, finished, gateway, keys, pair, read};

/// Returns a value of another version with everything else random, because its layout is unknown.
fn value_of(version: u8, kind: u8, random: &mut Random) -> [u8; 67] {
    let mut bytes: [u8; 50] = random.bytes();
    bytes[0] = version << 4 | kind;
    let mut value = [0; 67];
    BASE64URL_NOPAD.encode_mut(&bytes, &mut value);
    value
}

#[test]
fn a_cookie_of_another_version_is_never_overwritten_and_serves_on() {
    let ring = keys(&[(1, Role::Retire), (2, Role::Sign)]);
    let repin = Policy::FallbackAndUpdate;
    let config = Config {
        cookie_keys: ring,
        keyed_cookies: true,
        mint_single: true,
        policy_existing: repin,
        policy_new: repin,
        ..config()
    };
    let gateways = [gateway(&config, "a"), gateway(&config, "a b c")];
    let mut random = Random::new("a_cookie_of_another_version_is_never_overwritten_and_serves_on");
    for version in (0..16).filter(|version| *version != 1) {
        for kind in 0..4 {
            for _ in 0..16 {
                let value = value_of(version, kind, &mut random);
                let fields = [pair(&config, &value)];
                for request in [create(), read()] {
                    let keyed = Request { consumer: consumer("alice"), ..request };
                    for request in [request, keyed] {
                        let carrier_value = Request { carrier_value: &value, ..request };
                        for (request, fields) in [(request, &fields[..]), (carrier_value, &[])] {
                            for affinity in &gateways {
                                let decision = decide(affinity, &request, fields);
                                assert_eq!(decision.verdict, Verdict::UnknownVersion, "{value:?}");
                                assert_eq!(decision.outcome, Outcome::Placed, "{value:?}");
                                for status in [200, 201, 299, 304, 404, 500] {
                                    let line = finished(affinity, &decision, status);
                                    assert_eq!(line, None, "{value:?}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
