//! Logins by user name and password.
//!
//! A bcrypt hash takes tens of milliseconds by design. Successful logins are cached, so that scrapes are fast. Failed ones
//! are not, so that each guess costs the full time. Guesses are hashed in turn on separate threads, and cached logins do
//! not wait for them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Queued checks per client, so that one client's guesses do not delay others.
const WAITING_PER_CLIENT: usize = 4;
/// Queued checks of all clients.
const WAITING: usize = 64;

/// The result of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The password is correct.
    Admitted,
    /// The user or the password is wrong.
    Refused,
    /// Too many checks are queued; the password was not checked.
    Busy,
}

/// Checks passwords and caches successful logins.
pub struct Passwords {
    key: hmac::Key,
    /// The tag ([`Self::tag`]) of each user's correct password, never the password itself.
    verified: Mutex<HashMap<String, hmac::Tag>>,
    turns: Arc<Semaphore>,
    waiting: Mutex<HashMap<IpAddr, usize>>,
    choice: RandomState,
}

/// A place in the queue, released on drop.
struct Place<'a> {
    passwords: &'a Passwords,
    client: IpAddr,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = locked(&self.passwords.waiting);
        if let Some(count) = waiting.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.client);
            }
        }
    }
}

impl Passwords {
    /// An empty cache.
    ///
    /// # Errors
    ///
    /// If the system provides no random numbers.
    pub fn new() -> Result<Self, &'static str> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system provides no random numbers")?;
        // Half of the cores stay free for sweeps and responses.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            key,
            verified: Mutex::default(),
            turns: Arc::new(Semaphore::new((cores / 2).clamp(1, 4))),
            waiting: Mutex::default(),
            choice: RandomState::new(),
        })
    }

    /// Checks a user name and a password.
    pub async fn check(
        &self,
        users: &BTreeMap<String, SecretString>,
        client: IpAddr,
        user: &str,
        password: &[u8],
    ) -> Admission {
        let known = users.get(user);
        // An unknown user is checked against the hash of a fixed user and then rejected, so that the duration does not reveal
        // which users exist.
        let Some(hash) = known.or_else(|| self.stand_in(users, user)) else { return Admission::Refused };
        let tag_input = tag_input(user, hash, password);
        let remembered = locked(&self.verified).get(user).copied();
        if let Some(tag) = remembered
            && known.is_some()
            // Constant-time comparison.
            && hmac::verify(&self.key, &tag_input, tag.as_ref()).is_ok()
        {
            return Admission::Admitted;
        }
        let Some(place) = self.queue(client) else { return Admission::Busy };
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return Admission::Busy };
        let (hash, password) = (hash.clone(), password.to_vec());
        let checked = tokio::task::spawn_blocking(move || {
            // Held until the hash is done, even if the client disconnects.
            let _turn = turn;
            bcrypt::verify(password, hash.expose_secret()).unwrap_or(false)
        });
        let is_right = checked.await.unwrap_or(false) && known.is_some();
        drop(place);
        if !is_right {
            return Admission::Refused;
        }
        let mut verified = locked(&self.verified);
        verified.retain(|name, _| users.contains_key(name));
        verified.insert(user.to_string(), hmac::sign(&self.key, &tag_input));
        Admission::Admitted
    }

    fn stand_in<'u>(&self, users: &'u BTreeMap<String, SecretString>, user: &str) -> Option<&'u SecretString> {
        let count = u64::try_from(users.len()).ok().filter(|count| *count > 0)?;
        users.values().nth(usize::try_from(self.choice.hash_one(user) % count).ok()?)
    }

    fn queue(&self, client: IpAddr) -> Option<Place<'_>> {
        let client = one_client(client);
        let mut waiting = locked(&self.waiting);
        if waiting.values().sum::<usize>() >= WAITING {
            return None;
        }
        let own = waiting.entry(client).or_default();
        if *own >= WAITING_PER_CLIENT {
            return None;
        }
        *own += 1;
        Some(Place { passwords: self, client })
    }
}

/// Length prefixes make the input unambiguous. A changed hash invalidates the cached login.
fn tag_input(user: &str, hash: &SecretString, password: &[u8]) -> Vec<u8> {
    let parts = [user.as_bytes(), hash.expose_secret().as_bytes(), password];
    parts.iter().flat_map(|part| part.len().to_le_bytes().into_iter().chain(part.iter().copied())).collect()
}

/// An IPv6 client usually has a /64 network of addresses.
fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn users(cost: u32) -> BTreeMap<String, SecretString> {
        let hash = |password: &str| SecretString::from(bcrypt::hash(password, cost).unwrap());
        [("alice", hash("wonderland")), ("bob", hash("builder"))].map(|(name, hash)| (name.to_string(), hash)).into()
    }

    #[tokio::test]
    async fn only_correct_passwords_are_admitted() {
        let (users, passwords) = (users(4), Passwords::new().unwrap());
        for _ in 0..2 {
            for (user, password, admission) in [
                ("alice", "wonderland", Admission::Admitted),
                ("bob", "builder", Admission::Admitted),
                ("alice", "builder", Admission::Refused),
                ("bob", "wonderland", Admission::Refused),
                ("alice", "", Admission::Refused),
                ("carol", "wonderland", Admission::Refused),
                ("carol", "builder", Admission::Refused),
                ("", "", Admission::Refused),
            ] {
                assert_eq!(
                    passwords.check(&users, HERE, user, password.as_bytes()).await,
                    admission,
                    "{user} {password}"
                );
            }
        }
    }

    #[tokio::test]
    async fn changed_passwords_invalidate_the_cache() {
        let (mut users, passwords) = (users(4), Passwords::new().unwrap());
        assert_eq!(passwords.check(&users, HERE, "alice", b"wonderland").await, Admission::Admitted);
        users.insert("alice".to_string(), bcrypt::hash("looking-glass", 4).unwrap().into());
        assert_eq!(passwords.check(&users, HERE, "alice", b"wonderland").await, Admission::Refused);
        users.remove("alice");
        assert_eq!(passwords.check(&users, HERE, "alice", b"wonderland").await, Admission::Refused);
        assert_eq!(passwords.check(&BTreeMap::new(), HERE, "alice", b"wonderland").await, Admission::Refused);
    }

    #[tokio::test]
    async fn only_successful_logins_are_cached() {
        let (users, passwords) = (users(10), Passwords::new().unwrap());
        let cost_of = async |user: &str, password: &[u8]| {
            let start = Instant::now();
            passwords.check(&users, HERE, user, password).await;
            start.elapsed()
        };
        let first = cost_of("alice", b"wonderland").await;
        let mut again = Duration::MAX;
        let mut wrong = Duration::MAX;
        for _ in 0..3 {
            again = again.min(cost_of("alice", b"wonderland").await);
            wrong = wrong.min(cost_of("alice", b"wrong").await);
            wrong = wrong.min(cost_of("mallory", b"wrong").await);
        }
        assert!(again < first / 20, "{first:?} and then {again:?}");
        assert!(wrong > again * 20, "wrong {wrong:?}, remembered {again:?}");
    }

    #[tokio::test]
    async fn floods_of_guesses_delay_no_other_client() {
        let (users, passwords) = (Arc::new(users(8)), Arc::new(Passwords::new().unwrap()));
        assert_eq!(passwords.check(&users, HERE, "bob", b"builder").await, Admission::Admitted);
        let mut flood = tokio::task::JoinSet::new();
        for guess in 0..200 {
            let (users, passwords) = (Arc::clone(&users), Arc::clone(&passwords));
            flood.spawn(async move { passwords.check(&users, THERE, "alice", format!("{guess}").as_bytes()).await });
        }
        tokio::task::yield_now().await;
        let (newcomer, remembered) = (
            passwords.check(&users, HERE, "alice", b"wonderland").await,
            passwords.check(&users, THERE, "bob", b"builder").await,
        );
        assert_eq!((newcomer, remembered), (Admission::Admitted, Admission::Admitted));
        let outcomes = flood.join_all().await;
        assert!(!outcomes.contains(&Admission::Admitted));
        assert!(outcomes.iter().filter(|outcome| **outcome == Admission::Busy).count() >= 150, "{outcomes:?}");
        assert!(locked(&passwords.waiting).is_empty());
    }

    #[test]
    fn ipv6_networks_count_as_one_client() {
        let client = |text: &str| one_client(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
