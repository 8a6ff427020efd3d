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
        "What the probe asks, how it is answered, and what it takes.",
        &[annotation("Restarts", &restarted, "{{instance}} restarted", YELLOW)],
        vec![
            (
                "Sweeps",
                vec![
                    Panel::lines("Sweep duration, in intervals", "How long the last sweep took; at 1 it takes all of its interval, and RegistryProbeSlow fires beyond.", "percentunit")
                        .query(
                            format!("registry_integrity_sweep_duration_seconds{{{c}}} / registry_integrity_sweep_interval_seconds{{{c}}}"),
                            "{{registry}} {{shard}}",
                        )
                        .coloured(GREEN, &[(0.8, YELLOW), (1.0, RED)])
                        .linked("What to do", "${runbooks}/RegistryProbeSlow.md"),
                    Panel::lines("Sweep duration", "How long the last sweep took.", "s")
                        .query(format!("registry_integrity_sweep_duration_seconds{{{c}}}"), "{{registry}} {{shard}}"),
                    Panel::lines("Sweeps that ended", "By how far they came: complete, partial (not everything judged), failed (the catalog not read to its end).", "short")
                        .query(
                            format!("sum by (registry, outcome) (increase(registry_integrity_sweeps_total{{{c}}}[$__rate_interval]))"),
                            "{{registry}}: {{outcome}}",
                        ),
                    Panel::lines("Seconds since the last sweep", "Since one ended that reached the catalog.", "s")
                        .query(
                            format!("time() - registry_integrity_last_sweep_timestamp_seconds{{{c}}}"),
                            "{{registry}} {{shard}}",
                        )
                        .linked("What to do", "${runbooks}/RegistryIntegrityProbeStale.md"),
                ],
            ),
            (
                "Requests",
                vec![
                    Panel::lines("Requests", "By method and how they ended.", "reqps").query(
                        format!("sum by (registry, method, code) (rate(registry_integrity_requests_total{{{c}}}[$__rate_interval])) > 0"),
                        "{{registry}}: {{method}} {{code}}",
                    ),
                    Panel::lines("Latency", "From a request to the head of its answer.", "s")
                        .query(quantile("0.5"), "{{registry}}: {{method}} median")
                        .query(quantile("0.99"), "{{registry}}: {{method}} 99th percentile"),
                    Panel::lines("Concurrency", "Requests that may be in flight now. It falls where the registry answers 429 or 5xx, or only queues; that is the probe's backoff.", "short")
                        .query(format!("registry_integrity_concurrency{{{c}}}"), "{{registry}} {{shard}}"),
                    Panel::lines("Requests that struggled", "The part of the requests that ended with 5xx or without an answer.", "percentunit")
                        .query(
                            format!(
                                r#"sum by (registry) (rate(registry_integrity_requests_total{{{c}, code=~"5xx|unreachable|timeout|protocol"}}[$__rate_interval])) / sum by (registry) (rate(registry_integrity_requests_total{{{c}}}[$__rate_interval]))"#
                            ),
                            "{{registry}}",
                        )
                        .coloured(GREEN, &[(0.05, YELLOW), (0.25, RED)]),
                    Panel::lines("Token requests", "What was asked of token services, by how it ended.", "reqps").query(
                        format!("sum by (registry, code) (rate(registry_integrity_token_requests_total{{{c}}}[$__rate_interval])) > 0"),
                        "{{registry}}: {{code}}",
                    ),
                    Panel::lines("Received", "Bytes of bodies.", "Bps").query(
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
                    Panel::lines("CPU", "Cores that it keeps busy.", "short")
                        .query(format!("rate(process_cpu_seconds_total{{{j}}}[$__rate_interval])"), "{{instance}}")
                        .sized(8, 8),
                    Panel::lines("Open files", "Connections are files too.", "short")
                        .query(format!("process_open_fds{{{j}}}"), "{{instance}} open")
                        .query(format!("process_max_fds{{{j}}}"), "{{instance}} at most")
                        .sized(8, 8),
                    Panel::stat("Configuration", "Whether the file, when it was last read, could be taken up.", "short")
                        .query(
                            format!("min by (instance, shard) (registry_integrity_config_last_reload_successful{{{j}}})"),
                            "{{instance}} {{shard}}",
                        )
                        .worded(&[("0", "an older one is in use", RED), ("1", "taken up", GREEN)])
                        .coloured(RED, &[(1.0, GREEN)]),
                    Panel::stat("Configuration taken up", "When one was last taken up.", "dateTimeFromNow").query(
                        format!("1000 * max by (instance, shard) (registry_integrity_config_last_reload_success_timestamp_seconds{{{j}}})"),
                        "{{instance}} {{shard}}",
                    ),
                    Panel::stat("State", "Whether what is known could be written below --storage.path when that was last tried; without the flag there is nothing to see.", "short")
                        .query(
                            format!("min by (instance, shard) (registry_integrity_storage_writable{{{j}}})"),
                            "{{instance}} {{shard}}",
                        )
                        .worded(&[("0", "cannot be written", RED), ("1", "written", GREEN)])
                        .coloured(RED, &[(1.0, GREEN)]),
                    Panel::table("Versions", "Which builds run.")
                        .query(format!("max by (instance, shard, version, revision) (registry_integrity_build_info{{{j}}})"), "")
                        .sized(6, 6),
                    Panel::table("Registries", "Names and the hosts that image references write.")
                        .query(format!("max by (registry, host) (registry_integrity_registry_info{{{c}}})"), "")
                        .sized(6, 6),
                ],
            ),
        ],
    )
}
