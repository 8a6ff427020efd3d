//! `demo`: the probe with an in-process registry.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::listen::listen;
use super::signals::{SignalAction, Signals};
use super::{CommandError, Exit};
use crate::cli::arguments::DemoArgs;
use crate::config::{ByteEvidence, Config, Confirm, Spread, Target};
use crate::demo::Registry;
use crate::demo::fault::Fault;
use crate::demo::images::{Breakage, populate, restless};
use crate::service::schedule::Schedule;
use crate::service::sweep_thread::SweepThread;
use crate::state::State;
use crate::web::{self, Web};

/// Short enough to watch the sweeps.
const INTERVAL: Duration = Duration::from_secs(2);
/// Poll interval while waiting for the first sweep.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Duration of the first breakage: it is resolved within the first ten seconds.
const FIRST_UNREST: Duration = Duration::from_secs(5);
/// Afterwards the image alternates between intact and broken at this interval.
const UNREST: Duration = Duration::from_secs(12);

/// Serves until SIGTERM or SIGINT.
pub async fn run(args: DemoArgs) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen().map_err(CommandError::Runtime)?;
    let listeners = listen(std::slice::from_ref(&args.listen_address)).await?;
    let address = listeners.first().and_then(|listener| listener.local_addr().ok());
    let address = address.map_or(args.listen_address, |address| address.to_string());
    let registry = Registry::start().await.map_err(CommandError::Runtime)?;
    let broken = populate(&registry);
    let (changing, fault) = restless(&registry);
    let config = config(&registry)?;

    let state = Arc::new(State::new(&config.registries));
    let thread = SweepThread::start().map_err(CommandError::Runtime)?;
    let schedule = Schedule::start(Arc::clone(&state), &config, thread.handle())?;
    let shutdown = CancellationToken::new();
    let known = Arc::clone(&state);
    let app = Web { state, lifecycle: None, external_url: None }.into_router();
    let server = tokio::spawn(web::serve(listeners, app, web::Limits::default(), shutdown.clone()));
    // Standard output may be closed; the demo runs anyway.
    let _ = introduce(&mut io::stdout().lock(), &address, &registry.url(), &broken, changing);
    let unrest = tokio::spawn(break_and_restore(fault, known));
    while signals.next().await == SignalAction::Reload {}
    unrest.abort();
    shutdown.cancel();
    drop(schedule);
    let _ = server.await;
    Ok(Exit::Success)
}

async fn break_and_restore(fault: Option<Fault>, state: Arc<State>) {
    let Some(fault) = fault else { return };
    // The first sweep finds it intact, so that the page can show when it broke.
    while state.registries().iter().any(|registry| registry.known().last_sweep.is_none()) {
        sleep(POLL_INTERVAL).await;
    }
    fault.reinstate();
    sleep(FIRST_UNREST).await;
    loop {
        fault.lift();
        sleep(UNREST).await;
        fault.reinstate();
        sleep(UNREST).await;
    }
}

fn config(registry: &Registry) -> Result<Config, CommandError> {
    let url = registry.url().parse().map_err(|_| CommandError::Runtime(io::ErrorKind::AddrNotAvailable.into()))?;
    let target = Target {
        name: "demo".to_string(),
        interval: INTERVAL,
        // Slow enough to show progress.
        spread: Spread::Over(INTERVAL / 2),
        confirm: Confirm { attempts: 3, delay: Duration::from_millis(100) },
        evidence: crate::config::Evidence {
            byte: ByteEvidence::Within(Duration::ZERO),
            content: None,
            content_budget: None,
        },
        ..Target::with_defaults(url)
    };
    Ok(Config { registries: vec![target] })
}

fn introduce(
    out: &mut impl Write,
    address: &str,
    registry: &str,
    broken: &[Breakage],
    changing: &str,
) -> io::Result<()> {
    writeln!(out, "A registry runs in this process, at {registry}.")?;
    writeln!(out, "It lists every tag and answers 200 for it, but cannot serve these images:\n")?;
    for Breakage { image, digest, symptom } in broken {
        writeln!(out, "  {image}\n    {digest}\n    {symptom}")?;
    }
    let (unrest, seconds) = (UNREST.as_secs(), INTERVAL.as_secs());
    writeln!(out, "\n{changing} loses a config every {} seconds and recovers after {unrest}.", 2 * unrest)?;
    writeln!(out, "\nThe probe checks it every {seconds} seconds. Open\n")?;
    writeln!(out, "  http://{address}/                     status page")?;
    writeln!(out, "  http://{address}/metrics              metrics for Prometheus")?;
    writeln!(out, "  http://{address}/api/v1/findings      failures as JSON")?;
    writeln!(out, "\nand try on the page:\n")?;
    writeln!(out, "  events: {changing} breaks and recovers while you watch")?;
    writeln!(out, "  infra-ci:latest: its tree, and the commands that repair it")?;
    writeln!(out, "  a search for linux/amd64, or for the first digits of a digest")?;
    writeln!(out, "\nor in another terminal:\n")?;
    writeln!(out, "  curl -s http://{address}/metrics | grep image_broken")?;
    writeln!(out, "  curl -sI {registry}/v2/infra-ci/manifests/latest     answers 200")?;
    writeln!(out, "  registry-integrity-probe sweep --registry {registry}")?;
    writeln!(out, "\nPress Ctrl-C to stop.")?;
    out.flush()
}
