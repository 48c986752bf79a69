//! The physical floor: just the system calls of one container, from a script that `benches/floor.py` writes.
//!
//! ```text
//! kata-floor run SCRIPT             once
//! kata-floor loop SCRIPT COUNT      COUNT times; prints the seconds of each
//! kata-floor serve SCRIPT           once per line on stdin; answers "seconds cpu_seconds peak_rss_kb"
//! kata-floor spawn                  runs the command of each line (words parted by tabs) to its end; answers
//!                                   "wait_status seconds cpu_seconds peak_rss_kb"
//! ```
//!
//! Nothing is checked beyond errno, no state is kept and no path is resolved safely: this is no runtime. It
//! says how fast one could be. `spawn` is for the peers: started from a small process, they pay neither for the
//! harness's memory nor for its interpreter. `KATA_FLOOR_FORK=1` takes a plain fork in the place of a shared-memory clone.

mod orphans;
mod script;
mod system;

use std::io::{self, BufRead, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use script::Script;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["run", path] => load(path).and_then(|script| once(&script)).map(drop),
        ["loop", path, count] => repeat(path, count),
        ["serve", path] => serve(path),
        ["spawn"] => spawn(),
        _ => Err("usage: kata-floor run SCRIPT | loop SCRIPT COUNT | serve SCRIPT | spawn".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("kata-floor: {why}");
            ExitCode::FAILURE
        }
    }
}

fn load(path: &str) -> Result<Script, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    script::parse(&text)
}

/// Seconds of one container's whole life.
fn once(script: &Script) -> Result<f64, String> {
    let began = Instant::now();
    let run = system::run_all(&script.before)
        .and_then(|()| system::launch(script))
        .and_then(system::wait)
        .and_then(|()| system::run_all(&script.after));
    match run {
        Ok(()) => Ok(began.elapsed().as_secs_f64()),
        Err(failure) => {
            let _ = system::run_all(&script.after);
            Err(failure.to_string())
        }
    }
}

fn repeat(path: &str, count: &str) -> Result<(), String> {
    let script = load(path)?;
    let count: u32 = count.parse().map_err(|_| format!("{count} is no number"))?;
    for _ in 0..count {
        println!("{:.6}", once(&script)?);
    }
    Ok(())
}

fn serve(path: &str) -> Result<(), String> {
    let script = load(path)?;
    for line in io::stdin().lock().lines() {
        line.map_err(|error| error.to_string())?;
        let seconds = once(&script)?;
        let (cpu, peak_kb) = system::usage();
        answer(&format!("{seconds:.7} {cpu:.6} {peak_kb}"))?;
    }
    Ok(())
}

fn spawn() -> Result<(), String> {
    orphans::adopt();
    let mut input = io::stdin().lock();
    let mut line = String::new();
    loop {
        orphans::await_input();
        line.clear();
        if input.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
            return Ok(());
        }
        let mut words = line.trim_end_matches('\n').split('\t');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("{line}: {error}"))?;
        let done = orphans::wait_usage(child.id() as i32);
        let seconds = began.elapsed().as_secs_f64();
        let (status, cpu, peak_kb) = done.map_err(|failure| failure.to_string())?;
        answer(&format!("{status} {seconds:.7} {cpu:.6} {peak_kb}"))?;
    }
}

fn answer(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
