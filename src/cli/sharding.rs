//! Which shard this process is: what the flags say, or what Kubernetes says to its pods.

use std::env;

use super::CommandError;
use crate::cli::arguments::ShardArgs;
use crate::config::shard::Shard;

/// Set in the pods of an Indexed Job.
const JOB_INDEX: &str = "JOB_COMPLETION_INDEX";
/// Set by the downward API where a manifest says so; the host's name stands in for it.
const POD_NAME: &str = "POD_NAME";

/// The shard that the flags and the surroundings name; `None`: everything is this process's to look at.
///
/// # Errors
///
/// [`CommandError::Flag`] if they name none or one that cannot be. Nothing is guessed: a shard that nobody looks at would
/// be a part of the registry that nobody watches.
pub fn shard(args: &ShardArgs) -> Result<Option<Shard>, CommandError> {
    let surroundings = Surroundings {
        job_index: env::var(JOB_INDEX).ok(),
        pod_name: env::var(POD_NAME).ok(),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let found = find(args, &surroundings)?;
    if let Some((shard, source)) = &found {
        tracing::info!(%shard, source, "looking at one shard alone");
    }
    Ok(found.map(|(shard, _)| shard))
}

struct Surroundings {
    job_index: Option<String>,
    pod_name: Option<String>,
    host_name: String,
}

fn find(args: &ShardArgs, surroundings: &Surroundings) -> Result<Option<(Shard, String)>, CommandError> {
    let fault = |flag, fault: String| CommandError::Flag { flag, fault };
    let Some(count) = args.count else {
        return match args.index {
            None => Ok(None),
            Some(_) => Err(fault("--shard.index", "of how many? (expected --shard.count too)".to_string())),
        };
    };
    let (index, source) = match (args.index, &surroundings.job_index) {
        (Some(index), _) => (index, "--shard.index".to_string()),
        (None, Some(text)) => (
            number(text)
                .ok_or_else(|| fault("--shard.count", format!("{JOB_INDEX} is {text:?}, which is no number")))?,
            JOB_INDEX.to_string(),
        ),
        (None, None) => {
            let (name, source) = match &surroundings.pod_name {
                Some(name) => (name, POD_NAME),
                None => (&surroundings.host_name, "the host's name"),
            };
            let index = ordinal(name).ok_or_else(|| {
                let what_to_do = "give --shard.index, or run as a StatefulSet or an Indexed Job";
                fault("--shard.count", format!("which of them is this one? {source}, {name:?}, ends in no ordinal such as probe-0; {what_to_do}"))
            })?;
            (index, format!("{source} {name}"))
        }
    };
    match Shard::new(index, count) {
        Ok(shard) => Ok(Some((shard, source))),
        Err(error) => Err(fault("--shard.count", format!("{error} (the index is from {source})"))),
    }
}

/// The number behind the last hyphen, as a StatefulSet names its pods.
fn ordinal(name: &str) -> Option<u32> {
    let (set, ordinal) = name.rsplit_once('-')?;
    number(ordinal).filter(|_| !set.is_empty())
}

/// A number as Kubernetes writes it; `01` is none.
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
        let surroundings = Surroundings {
            job_index: job_index.map(str::to_string),
            pod_name: pod_name.map(str::to_string),
            host_name: host_name.to_string(),
        };
        find(&ShardArgs { index, count }, &surroundings)
            .map(|found| found.map(|(shard, _)| shard))
            .map_err(|error| error.to_string())
    }

    fn shard(index: u32, count: u32) -> Result<Option<Shard>, String> {
        Ok(Some(Shard::new(index, count).unwrap()))
    }

    #[test]
    fn the_flag_comes_before_the_job_and_the_job_before_the_pod() {
        assert_eq!(found(Some(1), Some(3), Some("2"), Some("probe-0"), "probe-0"), shard(1, 3));
        assert_eq!(found(None, Some(3), Some("2"), Some("probe-0"), "probe-0"), shard(2, 3));
        assert_eq!(found(None, Some(3), None, Some("probe-0"), "node-1"), shard(0, 3));
        assert_eq!(found(None, Some(12), None, None, "registry-probe-11"), shard(11, 12));
        assert_eq!(found(None, None, Some("2"), Some("probe-1"), "probe-1"), Ok(None), "nobody asked for shards");
    }

    #[test]
    fn nothing_is_guessed() {
        for (index, count, job_index, pod_name, host_name, says) in [
            (Some(0), None, None, None, "h", "expected --shard.count too"),
            (Some(3), Some(3), None, None, "h", "there is no shard 3 of 3"),
            (None, Some(0), Some("0"), None, "h", "0 shards cannot be"),
            (None, Some(2), None, None, "laptop", "give --shard.index"),
            (None, Some(2), None, None, "-1", "give --shard.index"),
            (None, Some(2), None, None, "probe-7d9f8b6c5-x2x1z", "give --shard.index"),
            (None, Some(2), None, None, "probe-01", "give --shard.index"),
            (None, Some(2), None, Some(""), "probe-1", "give --shard.index"),
            (None, Some(2), Some(""), None, "probe-1", "JOB_COMPLETION_INDEX is \"\""),
            (None, Some(2), Some("2"), None, "probe-1", "there is no shard 2 of 2: they are numbered from 0 to 1"),
            (None, Some(2), None, None, "probe-2", "the index is from the host's name probe-2"),
        ] {
            let error = found(index, count, job_index, pod_name, host_name).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
