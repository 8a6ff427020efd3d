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
        "Whether every registry can serve what it lists.",
        &[annotation("New failures", &broke, "{{registry}}: {{kind}} {{reason}}", RED)],
        vec![
            (
                "Now",
                vec![
                    Panel::stat("Broken images", "Images of which an object was proved bad. Anything but 0 fails pulls.", "short")
                        .query(format!(r#"sum by (registry) (registry_integrity_images{{{c}, state="broken"}})"#), "{{registry}}")
                        .coloured(GREEN, &[(1.0, RED)])
                        .linked("Findings", "${status_page}/api/v1/findings?registry=${__field.labels.registry}"),
                    Panel::stat("Unverified images", "Images that the last sweep could not judge: neither intact nor broken.", "short")
                        .query(format!(r#"sum by (registry) (registry_integrity_images{{{c}, state="unverified"}})"#), "{{registry}}")
                        .coloured(GREEN, &[(1.0, YELLOW)])
                        .linked("What to do", "${runbooks}/RegistryImageUnverified.md"),
                    Panel::stat("Intact images", "Images of which everything was proved to be there.", "short")
                        .query(format!(r#"sum by (registry) (registry_integrity_images{{{c}, state="intact"}})"#), "{{registry}}"),
                    Panel::stat("Catalog", "Whether the last sweep could read the list of repositories to its end.", "short")
                        .query(format!("min by (registry) (registry_integrity_catalog_accessible{{{c}}})"), "{{registry}}")
                        .worded(&[("0", "cannot be read", RED), ("1", "readable", GREEN)])
                        .coloured(RED, &[(1.0, GREEN)])
                        .linked("What to do", "${runbooks}/RegistryCatalogInaccessible.md"),
                    Panel::stat("Age of what is known", "How long ago the last sweep ended that reached the catalog, in intervals; of shards, the oldest. From 3 on RegistryIntegrityProbeStale fires.", "short")
                        .query(
                            format!(
                                "max by (registry) ((time() - registry_integrity_last_sweep_timestamp_seconds{{{c}}}) / registry_integrity_sweep_interval_seconds{{{c}}})"
                            ),
                            "{{registry}}",
                        )
                        .coloured(GREEN, &[(2.0, YELLOW), (3.0, RED)])
                        .linked("What to do", "${runbooks}/RegistryIntegrityProbeStale.md"),
                    Panel::stat("Last found whole", "When a sweep last found everything intact; of shards, the one that did so longest ago.", "dateTimeFromNow")
                        .query(
                            format!("1000 * min by (registry) (registry_integrity_last_success_timestamp_seconds{{{c}}})"),
                            "{{registry}}",
                        ),
                ],
            ),
            (
                "Since when",
                vec![
                    Panel::timeline("Whole or not", "Where the colour changes, something broke or was mended, or could not be judged. Gaps: nobody looked.")
                        .query(
                            format!(
                                r#"2 * (sum by (registry) (registry_integrity_failures{{{c}}}) > bool 0) + (1 - (sum by (registry) (registry_integrity_failures{{{c}}}) > bool 0)) * (sum by (registry) (registry_integrity_unverified{{{c}}}) > bool 0)"#
                            ),
                            "{{registry}}",
                        )
                        .worded(&[("0", "whole", GREEN), ("1", "not all judged", YELLOW), ("2", "broken", RED)])
                        .coloured(GREEN, &[(1.0, YELLOW), (2.0, RED)])
                        .sized(24, 6),
                ],
            ),
            (
                "What hurts first",
                vec![
                    Panel::stat("Broken images in use", "Broken images that containers of a Kubernetes cluster use: their next pull fails. Needs kube-state-metrics and the recording rules of this project in the same Prometheus; no data means that nobody knows.", "short")
                        .query(
                            format!(
                                r#"count by (registry) (max by (registry, host, repository, tag) ({used})) or (0 * max by (registry) (registry_integrity_images{{{c}}}) and on () count({CONTAINERS}))"#
                            ),
                            "{{registry}}",
                        )
                        .coloured(GREEN, &[(1.0, RED)])
                        .sized(6, 8)
                        .linked("What to do", "${runbooks}/RegistryImageBrokenInUse.md"),
                    Panel::table("Who uses what is broken", "Each broken image that containers use, by namespace: do not restart, drain or scale these before it is mended.")
                        .query(used.clone(), "")
                        .counted("containers")
                        .sized(18, 8)
                        .linked("What to do", "${runbooks}/RegistryImageBrokenInUse.md"),
                ],
            ),
            (
                "What",
                vec![
                    Panel::table("Images that are broken", "Each image that is broken now, with the first reason of its failed objects; 1000 of a registry at most.")
                        .query(
                            format!("max by (registry, repository, tag, reason) (registry_integrity_image_broken{{{c}}})"),
                            "",
                        )
                        .linked("What to do", "${runbooks}/RegistryManifestIntegrityFailure.md"),
                    Panel::table("Images that could not be judged", "Each image that the last sweep could not judge; 100 of a registry at most.")
                        .query(format!("max by (registry, repository, tag) (registry_integrity_image_unverified{{{c}}})"), "")
                        .linked("What to do", "${runbooks}/RegistryImageUnverified.md"),
                    Panel::lines("Failed objects", "Objects known bad, by what they are and what is wrong with them.", "short")
                        .query(
                            format!("sum by (registry, kind, reason) (registry_integrity_failures{{{c}}}) > 0"),
                            "{{registry}}: {{kind}} {{reason}}",
                        )
                        .query(
                            format!("sum by (registry) (registry_integrity_image_broken_omitted{{{c}}}) > 0"),
                            "{{registry}}: images beyond the table",
                        ),
                    Panel::lines("Objects that could not be judged", "By what stood in the way.", "short").query(
                        format!("sum by (registry, cause) (registry_integrity_unverified{{{c}}})"),
                        "{{registry}}: {{cause}}",
                    ),
                ],
            ),
            (
                "How much, and how well proved",
                vec![
                    Panel::bars("Proofs of configs and layers", "What holds of each blob that proves most: the registry's word (head), its last byte (byte), its hash (content).", "short")
                        .query(format!("sum by (registry, evidence) (registry_integrity_blobs{{{c}}})"), "{{registry}}: {{evidence}}"),
                    Panel::lines("Proved by bytes", "The part of the blobs of which at least the last byte was read within its period.", "percentunit")
                        .query(
                            format!(
                                r#"sum by (registry) (registry_integrity_blobs{{{c}, evidence=~"byte|content"}}) / sum by (registry) (registry_integrity_blobs{{{c}}})"#
                            ),
                            "{{registry}}",
                        )
                        .sized(8, 8),
                    Panel::lines("Objects and repositories", "Objects that the last complete sweep checked, by kind, and repositories that the catalog named.", "short")
                        .query(format!("sum by (registry, kind) (registry_integrity_objects{{{c}}})"), "{{registry}}: {{kind}}")
                        .query(format!("sum by (registry) (registry_integrity_repositories{{{c}}})"), "{{registry}}: repositories")
                        .sized(8, 8),
                ],
            ),
        ],
    )
}
