//! `serve`: sweep again and again, and show what is known.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::listen::listen;
use super::signals::{Asked, Signals};
use super::{CommandError, Exit, configuration, sharding, storage};
use crate::cli::arguments::{RegistriesArgs, ServeArgs};
use crate::config::shard::Shard;
use crate::service::schedule::{NotStarted, Schedule};
use crate::service::sweep_thread::SweepThread;
use crate::state::{ConfigPart, State};
use crate::web::config::LiveWebConfig;
use crate::web::{self, Control, Guard, SweepRefused, Web};

/// Serves until SIGTERM or SIGINT.
pub async fn run(args: ServeArgs) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen().map_err(CommandError::Runtime)?;
    let shard = sharding::shard(&args.shard)?;
    let config = configuration::load(&args.registries, shard)?;
    let external_url = args.external_url.as_deref().filter(|text| !text.is_empty()).map(external_url).transpose()?;
    let state = Arc::new(storage::state(&args.storage, &config, shard)?);
    // An empty path or URL is none, as in Prometheus: templates write them.
    let web_config_file = args.web_config_file.as_deref().filter(|path| !path.as_os_str().is_empty());
    let guard = web_config_file.map(|path| guard(path, &state)).transpose()?;
    let listeners = listen(&args.listen_addresses).await?;
    let thread = SweepThread::start().map_err(CommandError::Runtime)?;
    let schedule = Schedule::start(Arc::clone(&state), &config, thread.handle())?;
    state.reloaded(ConfigPart::Probe, true, SystemTime::now());
    let service = Arc::new(Service {
        schedule,
        registries: args.registries,
        shard,
        guard: guard.clone(),
        state: Arc::clone(&state),
    });
    let lifecycle = args.enable_lifecycle.then(|| Arc::clone(&service) as Arc<dyn Control>);
    let shutdown = CancellationToken::new();
    let app = Web { state, lifecycle, external_url }.into_router();
    let server = tokio::spawn(web::serve_guarded(listeners, app, web::Limits::default(), guard, shutdown.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), registries = config.registries.len(), "serving");
    loop {
        match signals.next().await {
            Asked::End => break,
            Asked::Reload => drop(service.reload().await),
        }
    }
    tracing::info!("ending");
    shutdown.cancel();
    service.schedule.end();
    // The server bounds its own end; a panic in it has been told by the runtime.
    let _ = server.await;
    service.state.close().await;
    Ok(Exit::Success)
}

/// Reads the web configuration, and tells what it means.
fn guard(path: &Path, state: &Arc<State>) -> Result<Arc<Guard>, CommandError> {
    let state = Arc::clone(state);
    let told = move |is_valid| state.reloaded(ConfigPart::Web, is_valid, SystemTime::now());
    let config = LiveWebConfig::load(path)?.telling(told);
    let now = config.known();
    tracing::info!(tls = now.tls.is_some(), users = now.users.len(), path = %path.display(), "web configuration read");
    if now.tls.is_none() && !now.users.is_empty() {
        tracing::warn!("passwords go over the network in the clear; set tls_server_config, or have a proxy speak TLS");
    }
    let guard = Guard::new(config).map_err(|why| CommandError::Runtime(io::Error::other(why)))?;
    Ok(Arc::new(guard))
}

fn external_url(text: &str) -> Result<Url, CommandError> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        CommandError::Flag {
            flag: "--web.external-url",
            fault: format!("{text:?} is no URL of scheme http or https, such as https://probe.example.com/registries/"),
        }
    })
}

/// What can be asked of the running service.
struct Service {
    schedule: Schedule,
    registries: RegistriesArgs,
    shard: Option<Shard>,
    guard: Option<Arc<Guard>>,
    state: Arc<State>,
}

impl Service {
    /// Both files are read, and nothing is taken up unless both can be.
    async fn take_up(&self) -> Result<(), String> {
        let config = configuration::load(&self.registries, self.shard).map_err(|error| error.to_string());
        let web_config = match &self.guard {
            Some(guard) => guard.config.check().await,
            None => Ok(()),
        };
        match (config, web_config) {
            (Ok(config), Ok(())) => self.schedule.apply(&config).map_err(|error| error.to_string()),
            (Ok(_), Err(error)) | (Err(error), Ok(())) => Err(error),
            (Err(error), Err(of_web)) => Err(format!("{error}\n{of_web}")),
        }
    }
}

impl Control for Service {
    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            let result = self.take_up().await;
            self.state.reloaded(ConfigPart::Probe, result.is_ok(), SystemTime::now());
            match &result {
                Ok(()) => tracing::info!("configuration reloaded"),
                Err(error) => {
                    tracing::error!(error, "the configuration could not be reloaded; the old one stays in use")
                }
            }
            result
        }
        .boxed()
    }

    fn sweep(&self, registry: &str) -> Result<(), SweepRefused> {
        self.schedule.sweep_now(registry).map_err(|error| match error {
            NotStarted::UnknownRegistry => SweepRefused::UnknownRegistry,
            NotStarted::AlreadySweeping => SweepRefused::AlreadySweeping,
        })
    }
}
