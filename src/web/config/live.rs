//! The web configuration, reloaded when its files change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::files::Files;
use super::{WebConfig, schema};
use crate::config::ConfigError;

/// How long a connection waits for the files, for example on a network file system that hangs. Until they are read, the
/// previous configuration applies.
const PATIENCE: Duration = Duration::from_secs(2);

/// A web configuration that is reloaded when its files change.
pub struct LiveWebConfig {
    path: PathBuf,
    current: RwLock<Arc<WebConfig>>,
    reader: Mutex<Reader>,
    on_change: Box<dyn Fn(bool) + Send + Sync>,
}

impl fmt::Debug for LiveWebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveWebConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Reader {
    /// The files as last read, valid or not.
    files: Arc<Files>,
    /// Why they were invalid.
    fault: Option<String>,
    /// The current read of the files. There is at most one, because on a file system that hangs each would block a thread.
    pending: Option<JoinHandle<Option<Look>>>,
    /// True if the current read has timed out.
    is_overdue: bool,
}

/// The result of reading changed files.
#[derive(Debug)]
struct Look {
    files: Files,
    config: Result<WebConfig, ConfigError>,
}

impl LiveWebConfig {
    /// Loads the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with all errors in it and in the files that it names.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut files = Files::default();
        let config = schema::read(path, &mut files)?;
        Ok(Self {
            path: path.to_path_buf(),
            current: RwLock::new(Arc::new(config)),
            reader: Mutex::new(Reader { files: Arc::new(files), fault: None, pending: None, is_overdue: false }),
            on_change: Box::new(|_| {}),
        })
    }

    /// Calls a function after each reload with its success.
    pub fn on_reload(self, on_change: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self { on_change: Box::new(on_change), ..self }
    }

    /// The current configuration. Changed files are reloaded; if they are invalid, the previous configuration stays in use.
    pub async fn current(&self) -> Arc<WebConfig> {
        let mut reader = self.reader.lock().await;
        self.look(&mut reader).await;
        self.known()
    }

    /// The configuration as of the last reload.
    pub fn known(&self) -> Arc<WebConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reloads changed files now.
    ///
    /// # Errors
    ///
    /// Why the files are invalid; the previous configuration stays in use.
    pub async fn check(&self) -> Result<(), String> {
        let mut reader = self.reader.lock().await;
        self.look(&mut reader).await;
        if reader.is_overdue {
            return Err(format!("{}: reading timed out", self.path.display()));
        }
        reader.fault.clone().map_or(Ok(()), Err)
    }

    async fn look(&self, reader: &mut Reader) {
        let files = Arc::clone(&reader.files);
        let task = reader.pending.get_or_insert_with(|| {
            let path = self.path.clone();
            spawn_blocking(move || look_again(&path, &files))
        });
        let patience = if reader.is_overdue { Duration::ZERO } else { PATIENCE };
        let Ok(ended) = timeout(patience, task).await else {
            if !reader.is_overdue {
                let path = self.path.display();
                tracing::error!(%path, "reading the web configuration timed out; the previous one stays in use");
            }
            reader.is_overdue = true;
            return;
        };
        (reader.pending, reader.is_overdue) = (None, false);
        match ended {
            Ok(Some(look)) => self.take_up(look, reader),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "reading the web configuration panicked; this is a bug in the probe");
            }
        }
    }

    fn take_up(&self, look: Look, reader: &mut Reader) {
        reader.files = Arc::new(look.files);
        let usable = look.config.map_err(|error| error.to_string()).and_then(|config| {
            // Otherwise a mistake could send passwords unencrypted.
            match self.known().tls.is_some() && config.tls.is_none() {
                true => Err(format!("{}: TLS cannot be disabled without a restart", self.path.display())),
                false => Ok(config),
            }
        });
        match usable {
            Ok(config) => {
                reader.fault = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(path = %self.path.display(), "web configuration reloaded");
            }
            Err(error) => {
                tracing::error!(error, "the web configuration is invalid; the previous one stays in use");
                reader.fault = Some(error);
            }
        }
        (self.on_change)(reader.fault.is_none());
    }
}

/// `None` if nothing has changed.
fn look_again(path: &Path, before: &Files) -> Option<Look> {
    if before.are_unchanged() {
        return None;
    }
    let mut files = Files::default();
    let config = schema::read(path, &mut files);
    Some(Look { files, config })
}
