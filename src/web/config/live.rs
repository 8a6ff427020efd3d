//! The configuration as its files are now, or as they last were when they were valid.

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

/// How long a connection waits for files that do not come, as on a network's file system that hangs. What was read last
/// holds until they do.
const PATIENCE: Duration = Duration::from_secs(2);

/// A web configuration that follows its files.
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
    /// What was last read, also if it was of no use.
    files: Arc<Files>,
    /// Why it was of no use.
    fault: Option<String>,
    /// A look at the files that has not ended. There is never a second one beside it, also if who asked for it has gone
    /// away: on a file system that hangs, each would hold a thread.
    pending: Option<JoinHandle<Option<Look>>>,
    /// True if that look has not ended in time.
    is_overdue: bool,
}

/// What changed files say.
#[derive(Debug)]
struct Look {
    files: Files,
    config: Result<WebConfig, ConfigError>,
}

impl LiveWebConfig {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong in it and in the files that it names.
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

    /// Tells whenever changed files were read whether they could be taken up.
    pub fn telling(self, on_change: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self { on_change: Box::new(on_change), ..self }
    }

    /// What holds now. Files that changed are read again, and those that became invalid change nothing but the log.
    pub async fn current(&self) -> Arc<WebConfig> {
        let mut reader = self.reader.lock().await;
        self.look(&mut reader).await;
        self.known()
    }

    /// What held when it was last looked at.
    pub fn known(&self) -> Arc<WebConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks now.
    ///
    /// # Errors
    ///
    /// Why the files cannot be taken up as they are; what was valid last stays in use.
    pub async fn check(&self) -> Result<(), String> {
        let mut reader = self.reader.lock().await;
        self.look(&mut reader).await;
        if reader.is_overdue {
            return Err(format!("{}: cannot be read in time", self.path.display()));
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
                tracing::error!(%path, "the web configuration cannot be read in time; the last good one stays in use");
            }
            reader.is_overdue = true;
            return;
        };
        (reader.pending, reader.is_overdue) = (None, false);
        match ended {
            Ok(Some(look)) => self.take_up(look, reader),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "reading the web configuration failed; this is a defect of the probe");
            }
        }
    }

    fn take_up(&self, look: Look, reader: &mut Reader) {
        reader.files = Arc::new(look.files);
        let usable = look.config.map_err(|error| error.to_string()).and_then(|config| {
            // By a slip, passwords would go over the network in the clear.
            match self.known().tls.is_some() && config.tls.is_none() {
                true => Err(format!("{}: TLS cannot be switched off without a restart", self.path.display())),
                false => Ok(config),
            }
        });
        match usable {
            Ok(config) => {
                reader.fault = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(path = %self.path.display(), "the web configuration was read again");
            }
            Err(error) => {
                tracing::error!(error, "the web configuration is invalid; the last good one stays in use");
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
