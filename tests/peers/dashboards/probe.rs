//! What the probe does, and what that costs the registry.

use serde_json::Value;

use super::build::{CHOSEN, CHOSEN_JOB, GREEN, Panel, RED, YELLOW, annotation, dashboard};

/// `dashboards/registry-integrity-probe.json`
pub fn probe() -> Value {
    let (c, j) = (CHOSEN, CHOSEN_JOB);
    let quantile = |q: &str| {
        format!(
            "histogram_quantile({q}, sum by (registry, method, le) (rate(registry_integrity_request_duration_seconds_bucket{{{c}}}[$__rate_interval])))"
        )
    };
    let restarted = format!("changes(process_start_time_seconds{{{j}}}[$__interval]) > 0");
    dashboard(
        "registry-integrity-probe",
        "Registry integrity: the probe",
        "Requests of the probe, their results, and the resources it uses.",
        &[annotation("Restarts", &restarted, "{{instance}} restarted", YELLOW)],
        vec![
            (
                "Sweeps",
                vec![
                    Panel::lines("Sweep duration, in intervals", "Duration of the last sweep. RegistryProbeSlow fires above 1 interval.", "percentunit")
                        .query(
                            format!("registry_integrity_sweep_duration_seconds{{{c}}} / registry_integrity_sweep_interval_seconds{{{c}}}"),
                            "{{registry}} {{shard}}",
                        )
                        .coloured(GREEN, &[(0.8, YELLOW), (1.0, RED)])
                        .linked("Runbook", "${runbooks}/RegistryProbeSlow.md"),
                    Panel::lines("Sweep duration", "Duration of the last sweep.", "s")
                        .query(format!("registry_integrity_sweep_duration_seconds{{{c}}}"), "{{registry}} {{shard}}"),
                    Panel::lines("Finished sweeps", "By outcome: complete, partial (some objects unverified), failed (the catalog could not be read completely).", "short")
                        .query(
                            format!("sum by (registry, outcome) (increase(registry_integrity_sweeps_total{{{c}}}[$__rate_interval]))"),
                            "{{registry}}: {{outcome}}",
                        ),
                    Panel::lines("Time since the last sweep", "Time since the end of the last sweep that reached the catalog.", "s")
                        .query(
                            format!("time() - registry_integrity_last_sweep_timestamp_seconds{{{c}}}"),
                            "{{registry}} {{shard}}",
                        )
                        .linked("Runbook", "${runbooks}/RegistryIntegrityProbeStale.md"),
                ],
            ),
            (
                "Requests",
                vec![
                    Panel::lines("Requests", "Requests by method and result.", "reqps").query(
                        format!("sum by (registry, method, code) (rate(registry_integrity_requests_total{{{c}}}[$__rate_interval])) > 0"),
                        "{{registry}}: {{method}} {{code}}",
                    ),
                    Panel::lines("Latency", "Time from sending a request until response headers or an error.", "s")
                        .query(quantile("0.5"), "{{registry}}: {{method}} median")
                        .query(quantile("0.99"), "{{registry}}: {{method}} 99th percentile"),
                    Panel::lines("Concurrency", "Current limit of in-flight requests. It falls when the registry answers 429 or 5xx, or queues requests (backoff).", "short")
                        .query(format!("registry_integrity_concurrency{{{c}}}"), "{{registry}} {{shard}}"),
                    Panel::lines("Failed requests", "Fraction of the requests that ended with 5xx or without a response.", "percentunit")
                        .query(
                            format!(
                                r#"sum by (registry) (rate(registry_integrity_requests_total{{{c}, code=~"5xx|unreachable|timeout|protocol"}}[$__rate_interval])) / sum by (registry) (rate(registry_integrity_requests_total{{{c}}}[$__rate_interval]))"#
                            ),
                            "{{registry}}",
                        )
                        .coloured(GREEN, &[(0.05, YELLOW), (0.25, RED)]),
                    Panel::lines("Token requests", "Requests to token services, by result.", "reqps").query(
                        format!("sum by (registry, code) (rate(registry_integrity_token_requests_total{{{c}}}[$__rate_interval])) > 0"),
                        "{{registry}}: {{code}}",
                    ),
                    Panel::lines("Contradictions", "Objects that the registry served in one response of a sweep and not in another: a stale replica or cache.", "short").query(
                        format!("sum by (registry) (increase(registry_integrity_contradictions_total{{{c}}}[$__rate_interval]))"),
                        "{{registry}}",
                    ),
                    Panel::lines("Received", "Bytes of response bodies.", "Bps").query(
                        format!("sum by (registry) (rate(registry_integrity_received_bytes_total{{{c}}}[$__rate_interval]))"),
                        "{{registry}}",
                    ),
                ],
            ),
            (
                "The process",
                vec![
                    Panel::lines("Memory", "Resident memory of the process.", "bytes")
                        .query(format!("process_resident_memory_bytes{{{j}}}"), "{{instance}}")
                        .sized(8, 8),
                    Panel::lines("CPU", "CPU cores in use.", "short")
                        .query(format!("rate(process_cpu_seconds_total{{{j}}}[$__rate_interval])"), "{{instance}}")
                        .sized(8, 8),
                    Panel::lines("Open files", "Open file descriptors, including connections.", "short")
                        .query(format!("process_open_fds{{{j}}}"), "{{instance}} open")
                        .query(format!("process_max_fds{{{j}}}"), "{{instance}} limit")
                        .sized(8, 8),
                    Panel::stat("Configuration", "Whether the last configuration reload succeeded.", "short")
                        .query(
                            format!("min by (instance, shard) (registry_integrity_config_last_reload_successful{{{j}}})"),
                            "{{instance}} {{shard}}",
                        )
                        .worded(&[("0", "reload failed", RED), ("1", "current", GREEN)])
                        .coloured(RED, &[(1.0, GREEN)]),
                    Panel::stat("Last configuration reload", "Time of the last successful configuration reload.", "dateTimeFromNow").query(
                        format!("1000 * max by (instance, shard) (registry_integrity_config_last_reload_success_timestamp_seconds{{{j}}})"),
                        "{{instance}} {{shard}}",
                    ),
                    Panel::stat("State", "Whether the last write to --storage.path succeeded. No data without the flag.", "short")
                        .query(
                            format!("min by (instance, shard) (registry_integrity_storage_writable{{{j}}})"),
                            "{{instance}} {{shard}}",
                        )
                        .worded(&[("0", "not writable", RED), ("1", "writable", GREEN)])
                        .coloured(RED, &[(1.0, GREEN)]),
                    Panel::table("Versions", "Running versions.")
                        .query(format!("max by (instance, shard, version, revision) (registry_integrity_build_info{{{j}}})"), "")
                        .sized(6, 6),
                    Panel::table("Registries", "Registry names, and the hosts used in image references.")
                        .query(format!("max by (registry, host) (registry_integrity_registry_info{{{c}}})"), "")
                        .sized(6, 6),
                ],
            ),
        ],
    )
}
