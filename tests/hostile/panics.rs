//! A defect of the probe itself ends as an unverified, and the sweep goes on.

use std::sync::Arc;

use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::Image;
use registry_integrity_probe::registry::{Answer, HttpRegistry, List, Listing, Question, Registry, Traffic, Trouble};
use registry_integrity_probe::report::{Cause, Outcome};
use registry_integrity_probe::sweep::{Job, sweep};

use super::{app, registry_with};
use crate::sweeping::Sweeping;

/// Panics at every question about `app`.
struct Defective(HttpRegistry);

impl Registry for Defective {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        assert_ne!(&*question.repository, "app", "a defect");
        self.0.ask(question).await
    }

    async fn list(&self, list: &List) -> Listing {
        self.0.list(list).await
    }
}

#[tokio::test]
async fn a_panic_is_an_unverified_of_its_repository_and_clears_no_failure() {
    let registry = registry_with(&app()).await;
    registry.push("other:1", &Image::manifest().named("other"));
    registry.remove_blob("app", &app().layers().next().unwrap().digest);
    let known = Sweeping::of(&registry).sweep().await.failures;
    assert_eq!(known.len(), 1);

    let target = Target::with_defaults(registry.url().parse().unwrap());
    let traffic = Arc::new(Traffic::default());
    let client = Defective(HttpRegistry::new(&target, Arc::clone(&traffic)).unwrap());
    let job = Job {
        target: &target,
        proofs: Arc::new(registry_integrity_probe::proofs::Proofs::one_shot(&target.evidence)),
        manifests: Arc::new(registry_integrity_probe::manifests::Manifests::none()),
        hashing: None,
        traffic,
        known: &known,
        progress: Arc::default(),
    };
    let (report, _) = sweep(Arc::new(client), job).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(report.failures, known);
    assert_eq!(report.images.intact, 2);
    let [unverified] = &report.unverified[..] else { panic!("{:?}", report.unverified) };
    assert_eq!((unverified.reference.as_str(), unverified.cause), ("app", Cause::Protocol));
}
