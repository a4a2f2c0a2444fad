//! This program, run as other processes: asked for an answer, or left running.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;

use crate::failure::Failure;

/// This program, working in one directory.
pub(crate) struct Program {
    path: PathBuf,
    dir: PathBuf,
}

/// A process that ends with this value.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// The program that runs now.
    pub(crate) fn this(dir: &Path) -> Result<Self, Failure> {
        let path = std::env::current_exe()
            .map_err(|error| Failure::Machine(format!("this program's own path: {error}")))?;
        Ok(Self {
            path,
            dir: dir.into(),
        })
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments.split(' '))
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, and answers its exit code and its JSON document.
    pub(crate) fn ask(&self, arguments: &str) -> Result<(i32, Json), Failure> {
        self.ask_with(arguments, &[])
    }

    /// The same with further arguments, which may hold spaces.
    fn ask_with(&self, arguments: &str, more: &[&OsStr]) -> Result<(i32, Json), Failure> {
        let output = self
            .command(arguments)
            .args(more)
            .arg("--json")
            .output()
            .map_err(|error| Failure::Machine(format!("quorate {arguments}: {error}")))?;
        let answer = serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::Machine(format!("quorate {arguments}: {error}")))?;
        Ok((output.status.code().unwrap_or(-1), answer))
    }

    /// The same for a command that must succeed: its result.
    pub(crate) fn expect(&self, arguments: &str) -> Result<Json, Failure> {
        self.expect_with(arguments, &[])
    }

    /// The same with further arguments, which may hold spaces.
    pub(crate) fn expect_with(&self, arguments: &str, more: &[&OsStr]) -> Result<Json, Failure> {
        let (code, mut answer) = self.ask_with(arguments, more)?;
        if code == 0 {
            return Ok(answer["result"].take());
        }
        let summary = answer["summary"].as_str().unwrap_or_default();
        let what = format!("quorate {arguments} ended with code {code}: {summary}");
        Err(Failure::Machine(what))
    }

    /// Starts a command that runs until it is stopped, its words in a file of the directory.
    pub(crate) fn start(&self, name: &str, arguments: &str) -> Result<Running, Failure> {
        let log = self.dir.join(format!("{name}.log"));
        let file = File::create(&log).map_err(|error| Failure::Write {
            path: log.clone(),
            error,
        })?;
        let child = self
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|error| Failure::Machine(format!("quorate {arguments}: {error}")))?;
        Ok(Running {
            name: name.into(),
            child,
            log,
        })
    }
}

impl Running {
    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails when it has ended, with the last that it said.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => {
                let log = self.log();
                let last = log.lines().last().unwrap_or("without a word");
                Err(Failure::Machine(format!(
                    "{} ended ({ended:?}): {last}",
                    self.name
                )))
            }
        }
    }
}

impl Drop for Running {
    /// Asks it to stop, and makes it stop when it does not.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        #[cfg(unix)]
        if let Some(pid) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            for _ in 0..50 {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
