//! Every metric's name, type, labels and help text, each written once, here.

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
    /// True if it tells of the probe's own work, which has the label `shard` where there are shards. What was found in a
    /// registry has not: there the shards add up.
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
    /// Whether the last sweep could read the registry's catalog to its end (1) or not (0). Absent before the first attempt.
    CATALOG_ACCESSIBLE: GAUGE = "registry_integrity_catalog_accessible" ["registry"],
    /// Objects now known bad. One that was proved bad stays until a sweep disproves it.
    FAILURES: GAUGE = "registry_integrity_failures" ["registry", "kind", "reason"],
    /// Objects that the last sweep could not judge: neither intact nor failures.
    UNVERIFIED: GAUGE = "registry_integrity_unverified" ["registry", "cause"],
    /// Images by state, as of the last sweep.
    IMAGES: GAUGE = "registry_integrity_images" ["registry", "state"],
    /// 1 for every image that is now known broken, with the first reason of its failed objects. Absent otherwise.
    IMAGE_BROKEN: GAUGE = "registry_integrity_image_broken" ["registry", "repository", "tag", "reason"],
    /// Broken images without a series in registry_integrity_image_broken, because there are too many.
    IMAGE_BROKEN_OMITTED: GAUGE = "registry_integrity_image_broken_omitted" ["registry"],
    /// 1 for every image that the last sweep could not judge, 100 of a registry at most. Absent otherwise.
    IMAGE_UNVERIFIED: GAUGE = "registry_integrity_image_unverified" ["registry", "repository", "tag"],
    /// Repositories that the last sweep which read the catalog to its end was to look at. Absent before the first.
    REPOSITORIES: GAUGE = "registry_integrity_repositories" ["registry"],
    /// Objects that the last complete sweep checked.
    OBJECTS: GAUGE = "registry_integrity_objects" ["registry", "kind"],
    /// Configs and layers that the last complete sweep found whole, each by what holds of it that proves most: the registry's word (head), its last byte (byte), or its hash (content).
    BLOBS: GAUGE = "registry_integrity_blobs" ["registry", "evidence"],
    /// When the last sweep that reached the catalog ended, in seconds since the epoch. Absent before the first.
    LAST_SWEEP: GAUGE = "registry_integrity_last_sweep_timestamp_seconds" ["registry"] own,
    /// When the last sweep that found everything intact ended, in seconds since the epoch. Absent before the first.
    LAST_SUCCESS: GAUGE = "registry_integrity_last_success_timestamp_seconds" ["registry"] own,
    /// Whether the last sweep that reached the registry checked no image (1) or at least one (0). Absent before the first.
    EMPTY: GAUGE = "registry_integrity_empty" ["registry"],
    /// How long the last sweep took. Absent before the first.
    SWEEP_DURATION: GAUGE = "registry_integrity_sweep_duration_seconds" ["registry"] own,
    /// Configured time between the starts of two sweeps.
    SWEEP_INTERVAL: GAUGE = "registry_integrity_sweep_interval_seconds" ["registry"] own,
    /// Sweeps that ended, by how far they came.
    SWEEPS: COUNTER = "registry_integrity_sweeps_total" ["registry", "outcome"] own,
    /// Objects that the registry served in one response of a sweep and not in another, as a stale replica or cache makes it do; counted once per sweep.
    CONTRADICTIONS: COUNTER = "registry_integrity_contradictions_total" ["registry"],
    /// HTTP exchanges with the registry, by how they ended.
    REQUESTS: COUNTER = "registry_integrity_requests_total" ["registry", "method", "code"] own,
    /// Time from a request to the head of its answer, or to what came instead of one.
    REQUEST_DURATION: HISTOGRAM = "registry_integrity_request_duration_seconds" ["registry", "method"] own,
    /// Bytes of response bodies that were read.
    RECEIVED_BYTES: COUNTER = "registry_integrity_received_bytes_total" ["registry"] own,
    /// Those of them that asked a token service.
    TOKEN_REQUESTS: COUNTER = "registry_integrity_token_requests_total" ["registry", "code"] own,
    /// Requests that may be in flight now: as many as the registry answers without queueing, up to the configured concurrency.
    CONCURRENCY: GAUGE = "registry_integrity_concurrency" ["registry"] own,
    /// 1, with the host and port by which image references name the registry, as its URL says them.
    REGISTRY_INFO: GAUGE = "registry_integrity_registry_info" ["registry", "host"] own,
    /// Whether the configuration, when it was last read, could be taken up (1), or an older one is in use (0).
    CONFIG_RELOADED: GAUGE = "registry_integrity_config_last_reload_successful" [] own,
    /// When a configuration was last taken up, in seconds since the epoch.
    CONFIG_RELOAD_TIME: GAUGE = "registry_integrity_config_last_reload_success_timestamp_seconds" [] own,
    /// Whether the state could be written when that was last tried (1), or what becomes known is lost with this process (0). Absent without --storage.path.
    STORAGE_WRITABLE: GAUGE = "registry_integrity_storage_writable" [] own,
    /// 1, with the version and the source revision that this program was built from.
    BUILD_INFO: GAUGE = "registry_integrity_build_info" ["version", "revision"] own,
}
