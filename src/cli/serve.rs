//! `serve`: sweeps at regular intervals and serves the results.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::listen::listen;
use super::signals::{SignalAction, Signals};
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
    // As in Prometheus, an empty path or URL means unset, because templates generate them.
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
            SignalAction::Shutdown => break,
            SignalAction::Reload => drop(service.reload().await),
        }
    }
    tracing::info!("shutting down");
    shutdown.cancel();
    service.schedule.end();
    // The server limits its own shutdown; the runtime has logged a panic.
    let _ = server.await;
    service.state.close().await;
    Ok(Exit::Success)
}

/// Loads the web configuration and logs its effect.
fn guard(path: &Path, state: &Arc<State>) -> Result<Arc<Guard>, CommandError> {
    let state = Arc::clone(state);
    let on_reload = move |is_valid| state.reloaded(ConfigPart::Web, is_valid, SystemTime::now());
    let config = LiveWebConfig::load(path)?.on_reload(on_reload);
    let now = config.known();
    tracing::info!(tls = now.tls.is_some(), users = now.users.len(), path = %path.display(), "web configuration loaded");
    if now.tls.is_none() && !now.users.is_empty() {
        tracing::warn!("passwords are sent unencrypted; set tls_server_config or use a TLS proxy");
    }
    let guard = Guard::new(config).map_err(|why| CommandError::Runtime(io::Error::other(why)))?;
    Ok(Arc::new(guard))
}

fn external_url(text: &str) -> Result<Url, CommandError> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        CommandError::Flag {
            flag: "--web.external-url",
            fault: format!("{text:?} is not an http or https URL, such as https://probe.example.com/registries/"),
        }
    })
}

/// The running service.
struct Service {
    schedule: Schedule,
    registries: RegistriesArgs,
    shard: Option<Shard>,
    guard: Option<Arc<Guard>>,
    state: Arc<State>,
}

impl Service {
    /// Applies both configuration files, or neither if one is invalid.
    async fn apply_configuration(&self) -> Result<(), String> {
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
            let result = self.apply_configuration().await;
            self.state.reloaded(ConfigPart::Probe, result.is_ok(), SystemTime::now());
            match &result {
                Ok(()) => tracing::info!("configuration reloaded"),
                Err(error) => {
                    tracing::error!(error, "configuration reload failed; the old configuration stays in use")
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
