//! A target that is up, with what runs beside it: started, put under load, paused, ended.
//!
//! Owns: the order of these, the folder they write to, and that the processes are where they belong: the target on its
//! cores, all else on the generator's.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::generator::{self, Mode, Order};
use crate::process::Process;
use crate::record::Run;
use crate::rounds::{Setting, Step};
use crate::target::{BACKENDS, Stop, Target, backends};
use crate::{beside, network, ready};

/// A target that forwards. Dropping it ends its processes without asking.
#[derive(Debug)]
pub(crate) struct Up {
    /// None: the generator sends to its own backends.
    process: Option<Process>,
    onlooker: Option<Process>,
    stop: Signal,
    address: &'static str,
    folder: PathBuf,
    /// What started them.
    target_command: String,
    beside_command: String,
}

impl Up {
    /// Starts it on its cores in the network of this thread, and waits until it forwards and who watches is ready.
    pub(crate) fn start(setting: &Setting, target: &Target, name: &str) -> Result<Self, String> {
        let folder = setting.root.join("target/perf").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let prepared = target.prepare(&setting.root, &folder, setting.target_core)?;
        let mut process = None;
        let mut target_command = String::new();
        if !target.is_direct() {
            let cores = [setting.target_core, setting.generator_core];
            network::pin(&cores[..target.cores])?;
            target_command = prepared.command.join(" ");
            let log = prepared.folder.join("target.log");
            let mut started = Process::start(&prepared.command, &prepared.folder, log)?;
            let address = target.address().parse().expect("our own address is valid");
            ready::wait(&mut started, address, &backends())?;
            process = Some(started);
        }
        network::pin(&[setting.generator_core])?;
        let onlooker = beside::start(&prepared.beside, &folder)?;
        let stop = match target.stop {
            Stop::Term => Signal::SIGTERM,
            Stop::Quit => Signal::SIGQUIT,
        };
        let (address, beside_command) = (target.address(), prepared.beside.join(" "));
        Ok(Self { process, onlooker, stop, address, folder, target_command, beside_command })
    }

    /// Puts it under load from this thread's network, and gives the generator's answer.
    pub(crate) fn load(
        &mut self,
        setting: &Setting,
        step: &Step<'_>,
        mode: Mode,
        run: &mut Run,
    ) -> Result<serde_json::Value, String> {
        network::pin(&[setting.generator_core])?;
        let json = self.folder.join("answer.json");
        let order = Order {
            mode,
            scenario: setting.root.join(format!("perf/scenarios/{}.toml", step.series.scenario)),
            target: self.address.into(),
            backends: BACKENDS.map(str::to_owned).to_vec(),
            seconds: step.series.seconds,
            warmup_seconds: step.series.warmup_seconds,
            core: setting.generator_core,
            target_core: setting.target_core,
            pids: self.process.as_ref().map_or_else(Vec::new, Process::pids),
            seed: u64::from(step.round),
            burst: step.series.burst,
        };
        let command = generator::command(&setting.generator, &order, &json);
        run.target_command.clone_from(&self.target_command);
        run.beside_command.clone_from(&self.beside_command);
        run.generator_command = command.join(" ");
        let answer = generator::run(&command, &order, &self.folder, &json, &setting.interrupted)?;
        match self.process.as_mut().and_then(|process| Some((process.ended()?, process))) {
            None => Ok(answer),
            Some((status, process)) => {
                let log = process.log_tail();
                Err(format!("the target ended during the run ({status}):\n{log}"))
            }
        }
    }

    /// Runs `work` in its network.
    pub(crate) fn in_its_network<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, String> + Send,
    ) -> Result<T, String> {
        let id = self.process.as_ref().map(Process::id).ok_or("it has no process")?;
        network::in_that_of(id, || work(self))
    }

    /// Lets it stand still, as if it was not there.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.iter().chain(&self.onlooker).for_each(|process| process.signal(signal));
    }

    /// Ends it; the last line of what ran beside it, or what went wrong there.
    pub(crate) fn end(mut self) -> Result<String, String> {
        let seen = self.onlooker.take().map(beside::end);
        if let Some(process) = &mut self.process {
            process.stop(self.stop);
        }
        seen.unwrap_or_else(|| Ok(String::new()))
    }
}
