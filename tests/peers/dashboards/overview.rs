//! Are all registries whole, since when, what broke, how fresh and how good is what is known?

use serde_json::Value;

use super::build::{CHOSEN, GREEN, Panel, RED, YELLOW, annotation, dashboard};

/// What the rules make of kube-state-metrics' containers: how many use an image, by namespace.
pub const CONTAINERS: &str = "registry_integrity:container_images:count";

/// How many containers of each namespace use an image that is broken. As the alert RegistryImageBrokenInUse, by host,
/// repository and tag; where two configured registries have one host, either is named.
fn broken_in_use() -> String {
    let c = CHOSEN;
    let host =
        format!("topk by (job, registry) (1, max by (job, registry, host) (registry_integrity_registry_info{{{c}}}))");
    let broken = format!(
        "max by (job, registry, repository, tag, reason) (registry_integrity_image_broken{{{c}}}) * on (job, registry) group_left (host) {host}"
    );
    let one =
        format!("topk by (host, repository, tag) (1, max by (registry, host, repository, tag, reason) ({broken}))");
    format!(r#"{CONTAINERS}{{host!=""}} * on (host, repository, tag) group_left (registry, reason) {one}"#)
}

/// `dashboards/registry-integrity-overview.json`
pub fn overview() -> Value {
    let c = CHOSEN;
    let used = broken_in_use();
    let broke = format!("sum by (registry, kind, reason) (delta(registry_integrity_failures{{{c}}}[$__interval])) > 0");
    dashboard(
        "registry-integrity-overview",
        "Registry integrity: overview",
        "State of all registries: broken and unverified images, history and coverage.",
        &[annotation("New failures", &broke, "{{registry}}: {{kind}} {{reason}}", RED)],
        vec![
            (
                "Now",
                vec![
                    Panel::stat("Broken images", "Images with at least one broken object. Any value above 0 means failing pulls.", "short")
                        .query(format!(r#"sum by (registry) (registry_integrity_images{{{c}, state="broken"}})"#), "{{registry}}")
                        .coloured(GREEN, &[(1.0, RED)])
                        .linked("Findings", "${status_page}/api/v1/findings?registry=${__field.labels.registry}"),
                    Panel::stat("Unverified images", "Images that the last sweep could not verify: neither intact nor broken.", "short")
                        .query(format!(r#"sum by (registry) (registry_integrity_images{{{c}, state="unverified"}})"#), "{{registry}}")
                        .coloured(GREEN, &[(1.0, YELLOW)])
                        .linked("Runbook", "${runbooks}/RegistryImageUnverified.md"),
                    Panel::stat("Intact images", "Images whose objects are all intact.", "short")
                        .query(format!(r#"sum by (registry) (registry_integrity_images{{{c}, state="intact"}})"#), "{{registry}}"),
                    Panel::stat("Catalog", "Whether the last sweep could read the complete list of repositories.", "short")
                        .query(format!("min by (registry) (registry_integrity_catalog_accessible{{{c}}})"), "{{registry}}")
                        .worded(&[("0", "cannot be read", RED), ("1", "readable", GREEN)])
                        .coloured(RED, &[(1.0, GREEN)])
                        .sized(3, 6)
                        .linked("Runbook", "${runbooks}/RegistryCatalogInaccessible.md"),
                    Panel::stat("Contents", "Whether the last sweep that reached the registry checked any image; with shards, any of them.", "short")
                        .query(format!("min by (registry) (registry_integrity_empty{{{c}}})"), "{{registry}}")
                        .worded(&[("0", "has images", GREEN), ("1", "EMPTY", RED)])
                        .coloured(GREEN, &[(1.0, RED)])
                        .sized(3, 6)
                        .linked("Runbook", "${runbooks}/RegistryEmpty.md"),
                    Panel::stat("Age of results", "Time since the last sweep that reached the catalog, in intervals; with shards, the oldest. RegistryIntegrityProbeStale fires from 3 intervals.", "short")
                        .query(
                            format!(
                                "max by (registry) ((time() - registry_integrity_last_sweep_timestamp_seconds{{{c}}}) / registry_integrity_sweep_interval_seconds{{{c}}})"
                            ),
                            "{{registry}}",
                        )
                        .coloured(GREEN, &[(2.0, YELLOW), (3.0, RED)])
                        .sized(3, 6)
                        .linked("Runbook", "${runbooks}/RegistryIntegrityProbeStale.md"),
                    Panel::stat("Last success", "When a sweep last found everything intact; with shards, the oldest.", "dateTimeFromNow")
                        .query(
                            format!("1000 * min by (registry) (registry_integrity_last_success_timestamp_seconds{{{c}}})"),
                            "{{registry}}",
                        )
                        .sized(3, 6),
                ],
            ),
            (
                "History",
                vec![
                    Panel::timeline("State over time", "The colour changes when an image breaks, is repaired or becomes unverified. Gaps mean that no sweep ran.")
                        .query(
                            format!(
                                r#"2 * (sum by (registry) (registry_integrity_failures{{{c}}}) > bool 0) + (1 - (sum by (registry) (registry_integrity_failures{{{c}}}) > bool 0)) * (sum by (registry) (registry_integrity_unverified{{{c}}}) > bool 0)"#
                            ),
                            "{{registry}}",
                        )
                        .worded(&[("0", "intact", GREEN), ("1", "unverified", YELLOW), ("2", "broken", RED)])
                        .coloured(GREEN, &[(1.0, YELLOW), (2.0, RED)])
                        .sized(24, 6),
                ],
            ),
            (
                "Images in use",
                vec![
                    Panel::stat("Broken images in use", "Broken images that containers in Kubernetes use: their next pull fails. Needs kube-state-metrics and this project's recording rules in the same Prometheus; without them there is no data.", "short")
                        .query(
                            format!(
                                r#"count by (registry) (max by (registry, host, repository, tag) ({used})) or (0 * max by (registry) (registry_integrity_images{{{c}}}) and on () count({CONTAINERS}))"#
                            ),
                            "{{registry}}",
                        )
                        .coloured(GREEN, &[(1.0, RED)])
                        .sized(6, 8)
                        .linked("Runbook", "${runbooks}/RegistryImageBrokenInUse.md"),
                    Panel::table("Workloads with broken images", "Each broken image in use, by namespace. Do not restart, drain or scale these workloads until the image is fixed.")
                        .query(used.clone(), "")
                        .counted("containers")
                        .sized(18, 8)
                        .linked("Runbook", "${runbooks}/RegistryImageBrokenInUse.md"),
                ],
            ),
            (
                "Details",
                vec![
                    Panel::table("List of broken images", "Each broken image, with the first reason of its failures; at most 1000 per registry.")
                        .query(
                            format!("max by (registry, repository, tag, reason) (registry_integrity_image_broken{{{c}}})"),
                            "",
                        )
                        .linked("Runbook", "${runbooks}/RegistryManifestIntegrityFailure.md"),
                    Panel::table("List of unverified images", "Each image that the last sweep could not verify; at most 100 per registry.")
                        .query(format!("max by (registry, repository, tag) (registry_integrity_image_unverified{{{c}}})"), "")
                        .linked("Runbook", "${runbooks}/RegistryImageUnverified.md"),
                    Panel::lines("Broken objects", "Number of broken objects, by kind and reason.", "short")
                        .query(
                            format!("sum by (registry, kind, reason) (registry_integrity_failures{{{c}}}) > 0"),
                            "{{registry}}: {{kind}} {{reason}}",
                        )
                        .query(
                            format!("sum by (registry) (registry_integrity_image_broken_omitted{{{c}}}) > 0"),
                            "{{registry}}: images not listed",
                        ),
                    Panel::lines("Unverified objects", "Number of objects that the last sweep could not verify, by cause.", "short").query(
                        format!("sum by (registry, cause) (registry_integrity_unverified{{{c}}})"),
                        "{{registry}}: {{cause}}",
                    ),
                ],
            ),
            (
                "Coverage",
                vec![
                    Panel::bars("Intact blobs by evidence", "Intact configs and layers by strongest evidence: HEAD only (head), last byte read (byte), fully hashed (content).", "short")
                        .query(format!("sum by (registry, evidence) (registry_integrity_blobs{{{c}}})"), "{{registry}}: {{evidence}}"),
                    Panel::lines("Blobs verified by bytes", "Fraction of the blobs whose last byte, at least, was read within its period.", "percentunit")
                        .query(
                            format!(
                                r#"sum by (registry) (registry_integrity_blobs{{{c}, evidence=~"byte|content"}}) / sum by (registry) (registry_integrity_blobs{{{c}}})"#
                            ),
                            "{{registry}}",
                        )
                        .sized(8, 8),
                    Panel::lines("Objects and repositories", "Objects checked by the last complete sweep, by kind, and repositories in the catalog.", "short")
                        .query(format!("sum by (registry, kind) (registry_integrity_objects{{{c}}})"), "{{registry}}: {{kind}}")
                        .query(format!("sum by (registry) (registry_integrity_repositories{{{c}}})"), "{{registry}}: repositories")
                        .sized(8, 8),
                ],
            ),
        ],
    )
}
