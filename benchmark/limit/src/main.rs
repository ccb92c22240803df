//! The limit of the benchmark: one thread of hyper and rustls, with a pin check and no Node.
//!
//! Reads one task as JSON from standard input, does it and prints what was measured, as `measure.js` does for the others.

mod connect;
mod exchange;

use std::error::Error;
use std::io::read_to_string;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::json;

use connect::Connector;
use exchange::{Action, Worker};

type Failure = Box<dyn Error + Send + Sync>;

/// The part of a task of `measure.js` that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    port: u16,
    ca: String,
    pin: String,
    #[serde(default)]
    check: bool,
    #[serde(default, rename = "http2")]
    h2: bool,
    #[serde(default)]
    resume: bool,
    #[serde(default)]
    action: Action,
    #[serde(default)]
    in_flight: usize,
    #[serde(default)]
    warm_up: f64,
    #[serde(default)]
    seconds: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let task: Task = serde_json::from_str(&read_to_string(std::io::stdin())?)?;
    let connector = Connector::new(&task.ca, &task.pin, task.port, task.resume, task.h2)?;
    if task.check {
        let refused = connector.connect().await.err().map(|error| error.to_string());
        println!("{}", json!({ "refused": refused }));
        return Ok(());
    }
    let mut workers = Worker::of(&connector, task.action, task.in_flight).await?;
    load(&mut workers, task.warm_up).await?;
    let (resumed, handshakes) = connector.counts();
    let (started, before) = (Instant::now(), cpu());
    let mut latencies = load(&mut workers, task.seconds).await?;
    let (elapsed, used) = (started.elapsed().as_secs_f64(), cpu() - before);
    latencies.sort_unstable();
    let requests = latencies.len();
    let at = |share: f64| {
        let place = ((requests as f64 * share) as usize).min(requests - 1);
        latencies[place].as_secs_f64()
    };
    let (all_resumed, all_handshakes) = connector.counts();
    println!(
        "{}",
        json!({
            "requests": requests,
            "rate": requests as f64 / elapsed,
            "throughput": (requests * task.action.bytes()) as f64 / elapsed,
            "p50": at(0.5),
            "p99": at(0.99),
            "cpu": used / requests as f64,
            "resumed": (all_resumed - resumed) as f64 / (all_handshakes - handshakes).max(1) as f64,
            "memory": peak_memory(),
        })
    );
    Ok(())
}

/// Keeps all workers busy for so many seconds. How long each request took.
async fn load(workers: &mut [Worker<'_>], seconds: f64) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let all = futures_util::future::try_join_all(workers.iter_mut().map(|worker| async move {
        let mut latencies = Vec::new();
        let mut start = Instant::now();
        while start < end {
            worker.once().await?;
            let now = Instant::now();
            latencies.push(now - start);
            start = now;
        }
        Ok::<_, Failure>(latencies)
    }))
    .await?;
    Ok(all.concat())
}

/// Seconds of CPU time that the process has used.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The largest resident size so far, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
