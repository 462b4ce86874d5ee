//! Pins a session: its second request, with the cookie of the first, gets the same account.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use tokenpin::{Affinity, Answer, Config, CookieKey, Request, Role, Secret, Slot, SlotStatus};

const ACCOUNTS: [&str; 2] = ["account-a", "account-b"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 16 random bytes each, from your secret store, the same on every replica.
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new(*b"a cookie secret!") }];
    let config = Config::new(Secret::new(*b"a placement key!"), &keys);
    let slots =
        ACCOUNTS.map(|name| Slot::new(name.as_bytes(), SlotStatus::UP).expect("a good name"));
    let mut index = [0; Affinity::index_len(ACCOUNTS.len())];
    let affinity = Affinity::new(&config, &slots, &mut index)?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut entropy = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut entropy)?;
    let request =
        Request { method: b"POST", target: b"/v1/responses", now, entropy, ..Request::default() };
    let decision = affinity.decide(&request, [])?;
    let account = decision.slot.ok_or("no account can serve")?;
    println!("a new session: {}", ACCOUNTS[account as usize]);

    // Send it with that account's token. Then, with the status of the account's response:
    let mut line = [0; tokenpin::MAX_SET_COOKIE];
    let (answer, len) = affinity.finish(&decision, 200, &mut line)?;
    assert_eq!(answer, Answer::SetCookie);
    let line = std::str::from_utf8(&line[..len])?;
    println!("Set-Cookie: {line}");

    let cookie = line.split(';').next().unwrap_or_default();
    let request = Request { method: b"GET", target: b"/v1/responses/resp_1", ..request };
    let decision = affinity.decide(&request, [cookie.as_bytes()])?;
    let account = decision.slot.ok_or("no account can serve")?;
    println!("its next request: {}, {}", ACCOUNTS[account as usize], decision.outcome.name());
    Ok(())
}
