//! The shard of this process, from the flags or from Kubernetes.

use std::env;

use super::CommandError;
use crate::cli::arguments::ShardArgs;
use crate::config::shard::Shard;

/// Kubernetes sets it in the pods of an Indexed Job.
const JOB_INDEX: &str = "JOB_COMPLETION_INDEX";
/// Set by the downward API if the manifest asks for it; the default is the host name.
const POD_NAME: &str = "POD_NAME";

/// The shard of this process; `None` if the work is not sharded.
///
/// # Errors
///
/// [`CommandError::Flag`] if the shard is unknown or invalid. It is never guessed, because a shard without a process would
/// leave a part of the registry unchecked.
pub fn shard(args: &ShardArgs) -> Result<Option<Shard>, CommandError> {
    let environment = Environment {
        job_index: env::var(JOB_INDEX).ok(),
        pod_name: env::var(POD_NAME).ok(),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let found = find(args, &environment)?;
    if let Some((shard, source)) = &found {
        tracing::info!(%shard, source, "checking one shard");
    }
    Ok(found.map(|(shard, _)| shard))
}

struct Environment {
    job_index: Option<String>,
    pod_name: Option<String>,
    host_name: String,
}

fn find(args: &ShardArgs, environment: &Environment) -> Result<Option<(Shard, String)>, CommandError> {
    let fault = |flag, fault: String| CommandError::Flag { flag, fault };
    let Some(count) = args.count else {
        return match args.index {
            None => Ok(None),
            Some(_) => Err(fault("--shard.index", "requires --shard.count".to_string())),
        };
    };
    let (index, source) = match (args.index, &environment.job_index) {
        (Some(index), _) => (index, "--shard.index".to_string()),
        (None, Some(text)) => (
            number(text)
                .ok_or_else(|| fault("--shard.count", format!("{JOB_INDEX} is {text:?}, which is not a number")))?,
            JOB_INDEX.to_string(),
        ),
        (None, None) => {
            let (name, source) = match &environment.pod_name {
                Some(name) => (name, POD_NAME),
                None => (&environment.host_name, "the host name"),
            };
            let index = ordinal(name).ok_or_else(|| {
                let what_to_do = "set --shard.index, or run as a StatefulSet or an Indexed Job";
                fault("--shard.count", format!("the shard of this process is unknown: {source} {name:?} does not end in an ordinal such as probe-0; {what_to_do}"))
            })?;
            (index, format!("{source} {name}"))
        }
    };
    match Shard::new(index, count) {
        Ok(shard) => Ok(Some((shard, source))),
        Err(error) => Err(fault("--shard.count", format!("{error} (the index is from {source})"))),
    }
}

/// The number after the last hyphen, as in the pod names of a StatefulSet.
fn ordinal(name: &str) -> Option<u32> {
    let (set, ordinal) = name.rsplit_once('-')?;
    number(ordinal).filter(|_| !set.is_empty())
}

/// A number without leading zeros, as Kubernetes writes it.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        index: Option<u32>,
        count: Option<u32>,
        job_index: Option<&str>,
        pod_name: Option<&str>,
        host_name: &str,
    ) -> Result<Option<Shard>, String> {
        let environment = Environment {
            job_index: job_index.map(str::to_string),
            pod_name: pod_name.map(str::to_string),
            host_name: host_name.to_string(),
        };
        find(&ShardArgs { index, count }, &environment)
            .map(|found| found.map(|(shard, _)| shard))
            .map_err(|error| error.to_string())
    }

    fn shard(index: u32, count: u32) -> Result<Option<Shard>, String> {
        Ok(Some(Shard::new(index, count).unwrap()))
    }

    #[test]
    fn flag_overrides_job_index_and_job_index_pod_name() {
        assert_eq!(found(Some(1), Some(3), Some("2"), Some("probe-0"), "probe-0"), shard(1, 3));
        assert_eq!(found(None, Some(3), Some("2"), Some("probe-0"), "probe-0"), shard(2, 3));
        assert_eq!(found(None, Some(3), None, Some("probe-0"), "node-1"), shard(0, 3));
        assert_eq!(found(None, Some(12), None, None, "registry-probe-11"), shard(11, 12));
        assert_eq!(found(None, None, Some("2"), Some("probe-1"), "probe-1"), Ok(None), "no --shard.count");
    }

    #[test]
    fn unknown_shards_are_rejected() {
        for (index, count, job_index, pod_name, host_name, says) in [
            (Some(0), None, None, None, "h", "requires --shard.count"),
            (Some(3), Some(3), None, None, "h", "shard 3 of 3 does not exist"),
            (None, Some(0), Some("0"), None, "h", "invalid shard count 0"),
            (None, Some(2), None, None, "laptop", "set --shard.index"),
            (None, Some(2), None, None, "-1", "set --shard.index"),
            (None, Some(2), None, None, "probe-7d9f8b6c5-x2x1z", "set --shard.index"),
            (None, Some(2), None, None, "probe-01", "set --shard.index"),
            (None, Some(2), None, Some(""), "probe-1", "set --shard.index"),
            (None, Some(2), Some(""), None, "probe-1", "JOB_COMPLETION_INDEX is \"\""),
            (None, Some(2), Some("2"), None, "probe-1", "shard 2 of 2 does not exist: indexes run from 0 to 1"),
            (None, Some(2), None, None, "probe-2", "the index is from the host name probe-2"),
        ] {
            let error = found(index, count, job_index, pod_name, host_name).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
