//! `demo`: the whole product with nothing installed.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::listen::listen;
use super::signals::{Asked, Signals};
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

/// Between two sweeps of the demonstration: soon enough to watch.
const INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks whether the first sweep has ended.
const LOOK: Duration = Duration::from_millis(100);
/// For as long the restless image is broken for the first time: who looks at the page for ten seconds sees it mended too.
const FIRST_UNREST: Duration = Duration::from_secs(5);
/// For as long it then is whole, and broken, by turns: long enough to look at it.
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
    // Nobody may be reading; the demonstration goes on for whoever opens the page.
    let _ = introduce(&mut io::stdout().lock(), &address, &registry.url(), &broken, changing);
    let unrest = tokio::spawn(break_and_mend(fault, known));
    while signals.next().await == Asked::Reload {}
    unrest.abort();
    shutdown.cancel();
    drop(schedule);
    let _ = server.await;
    Ok(Exit::Success)
}

async fn break_and_mend(fault: Option<Fault>, state: Arc<State>) {
    let Some(fault) = fault else { return };
    // The first sweep sees it whole, so that the page can tell between which sweeps it broke.
    while state.registries().iter().any(|registry| registry.known().last_sweep.is_none()) {
        sleep(LOOK).await;
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
        // Slow enough for its progress to be seen.
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
    writeln!(out, "It lists every tag and answers 200 for it, and yet cannot serve these:\n")?;
    for Breakage { image, digest, symptom } in broken {
        writeln!(out, "  {image}\n    {digest}\n    {symptom}")?;
    }
    let (unrest, seconds) = (UNREST.as_secs(), INTERVAL.as_secs());
    writeln!(out, "\nAnd {changing} loses a config every {} seconds, and heals after {unrest}.", 2 * unrest)?;
    writeln!(out, "\nIt is swept every {seconds} seconds. Open\n")?;
    writeln!(out, "  http://{address}/                     the status page")?;
    writeln!(out, "  http://{address}/metrics              what Prometheus scrapes")?;
    writeln!(out, "  http://{address}/api/v1/findings      what is broken, as JSON")?;
    writeln!(out, "\nand try, on the page,\n")?;
    writeln!(out, "  what happened: {changing} breaks and heals while you watch")?;
    writeln!(out, "  infra-ci:latest, to see its tree and the commands that mend it")?;
    writeln!(out, "  a search for linux/amd64, or for the beginning of a digest")?;
    writeln!(out, "\nor, in another terminal,\n")?;
    writeln!(out, "  curl -s http://{address}/metrics | grep image_broken")?;
    writeln!(out, "  curl -sI {registry}/v2/infra-ci/manifests/latest     answers 200")?;
    writeln!(out, "  registry-integrity-probe sweep --registry {registry}")?;
    writeln!(out, "\nCtrl-C ends it.")?;
    out.flush()
}
