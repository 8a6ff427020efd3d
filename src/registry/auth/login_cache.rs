//! Keeps the credentials as they were read. They are read again when a file changed, or when the registry rejected them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::credentials::{self, Logins};
use super::docker_config::Host;
use super::login::Login;
use crate::config::Credentials;
use crate::registry::Trouble;
use crate::report::Cause;

/// Between two looks at the credentials' files.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Credentials that could not be read are read again after this: a helper may be slow to fail, and every request needs it.
const FAILURE_KEPT: Duration = Duration::from_secs(10);
/// Rejected credentials whose files have not changed are read again this often at most.
const REJECTION_KEPT: Duration = Duration::from_secs(60);

/// The credentials of one registry.
pub struct LoginCache {
    shared: Arc<Shared>,
    /// Held while the credentials are read, so that a hundred requests start one helper.
    reading: Arc<tokio::sync::Mutex<()>>,
}

struct Shared {
    credentials: Credentials,
    host: Host,
    files: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    checked_at: Option<Instant>,
    rejected_at: Option<Instant>,
}

#[derive(Clone)]
struct Known {
    logins: Result<Arc<Logins>, String>,
    stamps: Vec<Option<Stamp>>,
    read_at: Instant,
}

/// A file's identity and state; replacing or writing it changes the stamp.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl LoginCache {
    /// A cache that has read nothing yet.
    pub fn new(credentials: Credentials, host: Host) -> Self {
        let files = credentials::files(&credentials);
        let shared = Shared { credentials, host, files, state: Mutex::default() };
        Self { shared: Arc::new(shared), reading: Arc::default() }
    }

    /// The login for a repository; `None`: for requests that belong to none.
    ///
    /// # Errors
    ///
    /// [`Cause::Unauthorized`] if the credentials cannot be read.
    pub async fn login(&self, repository: Option<&str>) -> Result<Arc<Login>, Trouble> {
        if let Some(known) = self.shared.recently_checked() {
            return known.login(repository);
        }
        self.look(|shared| shared.current()).await?.login(repository)
    }

    /// The login for a repository, if it is another one than `rejected`: the credentials are read again unless that was
    /// done lately.
    ///
    /// # Errors
    ///
    /// [`Cause::Unauthorized`] if the credentials cannot be read.
    pub async fn login_instead_of(
        &self,
        rejected: &Login,
        repository: Option<&str>,
    ) -> Result<Option<Arc<Login>>, Trouble> {
        let is_other = |login: &Arc<Login>| !login.is_same(rejected);
        let login = self.look(|shared| shared.current()).await?.login(repository)?;
        if is_other(&login) {
            return Ok(Some(login));
        }
        let login = self.look(|shared| shared.after_rejection()).await?.login(repository)?;
        Ok(Some(login).filter(is_other))
    }

    /// Reads off the executor's threads: a file may be on a slow mount. A request that is given up meanwhile does not stop
    /// the reading, whose result is kept for the next.
    async fn look(&self, how: impl FnOnce(&Shared) -> Known + Send + 'static) -> Result<Known, Trouble> {
        let alone = Arc::clone(&self.reading).lock_owned().await;
        let shared = Arc::clone(&self.shared);
        let looking = tokio::task::spawn_blocking(move || {
            let known = how(&shared);
            drop(alone);
            known
        });
        looking.await.map_err(|error| Trouble::new(Cause::Unauthorized, error.to_string()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recently_checked(&self) -> Option<Known> {
        let state = self.lock();
        // Without files nothing can change.
        let is_recent = self.files.is_empty() || state.checked_at.is_some_and(|at| at.elapsed() < CHECK_EVERY);
        state.known.clone().filter(|_| is_recent)
    }

    fn current(&self) -> Known {
        let stamps = self.stamps();
        let mut state = self.lock();
        state.checked_at = Some(Instant::now());
        match &state.known {
            Some(known) if known.is_current(&stamps) => known.clone(),
            _ => {
                drop(state);
                self.read(stamps)
            }
        }
    }

    fn after_rejection(&self) -> Known {
        let mut state = self.lock();
        let is_lately = state.rejected_at.is_some_and(|at| at.elapsed() < REJECTION_KEPT);
        if let Some(known) = state.known.as_ref().filter(|_| is_lately) {
            return known.clone();
        }
        state.rejected_at = Some(Instant::now());
        drop(state);
        self.read(self.stamps())
    }

    /// The stamps were taken before: a change during the reading shows at the next look.
    fn read(&self, stamps: Vec<Option<Stamp>>) -> Known {
        let logins = credentials::read_all(&self.credentials, &self.host);
        let logins = logins.map(Arc::new).map_err(|error| error.to_string());
        let known = Known { logins, stamps, read_at: Instant::now() };
        self.lock().known = Some(known.clone());
        known
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(|file| Stamp::of(file)).collect()
    }
}

impl Known {
    fn is_current(&self, stamps: &[Option<Stamp>]) -> bool {
        self.stamps == stamps && (self.logins.is_ok() || self.read_at.elapsed() < FAILURE_KEPT)
    }

    fn login(&self, repository: Option<&str>) -> Result<Arc<Login>, Trouble> {
        let unauthorized = |detail: String| Trouble::new(Cause::Unauthorized, detail);
        let logins = self.logins.as_ref().map_err(|error| unauthorized(error.clone()))?;
        logins.login(repository).map_err(|error| unauthorized(error.to_string()))
    }
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::Secret;

    fn cache(password: &Path) -> LoginCache {
        let password = Secret::File(password.to_path_buf());
        let credentials = Credentials::Basic { username: Secret::Inline("probe".into()), password };
        LoginCache::new(credentials, Host::of(&"https://r.example/".parse().unwrap()))
    }

    fn password(login: &Login) -> &str {
        match login {
            Login::Password { password, .. } => password.expose_secret(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_login_is_read_again_when_its_file_changed_or_it_was_rejected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let cache = cache(file.path());
        let old = cache.login(None).await.unwrap();
        assert_eq!(password(&old), "old");
        assert!(cache.login_instead_of(&old, None).await.unwrap().is_none(), "nothing else is known");
        std::fs::write(file.path(), "newer").unwrap();
        // Within the second in which the file is not looked at, a rejection makes it be looked at.
        let newer = cache.login_instead_of(&old, None).await.unwrap().unwrap();
        assert_eq!(password(&newer), "newer");
        assert!(Arc::ptr_eq(&newer, &cache.login(None).await.unwrap()), "read once more than needed");
        std::fs::write(file.path(), "newest").unwrap();
        cache.shared.lock().checked_at = None;
        assert_eq!(password(&cache.login(None).await.unwrap()), "newest");
    }

    #[tokio::test]
    async fn a_login_that_cannot_be_read_is_told_and_read_once_the_file_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let cache = cache(&file);
        let trouble = cache.login(None).await.unwrap_err();
        assert_eq!(trouble.cause, Cause::Unauthorized);
        assert!(trouble.detail.contains(&*file.to_string_lossy()), "{trouble}");
        std::fs::write(&file, "here").unwrap();
        cache.shared.lock().checked_at = None;
        assert_eq!(password(&cache.login(None).await.unwrap()), "here");
    }
}
