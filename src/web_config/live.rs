//! The configuration as its files are now, or as they last were when they were valid.

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
#[derive(Debug)]
pub struct LiveWebConfig {
    path: PathBuf,
    current: RwLock<Arc<WebConfig>>,
    reader: Mutex<Reader>,
}

#[derive(Debug)]
struct Reader {
    /// What was last read, also if it was of no use.
    files: Arc<Files>,
    /// Why it was of no use.
    fault: Option<String>,
    /// A look at the files that has not ended in time. There is never a second one beside it.
    pending: Option<JoinHandle<Option<Look>>>,
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
            reader: Mutex::new(Reader { files: Arc::new(files), fault: None, pending: None }),
        })
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
        reader.fault.clone().map_or(Ok(()), Err)
    }

    async fn look(&self, reader: &mut Reader) {
        let is_overdue = reader.pending.is_some();
        let mut task = reader.pending.take().unwrap_or_else(|| {
            let (path, files) = (self.path.clone(), Arc::clone(&reader.files));
            spawn_blocking(move || look_again(&path, &files))
        });
        match timeout(if is_overdue { Duration::ZERO } else { PATIENCE }, &mut task).await {
            Ok(Ok(Some(look))) => self.take_up(look, reader),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "reading the web configuration failed; this is a defect of the probe");
            }
            Err(_) => {
                if !is_overdue {
                    let path = self.path.display();
                    tracing::error!(%path, "the web configuration cannot be read in time; the last good one stays in use");
                }
                reader.pending = Some(task);
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
