//! Name, type, labels and help text of every metric.

use prometheus::proto::MetricType;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// Its help text.
    pub help: &'static str,
    /// True if it describes the probe's own work and has the label `shard` in a sharded setup. Results of checks do not
    /// have it, so that they add up over the shards.
    pub is_own: bool,
}

macro_rules! families {
    ($($(#[doc = $help:literal])+ $family:ident: $kind:ident = $name:literal [$($label:literal),*] $($own:ident)?,)+) => {
        $(
            $(#[doc = $help])+
            pub(super) const $family: Family = Family {
                name: $name,
                kind: MetricType::$kind,
                labels: &[$($label),*],
                help: concat!($($help),+).trim_ascii_start(),
                is_own: !stringify!($($own)?).is_empty(),
            };
        )+

        /// All of them, in the order of the documentation.
        pub const FAMILIES: &[Family] = &[$($family),+];
    };
}

families! {
    /// Whether the last sweep read the registry's catalog completely.
    CATALOG_ACCESSIBLE: GAUGE = "registry_integrity_catalog_accessible" ["registry"],
    /// Number of objects that failed verification, by kind and reason. A failure stays open until a sweep finds the object intact.
    FAILURES: GAUGE = "registry_integrity_failures" ["registry", "kind", "reason"],
    /// Number of objects that the last sweep could not verify, by cause. They are neither intact nor broken.
    UNVERIFIED: GAUGE = "registry_integrity_unverified" ["registry", "cause"],
    /// Number of images by state, as of the last sweep.
    IMAGES: GAUGE = "registry_integrity_images" ["registry", "state"],
    /// Broken images, with the most severe reason of their broken objects. Always 1; the series disappears when the image is intact again.
    IMAGE_BROKEN: GAUGE = "registry_integrity_image_broken" ["registry", "repository", "tag", "reason"],
    /// Number of broken images beyond the series limit of registry_integrity_image_broken.
    IMAGE_BROKEN_OMITTED: GAUGE = "registry_integrity_image_broken_omitted" ["registry"],
    /// Images that the last sweep could not verify, at most 100 per registry. Always 1.
    IMAGE_UNVERIFIED: GAUGE = "registry_integrity_image_unverified" ["registry", "repository", "tag"],
    /// Number of repositories listed by the catalog in the last sweep that read all of it.
    REPOSITORIES: GAUGE = "registry_integrity_repositories" ["registry"],
    /// Number of objects checked by the last complete sweep, by kind.
    OBJECTS: GAUGE = "registry_integrity_objects" ["registry", "kind"],
    /// Number of intact configs and layers in the last complete sweep, by strongest evidence: length only (head), last byte (byte) or hash of the full content (content).
    BLOBS: GAUGE = "registry_integrity_blobs" ["registry", "evidence"],
    /// Unix time at which the last sweep that reached the catalog finished.
    LAST_SWEEP: GAUGE = "registry_integrity_last_sweep_timestamp_seconds" ["registry"] own,
    /// Unix time at which the last sweep that found everything intact finished.
    LAST_SUCCESS: GAUGE = "registry_integrity_last_success_timestamp_seconds" ["registry"] own,
    /// Whether the last sweep that reached the registry found no image to check.
    EMPTY: GAUGE = "registry_integrity_empty" ["registry"],
    /// Duration of the last sweep.
    SWEEP_DURATION: GAUGE = "registry_integrity_sweep_duration_seconds" ["registry"] own,
    /// Configured interval between the starts of two sweeps.
    SWEEP_INTERVAL: GAUGE = "registry_integrity_sweep_interval_seconds" ["registry"] own,
    /// Number of finished sweeps, by outcome.
    SWEEPS: COUNTER = "registry_integrity_sweeps_total" ["registry", "outcome"] own,
    /// Number of objects that the registry served in one response of a sweep but not in another, as with a stale replica or cache. Each object counts once per sweep.
    CONTRADICTIONS: COUNTER = "registry_integrity_contradictions_total" ["registry"],
    /// Number of HTTP requests to the registry, by method and result.
    REQUESTS: COUNTER = "registry_integrity_requests_total" ["registry", "method", "code"] own,
    /// Time from sending a request until response headers or an error.
    REQUEST_DURATION: HISTOGRAM = "registry_integrity_request_duration_seconds" ["registry", "method"] own,
    /// Number of bytes read from response bodies.
    RECEIVED_BYTES: COUNTER = "registry_integrity_received_bytes_total" ["registry"] own,
    /// Number of requests to token services, by result.
    TOKEN_REQUESTS: COUNTER = "registry_integrity_token_requests_total" ["registry", "code"] own,
    /// Current limit of concurrent requests, adapted to the registry's load.
    CONCURRENCY: GAUGE = "registry_integrity_concurrency" ["registry"] own,
    /// Host and port of the registry as they appear in image references. Always 1.
    REGISTRY_INFO: GAUGE = "registry_integrity_registry_info" ["registry", "host"] own,
    /// Whether the last configuration reload succeeded.
    CONFIG_RELOADED: GAUGE = "registry_integrity_config_last_reload_successful" [] own,
    /// Unix time of the last successful configuration reload.
    CONFIG_RELOAD_TIME: GAUGE = "registry_integrity_config_last_reload_success_timestamp_seconds" [] own,
    /// Whether the last write to --storage.path succeeded (1). If 0, new results would be lost on restart.
    STORAGE_WRITABLE: GAUGE = "registry_integrity_storage_writable" [] own,
    /// Version and source revision of this program. Always 1.
    BUILD_INFO: GAUGE = "registry_integrity_build_info" ["version", "revision"] own,
}
