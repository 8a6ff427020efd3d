//! The content of the `demo` command: the registry of a small company, including an index with a missing child.

use super::content::{Image, Part};
use super::fault::{Fault, answers, cuts_body_after, on};
use super::registry::Registry;
use crate::oci::Digest;

/// A breakage that [`populate`] planted.
#[derive(Clone, Debug)]
pub struct Breakage {
    /// The image that cannot be pulled, as `repository:tag`.
    pub image: String,
    /// The broken object.
    pub digest: Digest,
    /// A description for users.
    pub symptom: &'static str,
}

/// Fills a registry and returns its breakages.
pub fn populate(registry: &Registry) -> Vec<Breakage> {
    push_intact_images(registry);
    let mut broken = push_orphan_index(registry);
    broken.extend(push_layer_whose_head_lies(registry));
    broken
}

/// Adds an image that is broken while the returned fault is active.
pub fn restless(registry: &Registry) -> (&'static str, Option<Fault>) {
    let image = Image::index().named("nightly").based_on("alpine 3.22").platforms(["linux/amd64", "linux/arm64"]);
    push_under(registry, "nightly", &["latest"], &image);
    let fault = image.configs().next().map(|config| registry.fault(on(&config.digest), answers(404)));
    if let Some(fault) = &fault {
        fault.lift();
    }
    ("nightly:latest", fault)
}

fn push_intact_images(registry: &Registry) {
    let built = |name: &str| Image::index().named(name).based_on("debian 12").with_attestation();
    push_under(registry, "infra-ci", &["91aa03fe", "stable"], &built("infra-ci 91aa03fe"));
    push_under(registry, "infra-ci", &["4be1c2d7"], &built("infra-ci 4be1c2d7"));
    for version in ["2.13.4", "2.14.0"] {
        push_under(registry, "web-frontend", &[version], &built(&format!("web-frontend {version}")).with_layers(4));
    }
    push_under(registry, "web-frontend", &["2.14.1", "latest"], &built("web-frontend 2.14.1").with_layers(4));

    push_under(registry, "api", &["1.8.3"], &built("api 1.8.3"));
    let api = built("api 1.9.0").platforms(["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    push_under(registry, "api", &["1.9.0", "1.9", "latest"], &api);
    push_under(registry, "api", &[&api.signature_tag()], &Image::signature_of(&api));
    push_under(registry, "sboms/api", &["1.9.0"], &Image::artifact("application/spdx+json").named("sbom of api 1.9.0"));
    for version in ["0.4.1", "0.4.2"] {
        push_under(registry, "charts/api", &[version], &Image::helm_chart().named(&format!("chart api {version}")));
    }

    let backup = |name: &str| Image::manifest().named(name).based_on("alpine 3.22").with_layers(3);
    push_under(registry, "postgres-backup", &["17", "latest"], &backup("postgres-backup 17"));
    push_under(registry, "legacy/ldap-sync", &["2019-11"], &backup("ldap-sync").without_media_type());

    let nginx = Image::index().docker().named("nginx 1.27").platforms(["linux/amd64", "linux/arm64", "linux/s390x"]);
    push_under(registry, "mirror/nginx", &["1.27", "stable"], &nginx);
    push_under(registry, "mirror/redis", &["7.4", "latest"], &Image::manifest().docker().named("redis 7.4"));
    let foreign = Image::manifest()
        .named("dotnet runtime")
        .platforms(["windows/amd64"])
        .with_layer_urls(["https://mcr.microsoft.com/v2/windows/nanoserver/blobs/base"]);
    push_under(registry, "mirror/dotnet-runtime", &["9.0-nanoserver"], &foreign);

    let release = Image::index().containing([built("release tools"), backup("release notes")]);
    push_under(registry, "platform/release", &["2026.04", "latest"], &release);
    registry.add_empty_repository("scratch");
}

/// As after garbage collection of the untagged children of an index: the tag answers, but the image cannot be pulled.
fn push_orphan_index(registry: &Registry) -> Vec<Breakage> {
    let image = Image::index().named("infra-ci 5319f03e").based_on("debian 12").with_attestation();
    push_under(registry, "infra-ci", &["5319f03e", "latest"], &image);
    let lost = image.child("linux/amd64").into_iter().chain(image.attestations().take(1));
    lost.map(|child: &Part| {
        registry.remove_manifest("infra-ci", &child.digest);
        Breakage {
            image: "infra-ci:latest".to_string(),
            digest: child.digest.clone(),
            symptom: if child.attestation {
                "the attestation of linux/amd64 answers 404"
            } else {
                "the linux/amd64 child answers 404, while the index answers 200"
            },
        }
    })
    .collect()
}

/// As with a stale blob descriptor cache: HEAD answers 200 with the full length, but the content is gone.
fn push_layer_whose_head_lies(registry: &Registry) -> Option<Breakage> {
    let image = Image::manifest().named("postgres-backup 16").based_on("alpine 3.22").with_layers(3);
    push_under(registry, "postgres-backup", &["16"], &image);
    let layer = image.layers().last()?;
    registry.fault(on(&layer.digest), cuts_body_after(0));
    Some(Breakage {
        image: "postgres-backup:16".to_string(),
        digest: layer.digest.clone(),
        symptom: "HEAD of a layer answers 200 with its full length, and GET brings no byte",
    })
}

fn push_under(registry: &Registry, repository: &str, tags: &[&str], image: &Image) {
    for tag in tags {
        registry.push(&format!("{repository}:{tag}"), image);
    }
}
